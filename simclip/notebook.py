"""Studies in Python: load, plan, run and read them, as in a notebook; tables are pandas frames."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console

from simclip.cli import session
from simclip.cli.output import say
from simclip.cli.terminal.plain_lines import PlainLines
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.report import write_report
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.write_results import trial_table
from simclip.study.execution.ownership import check_free
from simclip.study.execution.preflight import check_study
from simclip.study.execution.resources import resolve_for_resume, with_recorded_numerics
from simclip.study.search.plan import planned_trials
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import STUDY_FIELDS
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import read_records
from simclip.study.store.study_file import load_with_data


def load(file: str | Path, *overrides: str) -> StudyConfig:
    """Load a study file with overrides such as "train.epochs=2", and check its input.

    Raises:
        InputError: The file, an override or the input is wrong.
    """
    console = SafeConsole()
    study = load_with_data(Path(file), overrides, notify=lambda line: say(console, line))
    for warning in check_study(study):
        say(console, f"warning: {warning}")
    return study


def plan(study: StudyConfig) -> pd.DataFrame:
    """The trials that the search plans, one row each, with the training fields in which they differ."""
    trials = planned_trials(study)
    rows = [{"arm": t.arm.name, "seed": t.seed, **t.config.model_dump(exclude={*STUDY_FIELDS})} for t in trials]
    frame = pd.DataFrame(rows)
    fixed = [name for name in frame.columns[2:] if frame[name].map(repr).nunique() < 2]
    return frame.drop(columns=fixed)


def run(study: StudyConfig, results: str | Path = "results", address: str | None = None) -> StudyResults:
    """Run a study or resume it, with a line of progress per epoch, and write its report.

    Args:
        study: The study.
        results: Folder that holds a folder per study, or a URI.
        address: Address of a running Ray cluster; by default $RAY_ADDRESS, else Ray is started on this machine.

    Raises:
        InputError: The folder belongs to another study or another running command, or a trial found its input wrong.
    """
    console, folder = SafeConsole(), StudyFolder.at(f"{str(results).rstrip('/')}/{study.name}")
    check_free(folder.path)
    folder.check_claim(with_recorded_numerics(study, folder))
    end = session.finished(study, folder, retry_failed=False)
    if end is None:
        session.prepare(console, study)
        cluster = session.connect_to_ray(console, address)
        study = resolve_for_resume(study, cluster, folder)
        end = session.run_and_show(console, study, cluster, folder, shown=_lines(console, study, folder))
    write_report(folder)
    folder.push()
    return end.results


def read(results: str | Path) -> StudyResults:
    """Read the results of a study from its folder or URI, also while it runs.

    Raises:
        InputError: The folder holds no study's results.
    """
    return StudyResults.read(results)


def trials(results: StudyResults) -> pd.DataFrame:
    """A row per ended trial: outcome, score, every metric at the best epoch, configuration."""
    return trial_table(results)


def arms(results: StudyResults) -> pd.DataFrame:
    """A row per arm of the search, the best mean first, with the mean of every metric at the best epoch."""
    rows = [
        {"arm": arm.name, "control": arm.control, "seeds": len(arm.scores), "mean": arm.mean, "std": arm.std,
         "vs control": arm.difference, **arm.metrics}
        for arm in results.ranking
    ]  # fmt: skip
    return pd.DataFrame(rows)


def epochs(results: StudyResults) -> pd.DataFrame:
    """A row per trial and epoch with all figures that were recorded; epoch 0 is the base model."""
    rows = [
        {"trial": name, "arm": record.arm, "seed": record.seed, **row}
        for name, record in results.records.items()
        for row in record.history
    ]
    return pd.DataFrame(rows)


def _lines(console: Console, study: StudyConfig, folder: StudyFolder) -> PlainLines:
    return PlainLines(study, folder.logs, console.file, read_records(folder.trials))
