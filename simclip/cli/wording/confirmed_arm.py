"""What the confirm stage says about each arm, and about the method, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from simclip.cli.wording.formatting import Metric, counted, p_value
from simclip.study.analysis.comparison.compare import Word
from simclip.study.analysis.statistics import ALPHA, MIN_PAIRS
from simclip.study.analysis.verdict import ConfirmedArm, Verdict

METHOD = "plain fine-tuning"
#: Intervals are said to be widened from this factor on.
NOTABLE = 1.1


def within(metric: Metric, margin: float) -> str:
    """The margin in words, e.g. within ±0.5 points."""
    return f"within ±{metric.points(margin).lstrip('+')}"


def arm_sentence(verdict: Verdict, arm: ConfirmedArm) -> str:
    """The verdict about one arm, its difference from the control with the interval, and what would tell more."""
    metric = Metric.of(verdict.metric)
    if arm.gain is None:
        return f"{arm.name}: no seed on which both it and the control have finished."
    gain = metric.points(arm.gain)
    if arm.look is None and not verdict.complete:
        return f"{arm.name}: {gain} so far on {counted(len(arm.scores), 'seed')}."
    if arm.difference is None or arm.p is None:
        return f"{arm.name}: {gain}; no verdict, which takes at least {MIN_PAIRS} seeds with scores that vary."
    low, high = metric.difference(arm.difference.low), metric.difference(arm.difference.high)
    p = p_value(arm.p) if arm.p < 0.001 else f"= {p_value(arm.p)}"
    line = f"{arm.name}: {_stated(verdict, arm.word, metric)}, {gain} ({low} to {high}, "
    line += f"{counted(len(arm.scores), 'seed')}), p {p}"
    if arm.word == "undecided":
        if arm.pairs_needed is None:
            return f"{line}; no reasonable number of seeds would detect a difference that small."
        return (
            f"{line}; a new study would detect a difference of that size with about "
            f"{counted(arm.pairs_needed, 'seed')} per arm."
        )
    if arm.word == "no different" and not arm.difference.low <= 0 <= arm.difference.high:
        return f"{line}; the difference is not zero, but smaller than the margin."
    return f"{line}."


def method_sentences(verdict: Verdict) -> Iterator[str]:
    """How the arms were compared, what a method with fewer assumptions says, and whose noise is larger."""
    covered = "training seeds and other test images like these"
    if not verdict.covers_items:
        covered = "training seeds alone, not other test images (the trials kept no test items, or the metric is a loss)"
    yield (
        f"Intervals hold with 95% probability for all arms together and cover {covered}: not other training data, "
        "another base model or other settings. They and the p-values are Dunnett's, in the model score = arm + seed + "
        "noise."
    )
    if tested := [arm for arm in verdict.arms if arm.holm is not None]:
        said = ", ".join(f"{arm.name} {_paired_word(verdict, arm)} (p {_equals(arm.holm)})" for arm in tested)
        line = f"Each arm's pairs alone (paired t tests with Holm's correction) would say: {said}."
        if differing := [arm.name for arm in tested if _decided(arm.word) and _paired_word(verdict, arm) != arm.word]:
            line += (
                f" That differs for {', '.join(differing)}, as it estimates the noise from that arm's "
                "few pairs instead of all arms'; the verdict relies on noise that is about equal in all arms."
            )
        yield line
    if widened := [arm for arm in verdict.arms if arm.difference and arm.difference.widening >= NOTABLE]:
        factors = ", ".join(_widened(arm) for arm in widened)
        line = f"Noise may not be the same in all arms: intervals are wider than equal noise would make them, {factors}"
        if careful := [arm.name for arm in widened if _more_careful(arm)]:
            line += f". The word undecided of {', '.join(careful)} is due to that"
        yield f"{line}."


def _widened(arm: ConfirmedArm) -> str:
    """How much wider an arm's interval is, and how much more it scatters."""
    assert arm.difference is not None
    found = arm.difference
    line = f"that of {arm.name} {found.widening:.1f} times"
    if found.scatter is not None and found.scatter >= NOTABLE:
        line += f" (its differences from the control scatter {found.scatter:.1f} times as much)"
    return line


def _more_careful(arm: ConfirmedArm) -> bool:
    """Whether an undecided arm would be better or worse with equal noise."""
    assert arm.difference is not None
    half = (arm.difference.high - arm.difference.low) / 2 / arm.difference.widening
    return arm.word == "undecided" and abs(arm.difference.value) > half


def _stated(verdict: Verdict, word: Word | None, metric: Metric) -> str:
    if word == "no different" and verdict.margin is not None:
        return f"no different from {METHOD} {within(metric, verdict.margin)}"
    return {"better": f"better than {METHOD}", "worse": f"worse than {METHOD}"}.get(str(word), "undecided")


def _decided(word: Word | None) -> bool:
    return word in ("better", "worse")


def _paired_word(verdict: Verdict, arm: ConfirmedArm) -> Word:
    """What the paired t test says about an arm."""
    assert arm.holm is not None and arm.paired is not None
    if arm.holm >= ALPHA:
        return "undecided"
    return "better" if ((arm.paired.spread.mean or 0.0) > 0) == (verdict.mode == "max") else "worse"


def _equals(p: float | None) -> str:
    return p_value(p) if p is not None and p < 0.001 else f"= {p_value(p)}"
