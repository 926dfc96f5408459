"""Fields carry what the program knows about them; a made-up field is known everywhere from its declaration alone."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from simclip.config.schema import Strict, field
from simclip.train.config import CLUSTER_FIELDS, TrainConfig


class Example(Strict):
    """A made-up schema."""

    plain: int = 1
    depth: int = field(3, ge=1, description="how deep", symbol="d", label="depth d", treatment=True, reads_data=True)
    fast: bool = field(False, symbol=("slow", "fast"), schedule=True)


def test_a_declared_field_has_its_traits_default_bounds_and_description() -> None:
    depth = Example.traits("depth")
    assert (depth.symbol, depth.label, depth.treatment, depth.schedule, depth.reads_data) == (
        "d", "depth d", True, False, True
    )  # fmt: skip
    assert Example().depth == 3 and Example.model_fields["depth"].description == "how deep"
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Example(depth=0)


@pytest.mark.parametrize("name", ["plain", "not_a_field"])
def test_any_other_name_has_the_traits_of_a_plain_field(name: str) -> None:
    traits = Example.traits(name)
    assert (traits.symbol, traits.label) == (f"{name}=", name)
    assert not (traits.treatment or traits.schedule or traits.reads_data)


def test_fields_are_found_by_trait_in_order_of_declaration() -> None:
    assert Example.fields_with("treatment") == Example.fields_with("reads_data") == ("depth",)
    assert Example.fields_with("schedule") == ("fast",)


def test_a_subclass_knows_its_own_fields_and_those_it_inherits() -> None:
    class Deeper(Example):
        deepest: int = field(9, treatment=True)

    assert Deeper.fields_with("treatment") == ("depth", "deepest")


def test_the_traits_of_the_training_fields() -> None:
    assert CLUSTER_FIELDS == (
        "batching", "cluster_size", "proportion", "neighborhood", "proportion_warmup", "warmup_intervals",
        "proportions", "similarity", "embeddings", "max_similarity", "skip_nearest", "relative_margin", "hardness",
    )  # fmt: skip
    assert set(TrainConfig.fields_with("schedule")) == {
        "proportion", "proportion_warmup", "warmup_intervals", "proportions"
    }  # fmt: skip
    assert set(TrainConfig.fields_with("reads_data")) == {
        "train_tsv", "train_image_dir", "train_tables", "val_tsv", "val_image_dir", "evaluate", "image_column",
        "caption_columns", "exif", "model", "loss", "pretrain", "batch_size", "metric", "preprocessor", "bad_images",
        "image_store", "store_size", "batching", "skip_nearest",
    }  # fmt: skip
    symbols = {name: TrainConfig.traits(name).symbol for name in TrainConfig.model_fields}
    assert {name: symbol for name, symbol in symbols.items() if symbol != f"{name}="} == {
        "cluster_size": "k", "proportion": "p", "neighborhood": "nb", "learning_rate": "lr", "similarity": "",
        "embeddings": "", "proportion_warmup": ("fixed", "warm"), "batching": "", "skip_nearest": "skip",
        "relative_margin": "margin", "hardness": "hard", "loss": "", "layer_decay": "ld",
        "lora_rank": "lora",
    }  # fmt: skip
    labels = {name: TrainConfig.traits(name).label for name in TrainConfig.model_fields}
    assert {name: label for name, label in labels.items() if label != name} == {
        "cluster_size": "cluster size k", "proportion": "proportion p", "neighborhood": "neighbourhood s",
        "proportion_warmup": "warm-up of p", "learning_rate": "learning rate", "layer_decay": "layer decay",
        "skip_nearest": "skipped ranks r", "lora_rank": "LoRA rank",
        "relative_margin": "relative margin", "hardness": "hardness a",
    }  # fmt: skip
