"""The confirm stage's fields: which are refused, in one line, and what a margin means for a metric."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from simclip.config.explain import explain
from simclip.study.spec.study import StudyConfig

DATA = {"val_tsv": "val.tsv", "val_image_dir": "images"}


def study(metric: str = "val/mean_r1", **confirm: Any) -> StudyConfig:
    return StudyConfig(name="toy", train=DATA, metric=metric, confirm=confirm)


@pytest.mark.parametrize(
    ("metric", "confirm", "message"),
    [
        ("val/mean_r1", {"seeds": [3, 3]}, "confirm.seeds: [3, 3]: each look takes more seeds than the one before"),
        ("val/mean_r1", {"seeds": [5, 3]}, "confirm.seeds: [5, 3]: each look takes more seeds than the one before"),
        ("val/mean_r1", {"seeds": [2, 5]}, "confirm.seeds: [2, 5]: the first look needs at least 3 seeds"),
        ("val/mean_r1", {"seeds": []}, "confirm.seeds: [] is not a number of seeds or a list of them"),
        ("val/mean_r1", {"seeds": "many"}, "confirm.seeds: 'many' is not a number of seeds or a list of them"),
        ("val/mean_r1", {"seeds": 0}, "confirm.seeds: 0: expected 1 to 1000 seeds"),
        ("val/mean_r1", {"margin": 0}, "confirm.margin: 0: expected a difference above 0"),
        ("val/mean_r1", {"margin": -0.1}, "confirm.margin: -0.1: expected a difference above 0"),
        ("val/mean_r1", {"margin": "0%"}, "confirm.margin: '0%': expected a difference above 0"),
        ("val/mean_r1", {"margin": "small"}, "confirm.margin: 'small' is not a difference of the metric"),
        ("val/mean_r1", {"margin": 2}, "confirm.margin: 2 is more than val/mean_r1 can differ"),
        ("val/loss", {"margin": "0.5%"}, "confirm.margin: 0.5% is in percent, but val/loss is not"),
    ],
)
def test_wrong_looks_and_margins_are_refused_in_one_line(metric: str, confirm: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        study(metric, **confirm)
    line = str(explain(refused.value, "study.yaml", StudyConfig))
    assert line.startswith(f"study.yaml: {message}") and "\n" not in line


def test_a_number_of_seeds_is_one_look() -> None:
    found = study(seeds=5).confirm
    assert found is not None and (found.looks, found.most_seeds) == ((5,), 5)
    found = study(seeds=[3, 5, 8]).confirm
    assert found is not None and (found.looks, found.most_seeds) == ((3, 5, 8), 8)
    assert study(seeds=[3, 5, 8]).confirm_seeds == range(1000, 1008)


def test_a_margin_is_in_the_unit_of_the_metric() -> None:
    assert study(margin="0.5%").margin == pytest.approx(0.005) == study(margin=0.005).margin
    assert study("val/loss", margin=2).margin == 2
    assert study().margin is None
