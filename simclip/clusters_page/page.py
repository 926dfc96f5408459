"""The page that shows clusters of the training data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simclip.cli.wording.table import Cell, Column, Row, Table, text_cell
from simclip.clusters.survey import Example, Survey
from simclip.clusters_page.cards import Cards
from simclip.clusters_page.duplicates import DuplicateRule, PageRow, normalized
from simclip.clusters_page.plots import exclusion, similarities
from simclip.clusters_page.subject import Subject
from simclip.html.figure import missing_glyphs, style
from simclip.html.page import inlined, render
from simclip.runtime.files import write_atomically

TEMPLATE = Path(__file__).parent / "templates" / "clusters.html.jinja"


@dataclass(frozen=True, kw_only=True)
class ClustersPage:
    """Everything that the page is made of.

    Attributes:
        subject: The data, the model and the cluster fields.
        rows: The rows of the training set.
        survey: Similarities of the surveyed anchors.
        examples: Clusters, from the tightest to the loosest.
        pairs: Rows, their nearest neighbours and the cosine similarity of both, the most similar first.
        coverage: How much an epoch shows of these data, by method.
        seed: Seed that the anchors are drawn with.
    """

    subject: Subject
    rows: Sequence[PageRow]
    survey: Survey
    examples: Sequence[Example]
    pairs: Sequence[tuple[int, int, float]]
    coverage: Table
    seed: int

    @property
    def rule(self) -> DuplicateRule:
        """The rule that marks likely duplicates."""
        return DuplicateRule.of(self.subject.config.max_similarity, self.survey)


def write_clusters_page(page: ClustersPage, to: Path) -> Path:
    """Write the page, pictures included; returns its path."""
    with style(), missing_glyphs():  # a page uses the fonts of whoever opens it
        drawn = inlined([draw(page.survey, page.rule.threshold) for draw in (similarities, exclusion)])
        text = render(TEMPLATE, pictures=drawn, **content(page))
    write_atomically(to, text)
    return to


def content(page: ClustersPage) -> dict[str, Any]:
    """The fields of the template."""
    cards = Cards(page.rows, page.rule, page.subject.config.exif)
    return {
        "name": page.subject.name,
        "facts": [*facts(page)],
        "headline": headline(page),
        "tiles": [*tiles(page)],
        "rule": str(page.rule),
        "notes": [*notes(page)],
        "levels": levels(page),
        "coverage": page.coverage,
        "pairs": [*cards.pairs(page.pairs)],
        "clusters": [*cards.clusters(page.examples)],
        "seed": page.seed,
    }


def headline(page: ClustersPage) -> str:
    """The main finding in a sentence, for the page and the terminal."""
    config, survey = page.subject.config, page.survey
    near, far = float(np.median(survey.nearest)), float(np.median(survey.cosines[:, -1]))
    neighbours = f"neighbours have similarities from {near:.3f} down to {far:.3f} (medians)"
    if survey.cosines.shape[1] == 1:
        neighbours = f"neighbour has a similarity of {near:.3f} (median)"
    return (
        f"In clusters of {config.cluster_size} by {config.similarity}, an anchor's {neighbours}; any two rows have "
        f"{float(np.median(survey.random)):.3f}."
    )


def facts(page: ClustersPage) -> Iterator[str]:
    """The data, the model and the cluster fields."""
    config = page.subject.config
    yield f"{len(page.rows):,} rows"
    yield f"model {config.model}"
    yield f"similarity by {config.similarity}"
    yield f"cluster size k = {config.cluster_size}"
    yield f"neighbourhood s = {config.neighborhood}"
    yield f"max_similarity {'off' if config.max_similarity is None else format(config.max_similarity, 'g')}"
    if config.skip_nearest:
        yield f"skip_nearest {config.skip_nearest}"
    if config.relative_margin is not None:
        yield f"relative_margin {config.relative_margin:g}"


def tiles(page: ClustersPage) -> Iterator[dict[str, str]]:
    """The main numbers."""
    survey, config, threshold = page.survey, page.subject.config, page.rule.threshold
    captions = _shared_fraction([normalized(row.caption) for row in page.rows])
    files = _shared_fraction([row.path for row in page.rows])
    count = config.neighborhood * (config.cluster_size - 1)
    yield {"name": "nearest neighbour", "value": f"{np.median(survey.nearest):.3f}", "more": _central(survey.nearest)}
    if count > 1:
        last = survey.cosines[:, -1]
        yield {"name": f"neighbour number {count}", "value": f"{np.median(last):.3f}", "more": _central(last)}
    yield {"name": "any two rows", "value": f"{np.median(survey.random):.3f}", "more": _central(survey.random)}
    yield {
        "name": f"rows with a neighbour at {threshold:.3f} or above",
        "value": _share(survey.left_out(threshold)),
        "more": "",
    }
    yield {"name": "rows that share their caption", "value": _share(captions), "more": ""}
    if files:
        yield {"name": "rows that share their image", "value": _share(files), "more": ""}


def notes(page: ClustersPage) -> Iterator[dict[str, Any]]:
    """Notes beside the numbers."""
    config, surveyed = page.subject.config, len(page.survey.anchors)
    if config.pretrain:
        yield {"text": "The model starts from random weights (pretrain): similarities before training say little about "
                       "later epochs.", "warn": True}  # fmt: skip
    if surveyed < len(page.rows):
        yield {"text": f"Numbers are from {surveyed:,} anchors drawn with seed {page.seed}, compared with all "
                       f"{len(page.rows):,} rows.", "warn": False}  # fmt: skip
    for each in page.examples:
        if each.short:
            yield {"text": f"Training would stop: {each.short}.", "warn": True}
            break


def levels(page: ClustersPage) -> Table:
    """How many rows each level of max_similarity leaves out."""
    survey, rows = page.survey, []
    for place, level in enumerate(survey.levels):
        share, per_anchor = survey.left_out(level), float(survey.above[:, place].mean())
        count = share * len(page.rows)
        name = f"{level:.3f}" + (" (given)" if level == page.subject.config.max_similarity else "")
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


def _share(value: float) -> str:
    return f"{value:.0%}" if value in (0, 1) or value >= 0.1 else f"{value:.1%}"


def _central(values: np.ndarray) -> str:
    low, high = np.quantile(values, [0.1, 0.9])
    return f"80% from {low:.3f} to {high:.3f}"


def _shared_fraction(items: Sequence[Any]) -> float:
    return sum(count for count in Counter(items).values() if count > 1) / len(items)
