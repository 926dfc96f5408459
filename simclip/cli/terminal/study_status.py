"""The lines of the `status` command, from a results folder alone; no cluster is asked."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence

from simclip.cli.wording.failures import failure_lines
from simclip.cli.wording.formatting import Metric, counted, duration
from simclip.cli.wording.looks import look_sentences, next_look
from simclip.cli.wording.verdict import headline, unconfirmed
from simclip.study.analysis.confirm import confirm_trials
from simclip.study.analysis.rescore import rescored
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.ownership import Owner, last_owner, owner
from simclip.study.search.plan import planned_trials
from simclip.study.spec.arms import Trial
from simclip.study.spec.single_run import SingleRun
from simclip.study.store.compatibility import under_recorded_names
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record, damaged

OUTCOMES = {"finished": "finished", "stopped": "stopped early", "failed": "failed"}


def status_lines(folder: StudyFolder, overrides: Sequence[str] = ()) -> Iterator[str]:
    """The state of a study, its trials, the leading arm, the verdict, the cost and how to resume.

    Args:
        folder: The results.
        overrides: `metric=NAME` ranks them by another metric that their records hold.

    Raises:
        InputError: The folder holds no study's results, or the records do not hold the metric.
    """
    results = rescored(StudyResults.read(folder), overrides)
    now, last, waiting = owner(folder.path), last_owner(folder.path), _not_begun(results)
    left = _trials_left(results, waiting, last)
    yield f"{results.study.name}: {_state(folder, left, now, last)}"
    for path in damaged(folder.trials):
        yield f"{path}: damaged; only what precedes the damage counts here, and the study's command runs the rest again"
    yield _trials(results, len(waiting), running=now is not None)
    for record in results.records.values():
        if not record.outcome:
            yield f"  {_epochs(record)}"
    if leader := _leader(results):
        yield f"Best arm so far: {leader}"
    if results.ended:
        yield headline(results)
        if why := unconfirmed(results):
            yield why
        yield from look_sentences(results)
        if coming := next_look(results):
            yield coming
        yield f"Cost: {_cost(results)}"
    if failures := [*failure_lines(results, folder)]:
        yield "Failed:"
        yield from (f"  {line}" for line in failures)
        if now is None and not isinstance(results.study, SingleRun):
            yield f"To try again: {_command(folder, last, '--retry-failed')}"
    if now is None and left:
        yield f"To resume: {_command(folder, last)}"
    else:
        yield f"Report: {shlex.join(['python', 'tune.py', 'report', folder.place()])}"


def state_of(folder: StudyFolder, results: StudyResults) -> str:
    """The state of a study in a word: running, interrupted or finished."""
    if owner(folder.path):
        return "running"
    last = last_owner(folder.path)
    return "interrupted" if _trials_left(results, [] if last else _not_begun(results), last) else "finished"


def _state(folder: StudyFolder, left: bool, now: Owner | None, last: Owner | None) -> str:
    if now:
        return f"running ({now})"
    word = "interrupted" if left else "finished"
    if folder.mirror and word == "interrupted":
        return "unfinished; results in a bucket do not tell whether the study is running"
    return f"{word} (last run: {last})" if last else word


def _trials_left(results: StudyResults, waiting: Sequence[Trial], last: Owner | None) -> bool:
    """Whether a study that is not running has trials left; without a last run, also those that have not begun."""
    if last:
        return not last.done  # a search may end early: the budget is spent, or all settings have been tried
    return bool(waiting) or len(results.ended) < len(results.records)


def _not_begun(results: StudyResults) -> list[Trial]:
    """The planned trials that have not begun."""
    study = results.study
    begun = results.of_stage("search")
    planned = under_recorded_names(study, planned_trials(study, begun), begun)
    return [trial for trial in [*planned, *confirm_trials(results)] if trial.name not in results.records]


def _trials(results: StudyResults, waiting: int, running: bool) -> str:
    outcomes: list[str | None] = [record.outcome for record in results.records.values()]
    counts = [(outcomes.count(outcome), said) for outcome, said in OUTCOMES.items()]
    counts += [(outcomes.count(None), "in progress" if running else "unfinished")]
    counts += [(waiting, "not begun")]
    return f"Trials: {', '.join(f'{number} {said}' for number, said in counts if number) or 'none yet'}"


def _epochs(record: Record) -> str:
    metric = Metric.of(record.config.metric)
    epoch = record.history[-1]["epoch"] if record.history else 0
    best = f", best {metric.formatted(record.score)}" if record.score is not None else ""
    return f"{record.trial}: epoch {epoch}/{record.config.epochs}{best}"


def _leader(results: StudyResults) -> str | None:
    """The arm that leads the search while no arm has finished all of its seeds; later the headline names the best."""
    leader = next((arm for arm in results.ranking if arm.scores), None)
    if leader is None or results.search_best:
        return None
    metric = Metric.of(results.study.metric)
    seeds = f"{len(leader.scores)} of {counted(len(results.study.seeds), 'seed')}"
    return f"{leader.name}, {metric.name} {metric.formatted(leader.mean)} ({seeds})"


def _cost(results: StudyResults) -> str:
    spent = results.spent
    kinds = (spent.finished, spent.stopped, spent.failed)
    cpu, gpu = sum(each.cpu_hours for each in kinds), sum(each.gpu_hours for each in kinds)
    gpus = f", {gpu:.2g} GPU hours" if gpu else ""
    return f"{counted(len(results.ended), 'trial')} in {duration(3600 * spent.wall_hours)}, {cpu:.2g} CPU hours{gpus}"


def _command(folder: StudyFolder, last: Owner | None, *flags: str) -> str:
    """The command that runs the study again, with some flags."""
    if last is None:
        file = "STUDY" if folder.mirror else folder.place(folder.file.name)
        return shlex.join(["python", "tune.py", "run", file, "--results", folder.place().rpartition("/")[0], *flags])
    command = " ".join([last.command, *(flag for flag in flags if flag not in last.command.split())])
    elsewhere = last.cwd and last.cwd != os.getcwd()
    return f"cd {shlex.quote(str(last.cwd))} && {command}" if elsewhere else command
