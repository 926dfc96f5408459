"""The training configuration refuses what makes no sense, and derives the rest."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from simclip.train.config import CLUSTER_FIELDS, TrainConfig, control_of


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"proportion": 1.1}, "less than or equal to 1"),
        ({"proportion": -0.1}, "greater than or equal to 0"),
        ({"proportion": "1/0"}, "'1/0' is not a number or a fraction, e.g. 0.5 or 1/512"),
        ({"proportion": "half"}, "'half' is not a number or a fraction"),
        ({"proportion": "3/2"}, "less than or equal to 1"),
        ({"proportion": float("nan")}, "finite number"),
        ({"proportions": [0.1, 2.0], "epochs": 2}, "less than or equal to 1"),
        ({"proportions": [0.1, 0.5], "epochs": 3}, "proportions has 2 values for 3 epochs"),
        ({"learning_rate": float("nan")}, "finite number"),
        ({"learning_rate": float("inf")}, "finite number"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"weight_decay": float("inf")}, "finite number"),
        ({"max_similarity": float("nan")}, "finite number"),
        ({"max_similarity": 1.5}, "less than or equal to 1"),
        ({"metric": {"val/mean_r1": float("nan")}}, "expected a metric .*got {'val/mean_r1': nan}"),
        ({"metric": {}}, "the weights add up to 0: expected more"),
        ({"metric": {"val/mean_r1": 1, "val/loss": -1}}, "the weights add up to 0: expected more"),
        ({"metric": {"val/loss": "much"}}, "expected a metric such as val/mean_r1, or weights such as"),
        ({"metric": 3}, "expected a metric such as val/mean_r1, or weights such as .*; got 3 "),
        ({"metric": {"val/loss": -1}}, "the weights add up to -1: expected more"),
        ({"crop_scale": (0.9, 0.8)}, "expected 0 < low <= high <= 1"),
        ({"crop_scale": (float("nan"), 1.0)}, "finite number"),
        ({"caption_columns": []}, "at least 1 item"),
        ({"batch_size": 1}, "greater than or equal to 2"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"epochs": 2.5}, "valid integer"),
        ({"batchsize": 3}, "Extra inputs are not permitted"),
        ({"train_tables": [{"tsv": "a", "image_dir": "b", "repeats": 2}]}, "Extra inputs are not permitted"),
        ({"train_tables": [{"tsv": "a", "image_dir": "b", "repeat": 0}]}, "greater than or equal to 1"),
        ({"train_image_dir": "a"}, "train_image_dir is the folder of train_tsv's images: give train_tsv too"),
        ({"val_image_dir": "a"}, "val_image_dir is the folder of val_tsv's images: give val_tsv too"),
        ({"evaluate": [{"kind": "captioning", "name": "a"}]}, "expected tags"),
        ({"evaluate": [{"kind": "classification", "name": "a/b", "image_dir": "c"}]}, "match pattern"),
        ({"evaluate": [{"kind": "classification", "name": "a", "image_dir": "c"}] * 2}, "a is used twice"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig(**fields)


def test_a_cluster_must_fit_into_the_clustered_rows_of_the_last_epoch() -> None:
    TrainConfig(batch_size=100, proportion=0.29, cluster_size=29)
    with pytest.raises(
        ValidationError, match=r"cluster_size 30 is larger than the 29 clustered rows of a batch \(p = "
    ):
        TrainConfig(batch_size=100, proportion=0.29, cluster_size=30)
    TrainConfig(batch_size=64, proportion=0.5, cluster_size=32, proportion_warmup=True)  # less fits before the end
    TrainConfig(batch_size=64, proportions=[0.01, 0.5], epochs=2, cluster_size=32)
    with pytest.raises(ValidationError, match="larger than the 31 clustered rows"):
        TrainConfig(batch_size=64, proportions=[0.01, 0.49], epochs=2, cluster_size=32)


@pytest.mark.parametrize("fields", [{"proportion": 0}, {"cluster_size": 1, "proportion": 1}, {"proportions": [0] * 20}])
def test_without_clusters_k_may_be_anything_and_it_is_the_control(fields: dict[str, Any]) -> None:
    assert TrainConfig(**{"batch_size": 4, "cluster_size": 500, **fields}).is_control


@pytest.mark.parametrize(
    ("written", "value"), [("1/512", 1 / 512), (" 0.5 ", 0.5), ("1", 1.0), (0, 0.0), ("1e-3", 1e-3)]
)
def test_fractions_are_numbers(written: Any, value: float) -> None:
    assert TrainConfig(proportion=written, cluster_size=1).proportion == value


def test_the_warmup_of_p() -> None:
    config = TrainConfig(proportion=1, proportion_warmup=True)
    assert config.proportion_by_epoch[0] == 1 / 256 and config.proportion_by_epoch[-1] == 1
    assert TrainConfig(proportion=0.5).proportion_by_epoch == [0.5] * 20
    given = {"proportions": ["1/4", 0.5], "epochs": 2, "proportion": 0.1, "proportion_warmup": True}
    assert TrainConfig(**given).proportion_by_epoch == [0.25, 0.5]


def test_the_control_of_a_run_differs_in_cluster_fields_alone() -> None:
    config = TrainConfig(
        proportion=0.5, cluster_size=8, neighborhood=2, similarity="image", embeddings="offline", max_similarity=0.9,
        proportion_warmup=True, warmup_intervals=3, epochs=2, proportions=[0.1, 0.5], seed=5, learning_rate=1e-3,
        batching="graph", skip_nearest=3, relative_margin=0.95, hardness=0.5,
    )  # fmt: skip
    control = control_of(config)
    assert control.is_control and not config.is_control
    assert control == TrainConfig(epochs=2, seed=5, learning_rate=1e-3)
    changed = {name for name in TrainConfig.model_fields if getattr(control, name) != getattr(config, name)}
    assert changed == set(CLUSTER_FIELDS)


def test_hardness_alone_is_an_arm_in_which_no_cluster_field_matters() -> None:
    alone = TrainConfig(hardness=0.5)
    assert not alone.is_control and not alone.has_clusters
    idle = {"cluster_size": 4, "batching": "partition", "skip_nearest": 2, "similarity": "image", "max_similarity": 0.9}
    for fields in ({}, idle, {"proportion": 1, "cluster_size": 1}):
        assert TrainConfig(hardness=0.5, **fields).run_key == alone.run_key
        assert TrainConfig(**fields).run_key == TrainConfig().run_key  # the control, whatever it is called
    assert TrainConfig(hardness=0.25).run_key != alone.run_key != TrainConfig().run_key
    clusters = TrainConfig(hardness=0.5, proportion=0.5)
    assert clusters.has_clusters and clusters.run_key != TrainConfig(proportion=0.5).run_key != alone.run_key
    keys = {TrainConfig(proportion=0.5, **{name: value}).run_key for name, value in idle.items()}
    assert len(keys) == len(idle)


def test_an_unknown_method_of_batching_is_refused() -> None:
    with pytest.raises(ValidationError, match="should be clusters, graph or partition; got 'graf'"):
        TrainConfig(batching="graf")


def test_a_configuration_survives_being_written_down() -> None:
    config = TrainConfig(
        train_tsv="a.tsv", train_image_dir="b", val_tsv="c.tsv", val_image_dir="d", proportion="1/3", metric={"x": 1},
        evaluate=[{"kind": "classification", "name": "rare", "image_dir": "e", "class_names": {"f": "g"}}],
    )  # fmt: skip
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config
    assert [each.name for each in config.evaluation_sets] == ["val", "rare"]
    assert [str(each.tsv) for each in config.tables] == ["a.tsv"]


def test_configurations_that_train_alike_have_one_key_whatever_fields_say_so() -> None:
    plain = TrainConfig(proportion=0.5, epochs=2)
    assert plain.run_key == TrainConfig(proportions=[0.5, 0.5], epochs=2, seed=9, warmup_intervals=3).run_key
    assert plain.run_key != TrainConfig(proportions=[0.25, 0.5], epochs=2).run_key
    assert plain.run_key != TrainConfig(proportion=0.5, epochs=2, learning_rate=1e-3).run_key
