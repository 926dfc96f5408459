"""The page that shows real clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simclip.cli.wording.table import Cell, Column, Row, Table, text_cell
from simclip.clusters.survey import Example, Survey
from simclip.clusters_page.duplicates import Rule, Shown, plain
from simclip.clusters_page.plots import exclusion, similarities
from simclip.clusters_page.subject import Subject
from simclip.clusters_page.thumbnails import thumbnail
from simclip.html.figure import style
from simclip.html.page import inlined, render
from simclip.runtime.files import write_atomically

TEMPLATE = Path(__file__).parent / "templates" / "clusters.html.jinja"

#: Rows of a cluster that the page has pictures of; the rest is counted.
MOST_SHOWN = 31
MOST_EXCLUDED = 8


@dataclass(frozen=True)
class Look:
    """All that the page is made of.

    Attributes:
        rows: Of the training set, each with the caption that similarity was measured on.
        examples: From the tightest cluster to the loosest.
        pairs: Rows, their nearest neighbours and the cosine of both, the most similar first.
        seed: Of the anchors.
    """

    subject: Subject
    rows: Sequence[Shown]
    found: Survey
    examples: Sequence[Example]
    pairs: Sequence[tuple[int, int, float]]
    seed: int

    @property
    def rule(self) -> Rule:
        """What is marked."""
        return Rule.of(self.subject.config.max_similarity, self.found)


def write_look(look: Look, to: Path) -> Path:
    """Write the page, pictures included."""
    with style():
        drawn = inlined([draw(look.found, look.rule.line) for draw in (similarities, exclusion)])
        text = render(TEMPLATE, pictures=drawn, **content(look))
    write_atomically(to, text)
    return to


def content(look: Look) -> dict[str, Any]:
    """What the page says."""
    return {
        "name": look.subject.name,
        "facts": [*facts(look)],
        "headline": headline(look),
        "tiles": [*tiles(look)],
        "rule": str(look.rule),
        "notes": [*notes(look)],
        "levels": levels(look),
        "pairs": [*pairs(look)],
        "clusters": [*clusters(look)],
        "seed": look.seed,
    }


def headline(look: Look) -> str:
    """The page in a sentence, for the terminal too."""
    config, found = look.subject.config, look.found
    near, far = float(np.median(found.nearest)), float(np.median(found.cosines[:, -1]))
    neighbours = f"neighbours have similarities from {near:.3f} down to {far:.3f} (medians)"
    if found.cosines.shape[1] == 1:
        neighbours = f"neighbour has a similarity of {near:.3f} (median)"
    return (
        f"In clusters of {config.cluster_size} by {config.similarity}, an anchor's {neighbours}; any two rows have "
        f"{float(np.median(found.random)):.3f}."
    )


def facts(look: Look) -> Iterator[str]:
    """Which data, model and fields."""
    config = look.subject.config
    yield f"{len(look.rows):,} rows"
    yield f"model {config.model}"
    yield f"similarity by {config.similarity}"
    yield f"cluster size k = {config.cluster_size}"
    yield f"neighbourhood s = {config.neighborhood}"
    yield f"max_similarity {'off' if config.max_similarity is None else format(config.max_similarity, 'g')}"


def tiles(look: Look) -> Iterator[dict[str, str]]:
    """The figures."""
    found, config, line = look.found, look.subject.config, look.rule.line
    captions = _doubled([plain(row.caption) for row in look.rows])
    files = _doubled([row.path for row in look.rows])
    count = config.neighborhood * (config.cluster_size - 1)
    yield {"name": "nearest neighbour", "value": f"{np.median(found.nearest):.3f}", "more": _middle(found.nearest)}
    if count > 1:
        last = found.cosines[:, -1]
        yield {"name": f"neighbour number {count}", "value": f"{np.median(last):.3f}", "more": _middle(last)}
    yield {"name": "any two rows", "value": f"{np.median(found.random):.3f}", "more": _middle(found.random)}
    yield {"name": f"rows with a neighbour at {line:.3f} or above", "value": _share(found.left_out(line)), "more": ""}
    yield {"name": "rows whose caption another row has", "value": _share(captions), "more": ""}
    if files:
        yield {"name": "rows whose image another row has", "value": _share(files), "more": ""}


def notes(look: Look) -> Iterator[dict[str, Any]]:
    """What has to be said beside the figures."""
    config, surveyed = look.subject.config, len(look.found.anchors)
    if config.pretrain:
        yield {"text": "The model starts from random weights (pretrain): what is similar to it now tells little about "
                       "later epochs.", "warn": True}  # fmt: skip
    if surveyed < len(look.rows):
        yield {"text": f"Figures are from {surveyed:,} anchors drawn with seed {look.seed}, compared with all "
                       f"{len(look.rows):,} rows.", "warn": False}  # fmt: skip
    for each in look.examples:
        if each.short:
            yield {"text": f"Training would stop: {each.short}.", "warn": True}
            break


def levels(look: Look) -> Table:
    """How many rows each level of max_similarity leaves out."""
    found, rows = look.found, []
    for place, level in enumerate(found.levels):
        share, per_anchor = found.left_out(level), float(found.above[:, place].mean())
        count = share * len(look.rows)
        name = f"{level:.3f}" + (" (given)" if level == look.subject.config.max_similarity else "")
        cells = [
            Cell(_share(share), share),
            Cell(f"{count:,.0f}", round(count)),
            Cell(f"{per_anchor:,.2f}", per_anchor),
        ]
        rows.append(Row([text_cell(name), *cells]))
    return Table(
        [Column("max_similarity"), *(Column(each, right=True) for each in ("rows left out", "in all", "per anchor"))],
        rows,
        "levels",
        "What max_similarity leaves out",
        "Share and number of rows that are left out of at least one cluster, and how many rows an anchor loses on "
        "average. The pairs below show where duplicates end and hard negatives begin.",
    )


def pairs(look: Look) -> Iterator[dict[str, Any]]:
    """Nearest neighbours at the table's similarities."""
    for row, neighbour, cosine in look.pairs:
        yield {"cosine": f"{cosine:.3f}", "rows": [card(look, row), card(look, neighbour, row, cosine)]}


