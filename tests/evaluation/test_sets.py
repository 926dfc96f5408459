"""Evaluation sets as a run reads them: what they report, what is refused, and when they are scored."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize
from transformers import AutoTokenizer, CLIPModel

from simclip.data.pair_table import read_captions
from simclip.errors import InputError
from simclip.evaluation.evaluation_set import Embeddings
from simclip.evaluation.kinds.retrieval import RetrievalSet
from simclip.evaluation.sets import LoadedSet, evaluate, load_sets
from simclip.models.encoder import Encoder
from simclip.train.config import TrainConfig
from simclip.train.history import Row, best_row
from simclip.train.load import load_model
from simclip.train.loop import Training
from simclip.train.preflight import check_inputs

NEGATIVES = [
    ("040.png", "red right on red", "red left on red"),
    ("041.png", "green above on red", "red above on green"),
    ("042.png", "green below on blue", "white below on blue"),
    ("040.png", "red right on red", "green right on red"),
    ("040.png", "red right on red", "red right on red"),
]
SPLIT = {"swap_att": NEGATIVES[:2], "replace_att": NEGATIVES[2:]}


@pytest.fixture
def crepe(tmp_path: Path) -> Path:
    """A folder of SugarCrepe's kind: two categories, of two and three entries."""
    folder = tmp_path / "crepe"
    folder.mkdir()
    for name, rows in SPLIT.items():
        entries = {
            str(number): dict(zip(("filename", "caption", "negative_caption"), row, strict=True))
            for number, row in enumerate(rows)
        }
        (folder / f"{name}.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture
def flags(tmp_path: Path) -> Path:
    """Two class folders of a picture each."""
    for name, colour in (("red_flag", "red"), ("blue_flag", "blue")):
        (tmp_path / "flags" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), colour).save(tmp_path / "flags" / name / "0.png")
    return tmp_path / "flags"


def with_sets(config: TrainConfig, *sets: dict[str, Any], **changes: Any) -> TrainConfig:
    return TrainConfig(**{**config.model_dump(), "evaluate": list(sets), **changes})


def metric_names(config: TrainConfig) -> list[str]:
    return [name for each in config.evaluation_sets for name in each.metric_names()]


def sets_of(config: TrainConfig) -> list[LoadedSet]:
    return load_sets(config.evaluation_sets, load_model(config).input_format)


def pairs_set(config: TrainConfig, crepe: Path, **changes: Any) -> dict[str, Any]:
    return {"kind": "pairs", "name": "crepe", "files": str(crepe), "image_dir": config.val_image_dir, **changes}


def test_pairs_are_scored_as_by_the_model_alone(config: TrainConfig, crepe: Path, tiny_model: Path) -> None:
    config = with_sets(config, pairs_set(config, crepe))
    model, tokenizer = CLIPModel.from_pretrained(tiny_model).eval(), AutoTokenizer.from_pretrained(tiny_model)
    training = Training(config, crepe)
    pictures = {path.name: row for row, path in enumerate(training.sets[1].images.paths)}
    right: dict[str, list[bool]] = {}
    with torch.inference_mode():
        for name, rows in SPLIT.items():
            for picture, *captions in rows:
                pixels = training.sets[1].images[pictures[picture]][None] / 255
                mean, std = (torch.tensor(each).view(3, 1, 1) for each in (training.clip.mean, training.clip.std))
                image = normalize(model.get_image_features((pixels - mean) / std).pooler_output)
                true, false = (
                    normalize(model.get_text_features(**tokenizer(each, return_tensors="pt")).pooler_output)
                    for each in captions
                )
                right.setdefault(name, []).append(bool(image @ true.T > image @ false.T))
    shares = {name: sum(each) / len(each) for name, each in right.items()}
    scores = training.evaluate()
    assert {name: scores[f"crepe/{name}"] for name in SPLIT} == pytest.approx(shares)
    assert scores["crepe/accuracy"] == pytest.approx(sum(shares.values()) / 2)
    assert not right["replace_att"][2]  # the same caption twice is a tie
    assert {*scores} == {*metric_names(config)}


