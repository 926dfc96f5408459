"""The Python snippets run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from simclip.train.config import TrainConfig
from tests.conftest import write_study
from tests.docs.pages import BY_NAME


@pytest.mark.usefixtures("without_ray")
def test_the_snippets_of_the_python_page_run(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a tiny study in place of the demo."""
    monkeypatch.chdir(tmp_path)
    write_study(config, tmp_path / "studies" / "demo.yaml")
    first, second = BY_NAME["python"].blocks("python")
    assert len(first.strip().splitlines()) <= 7
    names: dict[str, Any] = {}
    exec(first, names)
    planned, ranked = names["plan"](names["study"]), names["arms"](names["results"])
    assert list(planned["arm"]) == ["control", "k2", "k4"] and "cluster_size" in planned
    assert isinstance(ranked, pd.DataFrame) and set(ranked["arm"]) == {"control", "k2", "k4"}
    assert ranked["mean"].is_monotonic_decreasing
    assert "epoch 2/2" in capsys.readouterr().out
    exec(second, names)
    assert len(names["trials"](names["results"])) == 3 + 6
    assert set(names["curves"]["epoch"]) == {0, 1, 2}
    assert names["results"].verdict is not None
