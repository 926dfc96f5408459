"""The looks at the confirm stage in sentences: what each found, and what departs from the plan."""

from __future__ import annotations

from collections.abc import Iterator

from simclip.cli.wording.formatting import Metric, counted
from simclip.study.analysis.comparison.looks import Look
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.statistics import ALPHA


def look_sentence(look: Look) -> str:
    """What a look found, e.g. Look at 3 seeds: k4 worse, k8 undecided."""
    found = ", ".join(f"{name} {arm.word or 'without a verdict'}" for name, arm in look.arms.items())
    return f"Look at {counted(look.seeds, 'seed')}: {found}."


def look_sentences(results: StudyResults) -> Iterator[str]:
    """The looks that were taken, if there are several or more were planned, and every departure from the plan."""
    looks = results.looks
    if looks is None:
        return
    planned, metric = looks.plan.seeds, Metric.of(results.study.confirmed_metric)
    if len(planned) > 1 or len(looks.taken) > 1:
        yield from (f"{look_sentence(look)} Its level was {100 * look.level:.2g}%." for look in looks.taken)
    if looks.worst > ALPHA + 1e-9:
        plan = f"{counted(len(planned), 'look')} at {', '.join(map(str, planned))} seeds"
        yield (
            f"The confirm stage was extended beyond its plan, {plan}: the level of 5% no longer holds. At worst, a "
            f"false verdict has a probability of {100 * looks.worst:.2g}%."
        )
    if results.dropped:
        yield "The looks were planned for another metric; this one is judged once, on the seeds that each arm has."
    elif results.study.margin != looks.plan.margin:
        before, now = (_margin(metric, each) for each in (looks.plan.margin, results.study.margin))
        yield (
            f"confirm.margin was changed from {before} to {now} after the confirm stage had begun. The verdict keeps "
            "the margin that was stated before; a new study can state another."
        )


def next_look(results: StudyResults) -> str | None:
    """When the confirm stage is looked at next, and which arms go on until then; None unless it has begun."""
    looks = results.looks
    if looks is None or looks.next is None or not results.of_stage("confirm"):
        return None
    arms = [arm.name for arm in results.contenders[1:] if arm.name not in looks.decided]
    return f"Next look at {counted(looks.next, 'seed')}: {', '.join(arms)}."


def _margin(metric: Metric, margin: float | None) -> str:
    return "none" if margin is None else metric.points(margin).lstrip("+")
