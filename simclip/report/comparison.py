"""Several studies side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from simclip.cli.wording.arm_tables import confirm_cells, confirm_columns
from simclip.cli.wording.table import Cell, Column, Row, Table, text_cell
from simclip.cli.wording.verdict import sentences
from simclip.html.figure import Picture, style
from simclip.html.page import inlined, render, save_all
from simclip.report.findings import Findings
from simclip.report.forest_plot import Limits, extent, forest, ranking
from simclip.report.gain_plot import gains
from simclip.report.header import facts, mark, tiles
from simclip.report.learning_curves import learning_curves
from simclip.report.metric_tables import confirmed_metrics, searched_metrics
from simclip.report.parameter_plots import effect_lines, full_colour, maps
from simclip.report.trial_tables import COST_CAPTION, COST_COLUMNS, MANY_TRIALS, total_cost
from simclip.runtime.files import write_atomically
from simclip.study.store.folder import StudyFolder

TEMPLATE = Path(__file__).parent / "templates" / "comparison.html.jinja"

PICTURES = (ranking, effect_lines, learning_curves, gains)


def write_comparison(folders: Sequence[StudyFolder], to: Path) -> Path:
    """Write one page about several studies, and its pictures and tables into a folder with the page's name.

    Args:
        folders: The studies' results; they need not be finished.
        to: Path of the page, e.g. comparison.html.

    Returns:
        The path of the page.

    Raises:
        InputError: A folder holds no study's results.
    """
    studies, beside = [Findings(folder) for folder in folders], to.with_suffix("")
    names = [_label(findings, studies) for findings in studies]
    with style():
        forests = [[*forest(findings, _limits(findings, studies))] for findings in studies]
        others = [
            [*maps(findings, _colours(findings, studies)), *(each for draw in PICTURES for each in draw(findings))]
            for findings in studies
        ]
        tables = side_by_side(studies)
        save_all([], tables, beside)
        boxes = {
            character
            for name, first, more in zip(names, forests, others, strict=True)
            for character in save_all([*first, *more], [], beside / name)
        }
        cards = [
            {"name": name, **_card(findings), "forest": inlined(first, f"{name}-")}
            for name, findings, first in zip(names, studies, forests, strict=True)
        ]
        text = render(
            TEMPLATE,
            cards=cards,
            rows=_rows(names, others),
            tables=tables,
            beside=beside.name,
            boxes="".join(sorted(boxes)),
        )
    write_atomically(to, text)
    return to


def _limits(findings: Findings, studies: Sequence[Findings]) -> Limits | None:
    """The limits of the x axis that all forest plots in percent share, so that they can be compared by eye."""
    same = [each for each in studies if each.confirmed.percent and findings.confirmed.percent] or [findings]
    ends = [found for each in same if (found := extent(each))]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


def _colours(findings: Findings, studies: Sequence[Findings]) -> float:
    """The difference with the full colour in all heat maps of the same unit."""
    return max(full_colour(each) for each in studies if each.metric.percent == findings.metric.percent)


def _rows(names: Sequence[str], pictures: Sequence[Sequence[Picture]]) -> list[dict[str, Any]]:
    """Rows of pictures of the same kind, one picture per study."""
    titles = {picture.name: picture.title for of_study in pictures for picture in of_study}
    rows: list[dict[str, Any]] = []
    for kind, title in titles.items():
        found = [
            (name, each)
            for name, of_study in zip(names, pictures, strict=True)
            for each in of_study
            if each.name == kind
        ]
        shown = [{"of": name, **inlined([each], f"{name}-")[0]} for name, each in found]
        rows.append({"title": title, "pictures": shown})
    return rows


def side_by_side(studies: Sequence[Findings]) -> list[Table]:
    """The tables of all studies."""
    found = [_verdicts(studies), *_metrics(studies), _costs(studies), _settings(studies)]
    return [table for table in found if table and table.rows]


def _card(findings: Findings) -> dict[str, Any]:
    return {
        "description": findings.study.description,
        "facts": [*facts(findings)],
        "mark": mark(findings),
        "sentence": sentences(findings)[0],
        "tiles": [*tiles(findings)],
    }


def _verdicts(studies: Sequence[Findings]) -> Table:
    rows = [
        Row([text_cell(_label(each, studies)), text_cell(each.confirmed.title), *confirm_cells(each, arm)])
        for each in studies
        for arm in (each.verdict.arms if each.verdict else [])
    ]
    return Table(
        [Column("study"), Column("metric"), *confirm_columns(studies[0].confirmed, "mean")],
        rows,
        "confirmed",
        "Confirmed arms",
        "Each study against its own control, p corrected within the study. Studies are not tested against each other.",
    )


def _metrics(studies: Sequence[Findings]) -> Iterator[Table]:
    """Every metric of the stage that decides, a table per study."""
    for findings in studies:
        label = _label(findings, studies)
        if table := confirmed_metrics(findings) or searched_metrics(findings):
            yield replace(table, name=f"metrics-{label}", title=f"{label}: {table.title.lower()}", collapsed=True)


def _costs(studies: Sequence[Findings]) -> Table:
    rows = [Row([text_cell(_label(each, studies)), *total_cost(each)]) for each in studies if each.ended]
    return Table([Column("study"), *COST_COLUMNS], rows, "cost", "Cost", COST_CAPTION)


def _settings(studies: Sequence[Findings]) -> Table:
    """The fields in which the study files differ."""
    files = [findings.folder.recorded() or {} for findings in studies]
    names = [name for name in dict.fromkeys(name for file in files for name in file)
             if len({repr(file.get(name)) for file in files}) > 1 and name not in ("name", "description")]  # fmt: skip
    rows = [
        Row([text_cell(name), *(Cell(_text(file.get(name)), str(file.get(name))) for file in files)]) for name in names
    ]
    columns = [Column("field"), *(Column(_label(findings, studies)) for findings in studies)]
    caption = "All other fields are the same."
    return Table(columns, rows, "settings", "Differences of the study files", caption, len(rows) > MANY_TRIALS)


def _label(findings: Findings, studies: Sequence[Findings]) -> str:
    """The study's name, with a number where several studies have the same name."""
    same = [each for each in studies if each.study.name == findings.study.name]
    place = next(number for number, each in enumerate(same, 1) if each is findings)
    return findings.study.name if len(same) == 1 else f"{findings.study.name}-{place}"


def _text(value: Any) -> str:
    return "" if value is None else str(value)
