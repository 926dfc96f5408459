"""Models: what loads, what does not, and embeddings that are transformers' own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, CLIPModel

from simclip.data.images import ImageFiles, centre_crop
from simclip.errors import InputError
from simclip.models.clip import TwoTowers, check_model_folder
from simclip.models.encoder import Encoder
from simclip.runtime.device import Compute
from simclip.runtime.workers import Workers
from simclip.train.config import TrainConfig
from simclip.train.load import load_data, load_model


def load(folder: Path | str, **fields: Any) -> Any:
    return load_model(TrainConfig(model=str(folder), **fields))


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A model folder that a test may spoil."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_folder_loads_whole_and_in_fp32(tiny_model: Path) -> None:
    clip = load(tiny_model)
    assert (clip.image_size, clip.max_tokens) == (32, 16)
    assert clip.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)
    assert clip.std == pytest.approx((0.2686, 0.2613, 0.2758), abs=1e-4)
    saved = load_file(tiny_model / "model.safetensors")
    weights = dict(clip.model.named_parameters())
    assert saved.keys() == weights.keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in saved.items())
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


def test_half_precision_weights_are_trained_in_fp32(folder: Path) -> None:
    CLIPModel.from_pretrained(folder, dtype=torch.float16).save_pretrained(folder)
    assert {weight.dtype for weight in load(folder).model.parameters()} == {torch.float32}


def test_what_is_saved_is_what_is_loaded(tiny_model: Path, tmp_path: Path) -> None:
    clip = load(tiny_model)
    clip.save(tmp_path / "copy")
    again = load(tmp_path / "copy")
    expected = clip.model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.model.state_dict().items())
    assert again.tokenizer("red left")["input_ids"] == clip.tokenizer("red left")["input_ids"]
    assert again.image_processor.to_dict() == clip.image_processor.to_dict()


def without(pattern: str) -> Callable[[Path], None]:
    return lambda folder: [path.unlink() for path in folder.glob(pattern)] and None


def other_family(folder: Path) -> None:
    shape = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    BertModel(shape).save_pretrained(folder)


def half_of_the_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "vision" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def larger_vocabulary(folder: Path) -> None:
    rewrite(folder / "config.json", lambda content: content["text_config"].update(vocab_size=9999))


def cut_short(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:1000])


def pickled_nonsense(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"nonsense")


SPOILT = {
    "no config": (without("config.json"), "is not a model folder: it has no config.json"),
    "no weights": (without("model.safetensors"), "has no weights .*: save the model there again"),
    "another family": (other_family, "its config.json says model_type bert"),
    "a damaged config": (lambda folder: (folder / "config.json").write_text("{"), "not a valid JSON file"),
    "half of the weights": (half_of_the_weights, r"vision_model\S+ is missing from its .*; 23 such weights in all"),
    "weights of another shape": (
        larger_vocabulary,
        "text_model.embeddings.token_embedding.weight is missing from its weights or has another shape",
    ),
    "weights cut short": (cut_short, "header"),
    "pickled nonsense": (pickled_nonsense, "load"),
    "no tokenizer": (without("tokenizer*"), "its vocabulary has 2 tokens, the model's"),
    "no image processor": (without("preprocessor_config.json"), "tokenizer and image processor of"),
    "a damaged tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text("{"),
        "tokenizer and image processor",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_a_folder_that_is_no_whole_clip_is_refused(spoil: Callable[[Path], Any], message: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_code_in_pickled_weights_is_not_run(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale": Payload(tmp_path / "run")}, folder / "pytorch_model.bin")
    with pytest.raises(InputError):
        load(folder)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["no config", "no weights", "another family", "a damaged config"])
def test_what_a_look_at_the_folder_tells_is_told_before_loading(kind: str, folder: Path) -> None:
    spoil, message = SPOILT[kind]
    check_model_folder(str(folder))
    spoil(folder)
    with pytest.raises(InputError, match=message):
        check_model_folder(str(folder))


def test_pretraining_needs_no_weights_but_a_clip(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert load(folder, pretrain=True).image_size == 32
    other_family(folder)
    with pytest.raises(InputError, match="model_type bert"):
        load(folder, pretrain=True)


@pytest.mark.parametrize("name", ["./none", "/none/at/all", "../none", "a/b/c", "~/none"])
def test_no_such_folder(name: str, tiny_model: Path) -> None:
    with pytest.raises(InputError, match=f"no such model folder: {name}; give a local Hugging Face folder or a hub"):
        load(name)
    with pytest.raises(InputError, match=f"no such preprocessor folder: {name}; give a local folder or a hub name"):
        load(tiny_model, preprocessor=name)


def test_a_hub_name_that_cannot_be_reached(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for given in ({"model": "nobody/no-such-clip"}, {"model": str(tiny_model), "preprocessor": "nobody/no-such-clip"}):
        with pytest.raises(InputError, match=r"'nobody/no-such-clip' cannot be loaded .* hub name of a CLIP") as caught:
            load_model(TrainConfig(**given))
        assert "\n" not in str(caught.value)


def test_the_preprocessor_may_lie_elsewhere(folder: Path, tiny_model: Path) -> None:
    without("*token*")(folder)
    without("preprocessor_config.json")(folder)
    assert len(load(folder, preprocessor=str(tiny_model)).tokenizer) == len(load(tiny_model).tokenizer)


@torch.no_grad()
def test_embeddings_are_transformers_own(config: TrainConfig) -> None:
    clip = load_model(config)
    data = load_data(config, clip)
    encoder = Encoder(clip, Compute.choose(config.precision), Workers(), batch_size=7)
    captions = np.arange(0, 120, 3)
    inputs = clip.tokenizer([data.table.captions[c] for c in captions], return_tensors="pt", padding=True)
    pixels = torch.stack([data.whole[row] for row in range(40)]).float() / 255
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (clip.mean, clip.std))
    inputs["pixel_values"] = (pixels - mean) / std
    expected = clip.model.eval()(**inputs)
    images, texts = encoder.images(data.whole, 40), encoder.texts(data.tokens, captions)
    torch.testing.assert_close(images, expected.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(texts, expected.text_embeds, atol=1e-5, rtol=0)
    scale = clip.model.logit_scale.exp()
    torch.testing.assert_close(scale * images @ texts.T, expected.logits_per_image, atol=1e-4, rtol=1e-4)
    both = TwoTowers(clip.model)(inputs["pixel_values"], inputs["input_ids"], inputs["attention_mask"])
    for found, reference in zip(both, (expected.image_embeds, expected.text_embeds, scale), strict=True):
        torch.testing.assert_close(found, reference, atol=1e-5, rtol=0)


def test_encoding_leaves_the_mode_of_the_model_and_says_what_is_not_finite(config: TrainConfig) -> None:
    clip = load_model(config)
    data = load_data(config, clip)
    encoder = Encoder(clip, Compute.choose(config.precision), Workers())
    for training in (True, False):
        clip.model.train(training)
        encoder.texts(data.tokens, np.arange(3))
        assert clip.model.training is training
    with torch.no_grad():
        clip.model.text_projection.weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="embeddings are not finite: lower the learning rate"):
        encoder.texts(data.tokens, np.arange(3))


def test_images_of_an_evaluation_set_are_each_encoded_once(config: TrainConfig) -> None:
    class Counting(ImageFiles):
        seen: list[int] = []  # noqa: RUF012

        def __getitem__(self, row: int) -> torch.Tensor:
            self.seen.append(row)
            return super().__getitem__(row)

    clip = load_model(config)
    paths = load_data(config, clip).table.images
    files = Counting(paths, clip.image_size, centre_crop)
    Encoder(clip, Compute.choose(config.precision), Workers(), batch_size=7).images(files, len(files))
    assert Counting.seen == list(range(40))


def test_precision_is_chosen_and_said(config: TrainConfig) -> None:
    cpu = torch.device("cpu")
    assert str(Compute.choose(config.precision, cpu)) == "CPU, fp32"
    bf16 = Compute.choose("bf16", cpu)
    assert str(bf16) == "CPU, bf16 autocast"
    for compute, dtype in ((bf16, torch.bfloat16), (Compute.choose(config.precision, cpu), torch.float32)):
        with compute.autocast():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