def test_images_and_captions_that_sets_share_are_encoded_once(
    config: TrainConfig, crepe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_sets(config, pairs_set(config, crepe))
    training = Training(config, crepe)
    apart = evaluate(training.sets, training.encoder)
    encoded: list[int] = []
    shared = Encoder._shared

    def counted(self: Encoder, items: np.ndarray, embed: Any, everywhere: bool) -> torch.Tensor:
        encoded.append(len(items))
        return shared(self, items, embed, everywhere)

    monkeypatch.setattr(Encoder, "_shared", counted)
    assert training.evaluate() == pytest.approx(apart)
    assert config.val_tsv
    captions = set(read_captions(config.val_tsv))
    others = {caption for _, *both in NEGATIVES for caption in both} - captions
    assert encoded == [12, len(captions), len(others)]  # val's images and captions; what the pairs have besides


def history_of(config: TrainConfig, folder: Path) -> list[Row]:
    return Training(config, folder).run(lambda history, checkpoint: None)


def test_a_set_has_its_turn_every_n_epochs_at_the_last_and_whenever_the_epoch_is_the_best(
    config: TrainConfig, crepe: Path, flags: Path, tmp_path: Path
) -> None:
    sets = [pairs_set(config, crepe, every=3), {"kind": "classification", "name": "flags", "image_dir": flags}]
    # The loss is to grow: the first epoch stays the best.
    config = with_sets(config, *sets, epochs=5, metric="val/loss", mode="max")
    seldom = history_of(config, tmp_path / "seldom")
    always = history_of(with_sets(config, {**sets[0], "every": 1}, sets[1]), tmp_path / "always")
    best_so_far = [row["epoch"] for row in seldom[1:] if best_row(seldom[: row["epoch"] + 1], "max") is row]
    assert best_so_far[0] == 1 and not {2, 4} <= set(best_so_far)
    assert [row["epoch"] for row in seldom if "crepe/accuracy" in row] == sorted({0, 3, 5, *best_so_far})
    for row, whole in zip(seldom, always, strict=True):
        assert "crepe/swap_att" in row if "crepe/accuracy" in row else "crepe/swap_att" not in row
        assert {"val/mean_r1", "flags/top1"} <= set(row)
        assert {name: row[name] for name in row if "/" in name and not name.startswith("share/")} == {
            name: whole[name] for name in row if "/" in name and not name.startswith("share/")
        }
    best = best_row(seldom, "max")
    assert best and set(metric_names(config)) <= set(best)


def test_a_run_that_goes_on_evaluates_at_the_same_epochs(config: TrainConfig, crepe: Path, tmp_path: Path) -> None:
    config = with_sets(config, pairs_set(config, crepe, every=4), epochs=4, metric="val/loss", mode="max")
    kept: list[Path] = []

    def keep_second(history: list[Row], checkpoint: Path | None) -> None:
        if checkpoint and history[-1]["epoch"] == 2:
            kept.append(Path(shutil.copytree(checkpoint, tmp_path / "kept")))

    straight = Training(config, tmp_path / "straight")
    straight.run(keep_second)
    resumed = Training(config, tmp_path / "resumed")
    resumed.resume(kept[0])
    resumed.run(lambda history, checkpoint: None)
    assert [sorted(row) for row in resumed.history] == [sorted(row) for row in straight.history]
    assert [row.get("crepe/accuracy") for row in resumed.history] == [
        row.get("crepe/accuracy") for row in straight.history
    ]


def test_the_metrics_of_a_single_category_are_one(config: TrainConfig, crepe: Path) -> None:
    config = with_sets(config, pairs_set(config, crepe / "swap_att.json"))
    assert metric_names(config)[-1] == "crepe/accuracy"
    assert sets_of(config)[1].metric_names == ["crepe/accuracy"]


def test_a_category_and_a_weighted_mean_can_be_the_objective(config: TrainConfig, crepe: Path, tmp_path: Path) -> None:
    one = with_sets(config, pairs_set(config, crepe), epochs=1, metric="crepe/swap_att")
    check_inputs(one)
    row = history_of(one, tmp_path / "one")[-1]
    assert row["metric"] == row["crepe/swap_att"]
    mean = with_sets(config, *one.model_dump()["evaluate"], epochs=1, metric={"val/mean_r1": 1, "crepe/accuracy": 3})
    check_inputs(mean)
    row = history_of(mean, tmp_path / "mean")[-1]
    assert row["metric"] == pytest.approx((row["val/mean_r1"] + 3 * row["crepe/accuracy"]) / 4)


@pytest.mark.parametrize("metric", ["crepe/swap_attr", {"val/mean_r1": 0.5, "crepe/swap_attr": 0.5}])
def test_an_unknown_category_is_refused(config: TrainConfig, crepe: Path, metric: Any) -> None:
    config = with_sets(config, pairs_set(config, crepe), metric=metric)
    said = r"^metric 'crepe/swap_attr': no evaluation set has it; did you mean crepe/swap_att\?$"
    with pytest.raises(InputError, match=said):
        check_inputs(config)


def test_a_category_named_as_a_metric_is_refused(config: TrainConfig, crepe: Path) -> None:
    (crepe / "swap_att.json").rename(crepe / "loss.json")
    with pytest.raises(
        InputError, match=r"^evaluation set 'crepe': category 'loss' is a metric's name: choose another$"
    ):
        check_inputs(with_sets(config, pairs_set(config, crepe)))


def test_a_set_that_the_objective_needs_has_no_turns(config: TrainConfig, crepe: Path) -> None:
    for metric in ("crepe/swap_att", {"val/mean_r1": 1, "crepe/accuracy": 1}):
        with pytest.raises(
            ValueError, match=r"evaluate: the metric crepe/\w+ is needed after each epoch, but crepe is ev"
        ):
            with_sets(config, pairs_set(config, crepe, every=2), metric=metric)


@pytest.mark.parametrize("name", ["train", "share"])
def test_a_set_cannot_have_the_name_of_other_figures(config: TrainConfig, crepe: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"no evaluation set can be named '{name}': the name is reserved"):
        with_sets(config, pairs_set(config, crepe, name=name))


def test_what_is_wrong_with_pairs_is_said_with_the_sets_name(config: TrainConfig, crepe: Path) -> None:
    (crepe / "swap_att.json").write_text('{"0": {"filename": "040.png", "caption": "x"}}')
    said = r"^evaluation set 'crepe': .*swap_att.json, entry '0': negative_caption is missing; every entry has filename"
    with pytest.raises(InputError, match=said):
        check_inputs(with_sets(config, pairs_set(config, crepe)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"templates": ["a flag"]}, r"template 'a flag' needs one {} where the class name goes$"),
        ({"templates": ["a {}", "{} or {}"]}, r"template '{} or {}' needs one {} where the class name goes$"),
        ({"class_names": {"red": "scarlet"}}, r"class_names has 'red', which is not a folder of .*flags$"),
        ({"image_dir": "nowhere"}, r"no such folder: nowhere; it holds one folder of images per class$"),
    ],
)
def test_a_classification_set_that_is_wrong_is_refused(
    config: TrainConfig, flags: Path, changes: dict[str, Any], said: str
) -> None:
    flag_set = {"kind": "classification", "name": "flags", "image_dir": flags, **changes}
    with pytest.raises(InputError, match=rf"^evaluation set 'flags': {said}"):
        check_inputs(with_sets(config, flag_set))


