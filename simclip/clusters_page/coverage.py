"""The table of what an epoch shows of these data, by every method of making batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from simclip.cli.wording.table import Cell, Column, Row, Table, text_cell
from simclip.clusters.coverage import Coverage
from simclip.clusters.methods import NAMES, method_of
from simclip.clusters.neighbours import Neighbours
from simclip.clusters.plan import Recipe
from simclip.errors import InputError

HEADINGS = ("rows never seen", "largest count", "effective rows")


def coverage_table(neighbours: Neighbours, recipe: Recipe, seed: int) -> Table:
    """Plan an epoch without clusters, and one by each method, and count its rows.

    Args:
        neighbours: Similarities of all rows.
        recipe: Composition of a batch.
        seed: Seed of the plan.
    """
    plain = Recipe(recipe.batch_size)
    rows = [Row([text_cell("plain fine-tuning"), *_cells("clusters", neighbours, plain, seed)])]
    rows += [Row([text_cell(name), *_cells(name, neighbours, recipe, seed)]) for name in NAMES]
    return Table(
        [Column("batching"), *(Column(each, right=True) for each in HEADINGS)],
        rows,
        "coverage",
        "What an epoch shows of these data",
        f"Counted in an epoch of batches of {recipe.batch_size:,} at p = {recipe.proportion:g}, planned on these "
        "similarities. Effective rows: (sum of counts)² / (sum of squared counts).",
    )


def _cells(name: str, neighbours: Neighbours, recipe: Recipe, seed: int) -> Iterator[Cell]:
    rows, coverage, method = len(neighbours), Coverage(len(neighbours)), method_of(name)
    try:
        method.check(rows, recipe.batch_size, neighbours.skip_nearest)
        deque(coverage.counted(method.plan(recipe, neighbours, rows, rows // recipe.batch_size, seed, 0)), maxlen=0)
    except InputError as error:
        yield text_cell(str(error), "warn")
        yield from (Cell(), Cell())
        return
    unseen = 1 - coverage.seen
    yield Cell(f"{unseen:.1%}", unseen)
    yield Cell(f"{coverage.largest:,}", coverage.largest)
    yield Cell(f"{coverage.effective:,.0f}", coverage.effective)