def card(
    look: Look, row: int, anchor: int | None = None, cosine: float = 1.0, excluded: bool = False
) -> dict[str, Any]:
    """One row with its picture, and what it is to its anchor."""
    shown = look.rows[row]
    said, marks = None, []
    if anchor is not None:
        said, marks = f"{cosine:.3f}", look.rule.marks(look.rows[anchor], shown, -1.0 if excluded else cosine)
    return {
        "file": shown.path.name,
        "src": thumbnail(shown.path),
        "caption": shown.caption,
        "cosine": said,
        "marks": marks,
    }


def clusters(look: Look) -> Iterator[dict[str, Any]]:
    """The examples, with pictures."""
    for each in look.examples:
        out = [*zip(each.excluded, each.excluded_cosines, strict=True)]
        members = [*zip(each.members, each.cosines, strict=True)]
        rest = members[MOST_SHOWN:]
        yield {
            "anchor": card(look, each.anchor),
            "excluded": [card(look, row, each.anchor, cosine, excluded=True) for row, cosine in out[:MOST_EXCLUDED]],
            "members": [card(look, row, each.anchor, cosine) for row, cosine in members[:MOST_SHOWN]],
            "more_excluded": max(0, len(out) - MOST_EXCLUDED),
            "rest": f"{len(rest)} more, down to {rest[-1][1]:.3f}" if rest else "",
            "looser": f"{each.looser:.0%}",
            "mean": f"{np.mean(each.cosines):.3f}" if each.cosines else "none",
        }


def _share(value: float) -> str:
    return f"{value:.0%}" if value in (0, 1) or value >= 0.1 else f"{value:.1%}"


def _middle(values: np.ndarray) -> str:
    low, high = np.quantile(values, [0.1, 0.9])
    return f"80% from {low:.3f} to {high:.3f}"


def _doubled(items: Sequence[Any]) -> float:
    return sum(count for count in Counter(items).values() if count > 1) / len(items)