def test_a_class_folder_without_images_is_refused(config: TrainConfig, flags: Path) -> None:
    (flags / "blue_flag" / "0.png").rename(flags / "blue_flag" / "0.txt")
    flag_set = {"kind": "classification", "name": "flags", "image_dir": flags}
    with pytest.raises(
        InputError, match=r"^evaluation set 'flags': class folder .*blue_flag has no images; fill or rem"
    ):
        check_inputs(with_sets(config, flag_set))


def test_other_braces_of_a_template_are_text(config: TrainConfig, flags: Path) -> None:
    flag_set = {"kind": "classification", "name": "flags", "image_dir": flags, "templates": ["{red} {} above"]}
    config = with_sets(config, flag_set)
    clip = load_model(config)
    tokens = sets_of(config)[1].tokens
    assert [clip.tokenizer.decode(tokens.batch(np.array([row]))[0][0], skip_special_tokens=True) for row in (0, 1)] == [
        clip.tokenizer.decode(clip.tokenizer(f"{{red}} {name} above")["input_ids"], skip_special_tokens=True)
        for name in ("blue flag", "red flag")
    ]


def test_metrics_are_computed_on_the_device_of_the_model(config: TrainConfig) -> None:
    found: list[Embeddings] = []

    class Kept(RetrievalSet):
        def scores(self, embeddings: Embeddings) -> dict[str, float]:
            found.append(embeddings)
            return dict.fromkeys(self.metrics, 0.0)

    training = Training(config, config.train_tsv.parent)
    (loaded,) = training.sets
    kept = Kept(**loaded.source.model_dump())
    elsewhere = SimpleNamespace(
        images=training.encoder.images, texts=training.encoder.texts, batch_size=8, workers=training.workers,
        clip=SimpleNamespace(model=SimpleNamespace(device=torch.device("meta")), contrastive_loss=None),
    )  # fmt: skip
    replace(loaded, source=kept).score(elsewhere)  # type: ignore[arg-type]
    assert [each.device.type for each in (found[0].images, found[0].texts, found[0].targets)] == ["meta"] * 3
