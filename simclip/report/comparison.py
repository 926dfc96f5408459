"""Several studies side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from simclip.cli.wording.verdict import sentences
from simclip.html.figure import Picture, style
from simclip.html.page import inlined, render, save_all
from simclip.html.table import Cell, Table
from simclip.report.arm_tables import confirmed_row
from simclip.report.findings import Findings
from simclip.report.forest_plot import Limits, extent, forest, ranking
from simclip.report.gain_plot import gains
from simclip.report.header import facts, mark, tiles
from simclip.report.learning_curves import learning_curves
from simclip.report.metric_tables import metrics_of
from simclip.report.parameter_plots import effect_lines, full_colour, maps
from simclip.report.trial_tables import total_cost
from simclip.runtime.files import write_atomically
from simclip.study.store.folder import StudyFolder

TEMPLATE = Path(__file__).parent / "templates" / "comparison.html.jinja"

PICTURES = (ranking, effect_lines, learning_curves, gains)


def write_comparison(folders: Sequence[StudyFolder], to: Path) -> Path:
    """Write one page about several studies, and its pictures and tables into a folder of the page's name.

    Args:
        folders: Results of the studies, each finished or not.
        to: The page, such as comparison.html.

    Returns:
        The page.

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
        tables = [*side_by_side(studies)]
        save_all([], tables, beside)
        for name, first, more in zip(names, forests, others, strict=True):
            save_all([*first, *more], [], beside / name)
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
        )
    write_atomically(to, text)
    return to


def _limits(findings: Findings, studies: Sequence[Findings]) -> Limits | None:
    """The axis that forest plots of one unit share, so that they can be compared by eye."""
    same = [each for each in studies if each.confirmed.percent and findings.confirmed.percent] or [findings]
    ends = [found for each in same if (found := extent(each))]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


def _colours(findings: Findings, studies: Sequence[Findings]) -> float:
    """The difference that has the full colour in all maps of one unit."""
    return max(full_colour(each) for each in studies if each.metric.percent == findings.metric.percent)


def _rows(names: Sequence[str], pictures: Sequence[Sequence[Picture]]) -> list[dict[str, Any]]:
    """What shows the same stands in one row."""
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


def side_by_side(studies: Sequence[Findings]) -> Iterator[Table]:
    """The tables that hold all studies."""
    yield from _verdicts(studies)
    yield from _metrics(studies)
    yield from _costs(studies)
    yield from _settings(studies)


def _card(findings: Findings) -> dict[str, Any]:
    return {
        "description": findings.study.description,
        "facts": [*facts(findings)],
        "mark": mark(findings),
        "sentence": sentences(findings)[0],
        "tiles": [*tiles(findings)],
    }


def _verdicts(studies: Sequence[Findings]) -> Iterator[Table]:
    columns = ["study", "metric", "arm", "seeds", "mean", "± sd", "95% interval", "vs control", "95% interval of it",
               "p (Holm)", "verdict", "seeds needed"]  # fmt: skip
    rows = []
    for findings in studies:
        for arm in findings.verdict.arms if findings.verdict else []:
            head = [Cell(text, text) for text in (_label(findings, studies), findings.confirmed.title)]
            rows.append(("control" if arm.control else "", [*head, *confirmed_row(arm, findings.confirmed)]))
    if rows:
        caption = "Each study against its own control, p corrected within the study; between studies nothing is tested."
        yield Table("confirmed", "Confirmed arms", caption, columns, rows)


def _metrics(studies: Sequence[Findings]) -> Iterator[Table]:
    for findings in studies:
        label = _label(findings, studies)
        for table in metrics_of(findings):
            yield Table(
                f"metrics-{label}", f"{label}: {table.title.lower()}", table.caption, table.columns, table.rows, True
            )


def _costs(studies: Sequence[Findings]) -> Iterator[Table]:
    rows = [(("", [Cell(label, label), *total_cost(findings)[2:]])) for findings in studies
            if (label := _label(findings, studies)) and findings.ended]  # fmt: skip
    if rows:
        caption = "In hours. Wall: the time in which at least one trial ran; CPU and GPU: what the trials had reserved."
        yield Table("cost", "Cost", caption, ["study", "trials", "wall h", "trial h", "CPU h", "GPU h"], rows)


def _settings(studies: Sequence[Findings]) -> Iterator[Table]:
    """The fields in which the study files differ."""
    files = [findings.folder.recorded() or {} for findings in studies]
    names = [name for name in dict.fromkeys(name for file in files for name in file)
             if len({repr(file.get(name)) for file in files}) > 1 and name not in ("name", "description")]  # fmt: skip
    rows = [
        ("", [Cell(name, name), *(Cell(_said(file.get(name)), str(file.get(name))) for file in files)])
        for name in names
    ]
    if rows:
        columns = ["field", *(_label(findings, studies) for findings in studies)]
        yield Table(
            "settings", "Where the study files differ", "All other fields are the same.", columns, rows, len(rows) > 12
        )


def _label(findings: Findings, studies: Sequence[Findings]) -> str:
    """The study's name, with a number where several have the same."""
    same = [each for each in studies if each.study.name == findings.study.name]
    place = next(number for number, each in enumerate(same, 1) if each is findings)
    return findings.study.name if len(same) == 1 else f"{findings.study.name}-{place}"


def _said(value: Any) -> str:
    return "" if value is None else str(value)
