"""Which way a metric is better."""

from __future__ import annotations

from pathlib import Path

import pytest

from simclip.cli.wording.verdict import headline
from simclip.errors import InputError
from simclip.evaluation.objective import direction
from simclip.study.analysis.results import StudyResults
from simclip.study.spec.study import StudyConfig
from simclip.study.store.study_file import dump, load_study
from simclip.train.config import TrainConfig


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("val/mean_r1", "max"),
        ("rare/top1", "max"),
        ("swapped/accuracy", "max"),
        ("val/loss", "min"),
        ("own/loss", "min"),
        ("somewhere/else", None),
        ({"val/mean_r1": 0.7, "rare/top1": 0.3}, "max"),
        ({"val/loss": 1.0, "other/loss": 2.0}, "min"),
        ({"val/mean_r1": 1.0, "val/loss": -0.1}, "max"),
        ({"val/mean_r1": 1.0, "val/loss": 0.0}, "max"),
    ],
)
def test_every_metric_has_its_direction(metric, better):
    assert direction(metric) == better
    assert TrainConfig(metric=metric).mode == (better or "max")
    study = StudyConfig(name="s", metric=metric)
    assert study.mode == study.train.mode == (better or "max")


def test_a_mean_of_gains_and_losses_is_refused():
    with pytest.raises(ValueError, match="val/loss is better when smaller and val/mean_r1 when larger"):
        direction({"val/mean_r1": 0.7, "val/loss": 0.3})


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str) -> Path:
        path = tmp_path / "s.yaml"
        path.write_text(f"name: s\ntrain: {{batch_size: 64, proportion: 0.5}}\n{text}\n")
        return path

    return written


def test_the_mode_of_a_study_follows_its_metric(write):
    path = write("metric: val/loss")
    study = load_study(path)
    assert study.mode == study.train.mode == "min"
    assert load_study(path, ["metric=val/mean_r1"]).mode == "max"
    path.write_text(dump(study))
    assert load_study(path) == study


def test_a_contradiction_is_one_line(write):
    with pytest.raises(InputError) as error:
        load_study(write("metric: val/loss\nmode: max"))
    assert str(error.value).endswith("s.yaml: mode: max contradicts the metric val/loss, which is better when smaller")
    with pytest.raises(InputError, match=r"^override 'mode=min': mode: min contradicts the metric val/mean_r1"):
        load_study(write(""), ["mode=min"])
    with pytest.raises(InputError, match=r"s.yaml: metric: val/loss is better when smaller and val/mean_r1"):
        load_study(write("metric: {val/mean_r1: 1, val/loss: 1}\nmode: max"))
    with pytest.raises(InputError, match=r"s.yaml: train.mode: differs from the study's mode 'min'"):
        load_study(write("metric: val/loss"), ["train.mode=max"])


def test_a_test_metric_has_the_direction_of_the_metric(write):
    path = write(
        "test: [{kind: retrieval, name: test, tsv: a.tsv, image_dir: b}]\ntest_metric: test/loss\nmetric: val/mean_r1"
    )
    with pytest.raises(InputError, match="test_metric: test/loss is better when smaller, but the metric val/mean_r1"):
        load_study(path)


def test_an_earlier_studys_wrong_mode_is_still_read():
    study = StudyConfig(name="s", metric="val/loss", mode="max")
    assert (study.mode, study.train.mode) == ("max", "max")
    assert "upside down: mode: max contradicts" in headline(StudyResults(study, {}))
    assert StudyConfig(name="s", metric="val/loss").contradiction is None
