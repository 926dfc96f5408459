"""The verdict in words: the same in a terminal and in a report."""

from __future__ import annotations

from collections.abc import Iterator

from simclip.cli.wording.formatting import Metric, counted, p_value
from simclip.study.analysis.confirm import detectable_difference
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.statistics import LEAST_PAIRS
from simclip.study.analysis.verdict import ConfirmedArm, Verdict
from simclip.study.spec.study import StudyConfig

METHOD = "plain fine-tuning"


def headline(results: StudyResults) -> str:
    """The one sentence that a reader takes away."""
    study, verdict, found = results.study, results.verdict, results.search_best
    if verdict and verdict.complete:
        return _decided(study, verdict)
    if found is None:
        return "No arm has finished all of its seeds, so that there is no best one."
    metric = Metric.of(study.metric)
    line = f"Best arm{' of the search' if study.confirm else ''}: {found.name}, {metric.name} {metric.said(found.mean)}"
    if len(found.scores) > 1:
        line += f" on average over {len(found.scores)} seeds"
    if found.control and len(results.ranking) > 1:
        return f"{line}. This is {METHOD}: no finished arm with clusters has a better mean."
    if found.difference is not None and not found.control:
        line += f", {metric.points(found.difference)} against the control"
    return f"{line}."


def sentences(results: StudyResults) -> list[str]:
    """The verdict: the headline, a sentence for each confirmed arm, and how far to believe them."""
    return [headline(results), *_details(results)]


def before_confirming(results: StudyResults) -> str:
    """What the confirm stage will run, and the smallest difference that it can detect."""
    study, chosen = results.study, results.contenders
    assert study.confirm is not None
    metric = Metric.of(study.metric)
    names = ", ".join(arm.name for arm in chosen[1:])
    line = f"Confirming {names} against {chosen[0].name} on {counted(study.confirm.seeds, 'fresh seed')}: "
    relative, absolute = detectable_difference(results)
    if relative is None:
        return f"{line}fewer than {LEAST_PAIRS}, which allow no verdict"
    if absolute is None:
        return (
            f"{line}can detect a difference of {relative:.1f} standard deviations of the paired differences with 80% "
            "probability (the search ran on one seed, which does not tell how large that is)"
        )
    return (
        f"{line}can detect a difference of about {metric.points(absolute).lstrip('+')} of {metric.name} with 80% "
        "probability, if seeds scatter as in the search"
    )


def _decided(study: StudyConfig, verdict: Verdict) -> str:
    metric = Metric.of(verdict.metric)
    best = next((arm for arm in verdict.arms if arm.name == verdict.best), verdict.arms[0])
    seeds = counted(len(study.confirm_seeds), "fresh seed")
    better = [arm for arm in verdict.arms if arm.word == "better"]
    others = [arm for arm in verdict.arms if not arm.control]
    if better:
        first = better[0]
        assert first.paired is not None
        said = metric.points(first.paired.spread.mean)
        return f"Clusters help: {first.name} is better than {METHOD} by {said} {metric.name} on {seeds}."
    if others and all(arm.word == "worse" for arm in others):
        each = "the confirmed arm is" if len(others) == 1 else f"all {len(others)} confirmed arms are"
        return f"Clusters do not help: {each} worse than {METHOD} in {metric.name} on {seeds}."
    if all(arm.word is None for arm in others):
        return f"No verdict: {_untested(study)}. Best mean: {best.name}, {metric.name} {metric.said(best.spread.mean)}."
    return (
        f"No arm with clusters is shown to be better than {METHOD} in {metric.name} on {seeds}; "
        f"{'the control' if best.control else best.name} has the best mean, {metric.said(best.spread.mean)}."
    )


def _untested(study: StudyConfig) -> str:
    seeds = len(study.confirm_seeds)
    if seeds < LEAST_PAIRS:
        return f"{counted(seeds, 'confirm seed')}, and fewer than {LEAST_PAIRS} allow none"
    return f"fewer than {LEAST_PAIRS} different pairs of finished trials"


def _details(results: StudyResults) -> Iterator[str]:
    verdict = results.verdict
    if verdict is None:
        arms = len(results.ranking)
        if arms > 1:
            yield (
                f"This ranks {counted(arms, 'arm')} by the seeds of the search, on the data that also chose each "
                "trial's best epoch: the best of many looks better than it is."
            )
        return
    if not verdict.complete:
        yield "The confirm stage has not ended: what follows is what its trials say so far."
    for arm in verdict.arms:
        if not arm.control:
            yield _arm_sentence(verdict, arm)
    yield (
        "Intervals are of 95% and cover seed noise only: not other data, another base model or other settings. "
        "p-values are of paired t tests, corrected for all confirmed arms (Holm)."
    )
    if not verdict.on_test:
        yield (
            "No test set was given: figures are of the data that also chose each trial's best epoch, and so optimistic "
            "for every arm alike."
        )


def _arm_sentence(verdict: Verdict, arm: ConfirmedArm) -> str:
    metric = Metric.of(verdict.metric)
    if arm.paired is None or arm.paired.spread.mean is None:
        return f"{arm.name}: no pair of finished trials with the control."
    spread = arm.paired.spread
    said = f"{metric.points(spread.mean)}"
    if spread.low is not None and spread.high is not None:
        said += f" ({metric.difference(spread.low)} to {metric.difference(spread.high)}, {counted(spread.n, 'pair')})"
    if arm.p is None:
        return f"{arm.name}: {said}: no verdict, which takes {LEAST_PAIRS} pairs that differ."
    said_p = p_value(arm.p) if arm.p < 0.001 else f"= {p_value(arm.p)}"
    comparison = {"better": f"better than {METHOD}", "worse": f"worse than {METHOD}"}
    line = f"{arm.name}: {comparison.get(str(arm.word), f'not distinguishable from {METHOD}')}, {said}, p {said_p}"
    if arm.word == "not distinguishable":
        if arm.pairs_needed is None:
            return f"{line}; no reasonable number of seeds would show a difference that small."
        return f"{line}; to see a difference of that size would take about {counted(arm.pairs_needed, 'seed')}."
    return f"{line}."
