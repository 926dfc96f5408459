"""Studies brought down to the embedded data."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from simclip.config.proportion import clustered_rows
from simclip.errors import InputError
from simclip.study.search.plan import planned_arms
from simclip.study.search.space import corner_arms
from simclip.study.spec.overrides import read_mapping
from simclip.study.spec.shrink import DEMOS_OWN, SCALED, shrunk
from simclip.study.spec.study import StudyConfig
from simclip.study.store.study_file import load_study
from simclip.train.config import CLUSTER_FIELDS, TrainConfig

STUDIES = Path(__file__).parents[3] / "studies"
DEMO = read_mapping(STUDIES / "demo.yaml")
SHIPPED = sorted(path for path in STUDIES.glob("*.yaml") if path.name != "demo.yaml")


def small(train: dict[str, Any] | None = None, demo: dict[str, Any] = DEMO, **study: Any) -> dict[str, Any]:
    return shrunk({"name": "asked", "train": train or {}, **study}, demo)


def values(parameter: dict[str, Any], field: str = "cluster_size", **train: Any) -> list[Any]:
    return small(train, parameters={field: parameter})["parameters"][field]["values"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_load_and_plan_arms_on_the_demo(path: Path) -> None:
    study = load_study(path, (), DEMO)
    assert study.name == f"{path.stem}-demo"
    train = study.train
    assert (train.batch_size, train.epochs, train.learning_rate, train.warmup_intervals) == (64, 5, 1e-3, 3)
    assert train.iterations_per_epoch is None and train.data_workers == 0
    assert train.train_tsv == Path(STUDIES.parent, "datasets/demo/train.tsv")
    assert {each.name for each in train.evaluation_sets} == {"val", "rare", "swapped"}
    assert study.confirm is not None and (study.confirm.arms, study.confirm.seeds) == (2, 3)
    assert study.resources == StudyConfig.model_fields["resources"].default

    full = load_study(path)
    assert study.seeds == full.seeds
    control, *arms = planned_arms(study)
    assert control.is_control and not any(arm.is_control for arm in arms)
    assert 1 <= len(arms) <= len(planned_arms(full)) - 1
    for arm in arms:
        assert 2 <= arm.config.cluster_size <= clustered_rows(arm.config.proportion_by_epoch[-1], 64)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_content_is_left_as_it_is_and_the_result_is_a_file_again(path: Path, tmp_path: Path) -> None:
    content = read_mapping(path)
    before, demo = copy.deepcopy(content), copy.deepcopy(DEMO)
    result = shrunk(content, DEMO)
    assert (content, DEMO) == (before, demo)
    written = tmp_path / "small.yaml"
    written.write_text(yaml.safe_dump(result))
    assert load_study(written) == load_study(path, (), DEMO)


def test_every_training_field_is_rescaled_the_demos_or_kept() -> None:
    kept = {"lr_schedule", "weight_decay", "beta1", "beta2", "epsilon", "crop_scale", "flip", "freeze"}
    of_the_study = {"seed", "metric", "mode"}
    groups = [set(SCALED), set(DEMOS_OWN), {*CLUSTER_FIELDS} - set(SCALED), kept, of_the_study]
    assert set().union(*groups) == set(TrainConfig.model_fields)
    assert sum(map(len, groups)) == len(TrainConfig.model_fields)


@pytest.mark.parametrize(
    ("batch", "sizes", "expected"),
    [
        (1024, [1, 2, 4, 8, 16, 32, 64, 128, 256], [1, 2, 4, 8, 16]),
        (None, [256, 16, 1], [16, 2, 1]),  # 1024 where the study says nothing
        (256, [4, 12, 16], [2, 3, 4]),
        (512, [24], [3]),
        (32, [4, 8], [8, 16]),
    ],
)
def test_cluster_sizes_follow_the_batch(batch: int | None, sizes: list[int], expected: list[int]) -> None:
    assert values({"values": sizes}, **({"batch_size": batch} if batch else {})) == expected


@given(batch=st.integers(2, 4096), p=st.fractions(0, 1, max_denominator=512), data=st.data())
def test_a_cluster_still_fits_the_clustered_rows(batch: int, p: Any, data: st.DataObject) -> None:
    rows = clustered_rows(float(p), batch)
    size = data.draw(st.integers(1, max(1, rows)))
    [k] = values({"values": [size]}, batch_size=batch)
    assert (k == 1) == (size == 1)
    assert k <= 2 or k <= clustered_rows(float(p), 64)


@given(st.lists(st.integers(1, 1024), min_size=1))
def test_no_size_stands_twice_and_their_order_stays(sizes: list[int]) -> None:
    result = values({"values": sizes})
    assert len(set(result)) == len(result)
    assert values({"values": sorted(sizes)}) == sorted(result)


def test_whole_settings_of_linked_parameters_are_dropped_where_they_are_the_same() -> None:
    linked = [
        {"cluster_size": 2, "proportion": "1/2", "data_workers": 4},
        {"cluster_size": 16, "proportion": "1/2", "data_workers": 8},
        {"cluster_size": 16, "proportion": 1, "data_workers": 8},
        {"cluster_size": 64, "proportion": 1, "data_workers": 8},
    ]
    assert small(parameters={"clusters": {"values": linked}})["parameters"]["clusters"]["values"] == [
        {"cluster_size": 2, "proportion": "1/2"},
        {"cluster_size": 2, "proportion": 1},
        {"cluster_size": 4, "proportion": 1},
    ]


def test_the_largest_searched_value_becomes_the_demos() -> None:
    assert values({"values": [256, 512, 2048]}, "batch_size") == [8, 16, 64]
    assert values({"values": [2, 10, 20]}, "epochs") == [1, 2, 5]
    assert values({"values": ["5e-6", 1e-5, "2e-5"]}, "learning_rate", learning_rate=1e-6) == [2.5e-4, 5e-4, 1e-3]
    assert values({"values": [None, "1e-5"]}, "learning_rate") == [1e-3]
    assert values({"values": [0, 100, 200]}, "lr_warmup_steps") == [0, 10, 20]
    assert values({"values": [1, 3, 6, 9]}, "warmup_intervals", epochs=20) == [1, 2, 3]
    # Cluster sizes, here too, keep their share of the batch.
    linked = [{"batch_size": 512, "cluster_size": 64}, {"batch_size": 256, "cluster_size": 32}]
    assert small({"batch_size": 1024}, parameters={"both": {"values": linked}})["parameters"]["both"]["values"] == [
        {"batch_size": 64, "cluster_size": 8},
        {"batch_size": 32, "cluster_size": 4},
    ]


def test_ranges_are_rescaled() -> None:
    parameters = {
        "cluster_size": {"min": 16, "max": 256, "q": 16, "distribution": "q_uniform"},
        "epochs": {"min": 20, "max": 20.0, "distribution": "int_uniform"},
        "learning_rate": {"min": "1e-6", "max": "1e-4", "distribution": "log_uniform_values"},
        "proportion": {"min": 0.1, "max": "1/2"},
    }
    assert small(parameters=parameters)["parameters"] == {
        "cluster_size": {"min": 2, "max": 16, "q": 1, "distribution": "q_uniform"},
        "epochs": {"value": 5},
        "learning_rate": {"min": 1e-5, "max": 1e-3, "distribution": "log_uniform_values"},
        "proportion": {"min": 0.1, "max": "1/2"},
    }


@pytest.mark.parametrize("searcher", ["random", "optuna"])
def test_sampled_studies_shrink(searcher: str, tmp_path: Path) -> None:
    path = tmp_path / "sampled.yaml"
    parameters = {"cluster_size": {"min": 2, "max": 256}, "proportion": {"min": 0.5, "max": 1}}
    path.write_text(yaml.safe_dump({"name": "s", "parameters": parameters, "searcher": searcher, "trials": 7}))
    study = load_study(path, (), DEMO)
    assert study.trials == 7
    assert study.parameters["cluster_size"].limits == (2, 16)
    assert len(planned_arms(study) or corner_arms(study)) >= 5


def test_cluster_fields_stay_and_other_training_fields_are_the_demos() -> None:
    train = {"cluster_size": 64, "proportion": "1/4", "similarity": "image", "max_similarity": 0.9}
    ordinary = {"train_tsv": "mine.tsv", "weight_decay": 0.5, "batch_size": 1024, "warmup_intervals": 9, "epochs": 20}
    assert small({**ordinary, **train})["train"] == {**DEMO["train"], **train, "cluster_size": 4}
    assert small({"warmup_intervals": 1})["train"]["warmup_intervals"] == 1
    assert small()["train"]["cluster_size"] == 2  # 16 of 1024, by default


def test_proportions_by_epoch_keep_their_course_and_their_end() -> None:
    twenty = [epoch / 20 for epoch in range(1, 21)]
    assert small({"epochs": 20, "proportions": twenty})["train"]["proportions"] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert small({"epochs": 2, "proportions": [0, 1]})["train"]["proportions"] == [0, 0, 1, 1, 1]
    linked = [{"epochs": 20, "proportions": twenty}, {"epochs": 8, "proportions": twenty[:8]}]
    assert small(parameters={"length": {"values": linked}})["parameters"]["length"]["values"] == [
        {"epochs": 5, "proportions": [0.2, 0.4, 0.6, 0.8, 1.0]},
        {"epochs": 2, "proportions": [0.2, 0.4]},
    ]


def test_what_the_demo_brings_is_no_longer_searched() -> None:
    searched = {
        "model": {"values": ["a", "b"]},
        "train_tables": {"values": [[], [{"tsv": "t", "image_dir": "i"}]]},
        "iterations_per_epoch": {"min": 10, "max": 20},
        "machine": {"values": [{"threads": 1, "compile": False}, {"threads": 2, "compile": True}]},
    }
    kept = {"flip": {"values": [False, True]}, "weight_decay": {"value": 0.2}}
    assert small(parameters={**searched, **kept})["parameters"] == kept
    with pytest.raises(InputError, match="parameters: model, train_tables, iterations_per_epoch, machine cannot be"):
        small(parameters=searched)


def test_study_fields() -> None:
    study = {
        "description": "what",
        "seeds": [4, 5],
        "keep_models": 1,
        "searcher": "random",
        "trials": 3,
        "scheduler": "asha",
        "asha": {"grace_period": 8, "reduction_factor": 2},
    }
    machine = {"resources": {"gpus": 8}, "max_concurrent": 9}
    test = [{"kind": "retrieval", "name": "flickr30k", "tsv": "f.tsv", "image_dir": "f"}]
    result = small({"epochs": 20}, **study, **machine, test=test, confirm={"arms": 9, "seeds": 9})
    assert result.pop("train") and result == {
        **study,
        "name": "asked-demo",
        "asha": {"grace_period": 2, "reduction_factor": 2},
        "test": DEMO["test"],
        "confirm": DEMO["confirm"],
    }


def test_a_study_without_a_confirm_stage_gets_none() -> None:
    assert {"confirm": None}.items() <= small(confirm=None).items()
    assert "test" not in small(confirm=None, test=[{"name": "mine"}])


def test_metrics_of_sets_that_the_demo_has_stay() -> None:
    mixed = {"val/mean_r1": 0.7, "rare/top1": 0.3}
    result = small(metric=mixed, test_metric="test/t2i_r5")
    assert (result["metric"], result["test_metric"]) == (mixed, "test/t2i_r5")
    StudyConfig.model_validate(small(metric=mixed))
    StudyConfig.model_validate(small(metric="rare/top1"))


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"metric": "imagenet/top1"}, "metric: 'imagenet/top1' is of a set that the embedded data do not have"),
        ({"metric": {"val/mean_r1": 1, "aro/top1": 1}}, "metric: 'aro/top1'"),
        ({"metric": "test/mean_r1"}, "they have val, rare, swapped: run the study without --demo"),
        ({"test_metric": "val/mean_r1"}, "test_metric: 'val/mean_r1'"),
    ],
)
def test_metrics_of_other_sets_are_refused(metrics: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        small(**metrics)
    assert said in str(error.value)
