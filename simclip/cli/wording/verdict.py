"""The verdict in sentences, the same in a terminal and in a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from simclip.cli.wording.confirmed_arm import METHOD, arm_sentence, method_sentences, within
from simclip.cli.wording.formatting import Metric, counted
from simclip.cli.wording.looks import look_sentence, look_sentences
from simclip.study.analysis.confirm import detectable_difference, search_has_ended
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.statistics import MIN_PAIRS
from simclip.study.analysis.verdict import Verdict
from simclip.study.spec.study import StudyConfig


def headline(results: StudyResults) -> str:
    """The main finding in one sentence."""
    study, verdict, found = results.study, results.verdict, results.search_best
    if study.contradiction:
        return f"The ranking is upside down: {study.contradiction}. Run the study again with --fresh and without mode."
    if verdict and verdict.complete:
        return _decided(results, verdict)
    if found is None:
        return "No arm has finished all of its seeds, so there is no best arm yet."
    metric = Metric.of(study.metric)
    line = f"Best arm{' of the search' if study.confirm else ''}: {found.name}, {metric.name} "
    line += metric.formatted(found.mean)
    if len(found.scores) > 1:
        line += f" on average over {len(found.scores)} seeds"
    if found.control and len(results.ranking) > 1:
        return f"{line}. This is {METHOD}: no finished arm with {what_arms_have(results)} has a better mean."
    if found.difference is not None and not found.control:
        line += f", {metric.points(found.difference)} against the control"
    return f"{line}."


def sentences(results: StudyResults) -> list[str]:
    """The headline, a sentence per confirmed arm, and how far to trust them."""
    return [headline(results), *([] if results.study.contradiction else _details(results))]


def unconfirmed(results: StudyResults) -> str | None:
    """Why no confirm stage follows the search, and what to change; None if one follows or the search has not ended."""
    study, arms = results.study, results.ranking
    if study.confirm is None or results.contenders or results.confirm or not search_has_ended(results):
        return None
    if all(arm.control for arm in arms):
        return "No confirm stage: the search had no arm with clusters. Add one, or set confirm: null."
    control = any(not arm.control for arm in results.finished_arms)
    outcomes = Counter(record.outcome for record in results.search.values() if record.control == control)
    stopped, failed = outcomes["stopped"], outcomes["failed"]
    counts = [f"{counted(stopped, 'trial')} stopped by ASHA"] if stopped else []
    counts += [f"{counted(failed, 'trial')} failed"] if failed else []
    which = "control" if control else f"arm with {what_arms_have(results)}"
    line = f"No confirm stage: no {which} has finished all of its seeds"
    line += f" ({', '.join(counts)})." if counts else "."
    if stopped:
        line += " Raise asha.grace_period or drop scheduler: asha, and run again with --fresh."
    if failed:
        line += " Mend what made trials fail, and run again with --retry-failed."
    return line if counts else f"{line} Raise the budget."


def before_confirming(results: StudyResults) -> str:
    """What the last look found, the arms that go on, and the smallest difference that the stage can detect."""
    study, looks, control = results.study, results.looks, results.contenders[0].name
    assert study.confirm is not None and looks is not None
    metric = Metric.of(study.metric)
    names = ", ".join(arm.name for arm in results.contenders[1:] if arm.name not in looks.decided)
    if looks.taken and looks.next:
        found = look_sentence(looks.taken[-1])
        return f"{found} Going on to {counted(looks.next, 'seed')}: {names} against {control}"
    line = f"Confirming {names} against {control} on {counted(study.confirm.most_seeds, 'fresh seed')}"
    if len(study.confirm.looks) > 1:
        line += f", with looks at {', '.join(map(str, study.confirm.looks[:-1]))} of them"
    if study.margin is not None:
        line += f"; a difference {within(Metric.of(study.confirmed_metric), study.margin)} does not matter"
    relative, absolute = detectable_difference(results)
    if relative is None:
        return f"{line}: too few for a verdict, which takes at least {MIN_PAIRS}"
    if absolute is None:
        return (
            f"{line}: can detect a difference of {relative:.1f} standard deviations of the differences with 80% "
            f"probability (how large that is in {metric.name} is unknown, as the search ran on one seed)"
        )
    return (
        f"{line}: can detect a difference of about {metric.points(absolute).lstrip('+')} of {metric.name} with 80% "
        "probability, if seeds vary as they did in the search"
    )


def what_arms_have(results: StudyResults) -> str:
    """What the arms have beside plain fine-tuning: clusters, or hard negatives if some have them in the loss alone."""
    arms = [record.config for record in results.records.values() if not record.control]
    return "clusters" if all(config.final_proportion for config in arms) else "hard negatives"


def _decided(results: StudyResults, verdict: Verdict) -> str:
    study, what = results.study, what_arms_have(results)
    metric = Metric.of(verdict.metric)
    best = next((arm for arm in verdict.arms if arm.name == verdict.best), verdict.arms[0])
    seeds = _seeds(verdict)
    better = [arm for arm in verdict.arms if arm.word == "better"]
    others = [arm for arm in verdict.arms if not arm.control]
    if better:
        first = better[0]
        gain = metric.points(first.gain)
        return f"{what.capitalize()} help: {first.name} is better than {METHOD} by {gain} {metric.name} on {seeds}."
    words = {arm.word for arm in others}
    which = "the confirmed arm is" if len(others) == 1 else f"all {len(others)} confirmed arms are"
    if words == {"worse"}:
        return f"{what.capitalize()} do not help: {which} worse than {METHOD} in {metric.name} on {seeds}."
    if verdict.margin is not None and words and words <= {"worse", "no different"}:
        which += "" if words == {"no different"} else " worse or"
        close = f"no different from {METHOD} {within(metric, verdict.margin)}"
        return f"{what.capitalize()} do not help: {which} {close} {metric.name} on {seeds}."
    if all(arm.word is None for arm in others):
        mean = metric.formatted(best.spread.mean)
        return f"No verdict: {_why_untested(study)}. Best mean: {best.name}, {metric.name} {mean}."
    return (
        f"No arm with {what} is shown to be better than {METHOD} in {metric.name} on {seeds}; "
        f"{'the control' if best.control else best.name} has the best mean, {metric.formatted(best.spread.mean)}."
    )


def _seeds(verdict: Verdict) -> str:
    """The numbers of seeds that the arms were judged on, e.g. 3 to 8 fresh seeds."""
    looks = sorted({arm.look for arm in verdict.arms if arm.look})
    if len(looks) > 1:
        return f"{looks[0]} to {looks[-1]} fresh seeds"
    return counted(looks[0] if looks else max(len(arm.scores) for arm in verdict.arms), "fresh seed")


def _why_untested(study: StudyConfig) -> str:
    seeds = len(study.confirm_seeds)
    if seeds < MIN_PAIRS:
        return f"{counted(seeds, 'confirm seed')}, but a verdict takes at least {MIN_PAIRS}"
    return f"fewer than {MIN_PAIRS} seeds per arm with scores that vary"


def _details(results: StudyResults) -> Iterator[str]:
    verdict = results.verdict
    if verdict is None:
        if why := unconfirmed(results):
            yield why
        arms = len(results.ranking)
        if arms > 1:
            yield (
                f"This ranking of {counted(arms, 'arm')} is optimistic: it uses the seeds of the search and the data "
                "that also chose each trial's best epoch, and the best of many looks better than it is."
            )
        return
    if not verdict.complete:
        yield "The confirm stage has not ended; the following is preliminary."
    yield from look_sentences(results)
    yield from (arm_sentence(verdict, arm) for arm in verdict.arms if not arm.control)
    yield from method_sentences(verdict)
    if not verdict.on_test:
        yield (
            "No test set was given, so all numbers come from the data that also chose each trial's best epoch: they "
            "are optimistic, for every arm alike."
        )
