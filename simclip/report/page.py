"""The report of one study: a page that opens anywhere, its pictures as SVG and PNG, its tables as CSV."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from simclip.cli.wording.arm_tables import confirm_table, search_table
from simclip.cli.wording.interpolation import alpha_table, interpolation_sentences, interpolation_table
from simclip.cli.wording.table import Table
from simclip.cli.wording.verdict import sentences
from simclip.html.figure import Picture, style
from simclip.html.page import inlined, render, save_all
from simclip.report.coverage_table import coverage_table
from simclip.report.findings import Findings
from simclip.report.forest_plot import forest, ranking
from simclip.report.gain_plot import gains
from simclip.report.header import facts, mark, notes, tiles
from simclip.report.interpolation_plot import alpha_curves
from simclip.report.learning_curves import learning_curves
from simclip.report.looks_table import looks_table
from simclip.report.metric_tables import confirmed_metrics, searched_metrics
from simclip.report.parameter_plots import effect_lines, maps
from simclip.report.search_plots import importance_bars, rung_correlations
from simclip.report.trial_tables import all_trials, costs, failures
from simclip.runtime.files import write_atomically
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.resources import Cluster
from simclip.study.interpolation.points import Interpolation
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder

TEMPLATE = Path(__file__).parent / "templates" / "report.html.jinja"

PICTURES = (maps, ranking, effect_lines, learning_curves, gains, importance_bars, rung_correlations)


def write_report(folder: StudyFolder, to: Path | None = None, results: StudyResults | None = None) -> Path:
    """Write a study's report from its records, and its pictures and tables into a folder with the page's name.

    The study may be running or interrupted, and need not have any trial yet.

    Args:
        folder: The study's results.
        to: Path of the page; by default report.html in the results folder.
        results: The results if they are ranked by another metric; by default read from the folder.

    Returns:
        The path of the page.

    Raises:
        InputError: The folder holds no study's results.
    """
    findings, page = Findings(folder, results), to or folder.path / layout.REPORT
    beside = page.with_suffix("")
    between = None if results else Interpolation.read(folder, findings)
    with style():
        first, others = [*forest(findings)], [picture for draw in PICTURES for picture in draw(findings)]
        found = tables(findings)
        if between:
            others.insert(0, alpha_curves(findings, between))
            found[1:1] = [interpolation_table(between), alpha_table(between)]
        boxes = save_all(first + others, found, beside)
        text = render(
            TEMPLATE,
            beside=beside.name,
            boxes=boxes,
            between=interpolation_sentences(between) if between else [],
            **content(findings, first, others, found),
        )
    write_atomically(page, text)
    return page


def tables(findings: Findings) -> list[Table]:
    """The tables of a study, as far as there is something to show."""
    found = [
        confirm_table(findings),
        looks_table(findings),
        search_table(findings),
        confirmed_metrics(findings),
        searched_metrics(findings),
        coverage_table(findings),
        all_trials(findings),
        costs(findings),
    ]
    return [table for table in found if table]


def content(
    findings: Findings, first: Sequence[Picture], others: Sequence[Picture], found: Sequence[Table]
) -> dict[str, Any]:
    """The fields of the template."""
    return {
        "study": findings.study,
        "place": findings.folder.place(),
        "facts": [*facts(findings)],
        "mark": mark(findings),
        "sentences": sentences(findings),
        "tiles": [*tiles(findings)],
        "forest": inlined(first),
        "notes": [*notes(findings)],
        "pictures": inlined(others),
        "tables": found,
        "failures": [
            {"trial": each.trial, "reason": why, "log": findings.folder.place(layout.LOGS, f"{each.trial}.log")}
            for each, why in failures(findings)
        ],
        "commands": [*commands(findings)],
        "provenance": provenance(findings),
        "files": files(findings),
    }


def commands(findings: Findings) -> Iterator[dict[str, str]]:
    """Commands that reproduce the results."""
    folder = findings.folder
    tune = ["python", "tune.py"]
    if (folder.path / layout.BEST).exists():
        yield {"what": "Run the best configuration again and compare all metrics to the last bit",
               "text": shlex.join([*tune, "reproduce", folder.place()])}  # fmt: skip
    yield {"what": "Run the whole study in another place",
           "text": shlex.join([*tune, "run", folder.place(layout.STUDY), "--results", "elsewhere"])}  # fmt: skip
    if folder.mirror is None and (folder.path / layout.OPTUNA).exists():
        yield {"what": "Open the search in Optuna's dashboard",
               "text": shlex.join(["optuna-dashboard", f"sqlite:///{folder.path / 'optuna.db'}"])}  # fmt: skip


def provenance(findings: Findings) -> dict[str, str]:
    """Seeds, hardware and versions."""
    study, recorded = findings.study, findings.recorded
    confirmed = study.confirm_seeds
    lines = {"seeds of the search": _listed(study.seeds)}
    if confirmed:
        lines["seeds of the confirm stage"] = _listed(confirmed)
    lines["git commit"] = recorded.get("git_commit") or "not recorded"
    hardware = dict(recorded.get("hardware", {}))
    if hardware.get("nodes"):
        hardware["nodes"] = str(Cluster.of_record(hardware))
    lines |= {name.replace("_", " "): _text(value) for name, value in hardware.items()}
    share = study.resources.model_dump(exclude_none=True)
    lines["per trial"] = ", ".join(f"{name} {value:g}" for name, value in share.items())
    versions = recorded.get("versions", {})
    lines["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items()) or "not recorded"
    return lines


def files(findings: Findings) -> dict[str, str]:
    """The study file and the best configuration, by file name."""
    paths = [findings.folder.file, findings.folder.path / layout.BEST]
    return {path.name: path.read_text(encoding="utf-8") for path in paths if path.exists()}


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
