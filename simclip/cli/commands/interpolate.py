"""`tune.py interpolate`: models between a study's confirmed models and the base model (WiSE-FT)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from simclip.cli.exits import DONE
from simclip.cli.output import say
from simclip.cli.terminal.fitting_table import FittingTable
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.config.explain import hint
from simclip.config.uris import is_uri
from simclip.errors import InputError
from simclip.models.model_folder import check_target
from simclip.runtime.gc import paused_gc
from simclip.runtime.progress import with_progress
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.ownership import check_free
from simclip.study.interpolation.points import Interpolation, check_kept, missing_points, trials_to_interpolate
from simclip.study.spec.study import FIRST_CONFIRM_SEED
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder


def interpolate(
    study: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")],
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 10,
    to: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    arm: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    alpha: Annotated[float | None, tyro.conf.arg(metavar="ALPHA")] = None,
    seed: Annotated[int | None, tyro.conf.arg(metavar="SEED")] = None,
) -> int:
    """Interpolate a study's confirmed models with the base model, and compare them again (WiSE-FT).

    Args:
        study: results folder of a study whose confirm stage kept its models, or its URI.
        steps: number of equal steps of alpha from 0, the base model, to 1, the trained model.
        to: only write the model at one alpha to this folder; new or empty.
        arm: with --to, the arm; by default the study's best.
        alpha: with --to, the alpha; by default the one that was chosen for the arm.
        seed: with --to, the confirm seed of the model; by default the first.
    """
    console, folder = SafeConsole(), StudyFolder.at(study)
    results = StudyResults.read(folder)
    if to is not None:
        return _write(console, folder, results, to, arm, alpha, FIRST_CONFIRM_SEED if seed is None else seed)
    for flag, given in {"--arm": arm, "--alpha": alpha, "--seed": seed}.items():
        if given is not None:
            raise InputError(f"{flag} {given}: it says which model to write; give --to FOLDER too")
    if not 1 <= steps <= 1000:
        raise InputError(f"--steps {steps}: expected 1 to 1000")
    check_free(folder.path)
    trials = trials_to_interpolate(folder, results)
    missing = missing_points(folder, results, trials, [float(f"{step / steps:g}") for step in range(steps + 1)])
    check_kept(folder, [*missing])
    count = sum(map(len, missing.values()))
    say(console, f"{len(trials)} models of {len({each.arm for each in trials.values()})} arms: {count} evaluations...")
    if missing:
        with paused_gc():
            from transformers.utils.logging import disable_progress_bar

            from simclip.study.interpolation.measure import measure
        disable_progress_bar()
        for _ in with_progress(measure(folder, trials, missing), "evaluating", count, 0, 1):
            pass
    return _show(console, folder, results)


def _show(console: SafeConsole, folder: StudyFolder, results: StudyResults) -> int:
    from simclip.cli.wording.interpolation import interpolation_sentences, interpolation_table
    from simclip.report import write_report

    found = Interpolation.read(folder, results)
    assert found is not None
    console.print(FittingTable(interpolation_table(found)))
    say(console, "")
    for line in interpolation_sentences(found):
        say(console, line)
    write_report(folder)
    folder.push()
    say(console, f"Curves and every metric: {folder.place(layout.REPORT)}")
    return DONE


def _write(
    console: SafeConsole,
    folder: StudyFolder,
    results: StudyResults,
    to: Path,
    arm: str | None,
    alpha: float | None,
    seed: int,
) -> int:
    """Write one model, after checking what was asked for."""
    if is_uri(to):
        raise InputError(f"--to {to}: give a local folder")
    target = to.expanduser().absolute()
    check_target(target)
    trials = trials_to_interpolate(folder, results)
    arms = {record.arm: record for record in trials.values()}
    if arm is None:
        if results.best is None or results.best.arm.name not in arms:
            raise InputError(f"{folder.place()}: the confirm stage has not ended: give --arm; {hint('', arms)}")
        arm = results.best.arm.name
    if arm not in arms:
        raise InputError(f"--arm {arm}: no such arm was confirmed; {hint(arm, arms)}")
    if f"{arm}-s{seed}" not in trials:
        seeds = ", ".join(str(record.seed) for record in trials.values() if record.arm == arm)
        raise InputError(f"--seed {seed}: {arm} was confirmed on the seeds {seeds}")
    if alpha is None:
        found = Interpolation.read(folder, results)
        if found is None:
            raise InputError(f"{folder.place()}: no alpha was chosen yet: give --alpha, or interpolate without --to")
        alpha = found.chosen[arm]
    if not 0 <= alpha <= 1:
        raise InputError(f"--alpha {alpha:g}: expected a share of the trained weights from 0 to 1")
    trial = trials[f"{arm}-s{seed}"]
    check_kept(folder, [trial.trial])
    with paused_gc():
        from transformers.utils.logging import disable_progress_bar

        from simclip.study.interpolation.measure import write_model
    disable_progress_bar()
    write_model(folder, trial, alpha, target)
    say(console, f"{target}: {trial.trial} at alpha {alpha:g}, an ordinary model folder; export writes it for OpenCLIP")
    return DONE
