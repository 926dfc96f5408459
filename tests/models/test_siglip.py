"""SigLIP and SigLIP 2: transformers' own loss and logits, captions as they were trained, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from simclip.errors import InputError
from simclip.models.clip import Clip, TwoTowers, load_clip
from simclip.runtime.workers import Workers
from simclip.train.config import TrainConfig
from simclip.train.gradients import backward_in_parts, backward_whole
from simclip.train.load import load_model
from simclip.train.loop import Training
from simclip.train.preflight import check_inputs
from tests.conftest import draw_pair
from tests.models.families import MOST_TOKENS, write_family

CAPTIONS = [caption for number in range(12) for caption in draw_pair(number)[1][:1]]
both = pytest.mark.parametrize("name", ["siglip", "siglip_2"])


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("siglip")
    for name in ("siglip", "siglip_2"):
        write_family(name, folder / name, [caption for number in range(64) for caption in draw_pair(number)[1]])
        model = AutoModel.from_pretrained(folder / name)
        model.logit_scale.data.fill_(4.7)  # about that of the trained models: exp(4.7) is 110
        model.logit_bias.data.fill_(-12.9)
        model.save_pretrained(folder / name)
    return folder


def batch(clip: Clip, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    pixels = torch.rand(len(captions), 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return pixels, *clip.input_format.tokens(captions).batch(np.arange(len(captions)))


@both
def test_loss_and_gradients_are_those_of_transformers(folders: Path, name: str) -> None:
    clip = load_clip(str(folders / name))
    pixels, ids, mask = batch(clip, CAPTIONS)
    theirs: Any = AutoModel.from_pretrained(folders / name)
    words = AutoTokenizer.from_pretrained(folders / name)(
        CAPTIONS, padding="max_length", truncation=True, return_tensors="pt"
    )
    output = theirs(pixel_values=pixels, **words, return_loss=True)
    output.loss.backward()
    towers = TwoTowers(clip.model)
    found = backward_whole(lambda rows: towers(pixels[rows], ids[rows], mask[rows]), 12, Workers(), clip.loss)
    assert found.item() == pytest.approx(output.loss.item(), rel=1e-6)
    with torch.no_grad():
        images, texts, _ = towers(pixels, ids, mask)
        torch.testing.assert_close(images, output.image_embeds, rtol=0, atol=1e-6)
        torch.testing.assert_close(texts, output.text_embeds, rtol=0, atol=1e-6)
        torch.testing.assert_close(clip.contrastive_loss(images, texts), output.loss, rtol=1e-6, atol=0)
    expected = {weight: parameter.grad for weight, parameter in theirs.named_parameters()}
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    for weight, parameter in clip.model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[weight], rtol=0, atol=1e-6 * largest)


@both
@pytest.mark.parametrize("loss", ["sigmoid", "infonce"])
def test_in_parts_as_at_once(folders: Path, name: str, loss: str) -> None:
    clip = load_clip(str(folders / name), loss=loss)
    pixels, ids, mask = batch(clip, CAPTIONS)
    towers, gradients = TwoTowers(clip.model), []
    for size in (None, 5):
        clip.model.zero_grad()
        arguments = (lambda rows: towers(pixels[rows], ids[rows], mask[rows])), 12, Workers(), clip.loss
        value = backward_whole(*arguments) if size is None else backward_in_parts(*arguments, size, towers)
        gradients.append([value, *(parameter.grad.clone() for parameter in clip.model.parameters())])
    largest = max(gradient.abs().max() for gradient in gradients[0])
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(parts, whole, rtol=0, atol=float(1e-5 * largest))
    assert (clip.model.logit_bias.grad.item() == 0) == (loss == "infonce")  # a bias shifts all logits alike


@both
def test_captions_are_padded_and_in_lower_case(folders: Path, name: str) -> None:
    """A letter that is written by its number in HTML is a capital only after cleaning."""
    clip = load_clip(str(folders / name))
    words = ["Red  left &#X4F;n BLUE", "red"]
    ids, _ = clip.input_format.tokens(words).batch(np.arange(2))
    assert ids.shape == (2, MOST_TOKENS)
    cleaned = AutoTokenizer.from_pretrained(folders / name)(["red left on blue", "red"], padding="max_length")
    assert ids.tolist() == cleaned["input_ids"]


def test_a_long_caption_still_ends_with_its_end(folders: Path) -> None:
    for name in ("siglip", "siglip_2"):
        clip = load_clip(str(folders / name))
        ids, _ = clip.input_format.tokens(["red left on blue " * 20]).batch(np.arange(1))
        assert ids.shape == (1, MOST_TOKENS) and ids[0, -1] == clip.tokenizer.eos_token_id


def test_training_begins_with_the_loaded_scale_and_bias(folders: Path, config: TrainConfig, tmp_path: Path) -> None:
    """Its factor is above 100, to which InfoNCE would limit it; from zeros, the first loss would be huge."""
    training = Training(config.model_copy(update={"model": str(folders / "siglip_2")}), tmp_path)
    plan = np.stack(list(training.planner.plan(0)))[:1]
    (batch,) = training.data.batches(plan, training.share, config.seed, 0)
    assert training.step(batch).item() < 100
    assert training.clip.model.logit_scale.item() == pytest.approx(4.7, abs=0.01)
    assert training.clip.model.logit_bias.item() == pytest.approx(-12.9, abs=0.01)


def test_a_random_start_has_the_papers_scale_and_bias(folders: Path) -> None:
    model: Any = load_clip(str(folders / "siglip"), pretrain=True).model
    assert (model.logit_scale.exp().item(), model.logit_bias.item()) == pytest.approx((10, -10))


def test_a_loss_that_the_family_cannot_learn_by_is_refused(
    config: TrainConfig, folders: Path, tiny_model: Path
) -> None:
    wrong = config.model_copy(update={"loss": "sigmoid"})
    said = "loss sigmoid: a model of the family clip learns by infonce; give train.loss=auto"
    for look in (lambda: check_inputs(wrong), lambda: load_clip(str(tiny_model), loss="sigmoid")):
        with pytest.raises(InputError, match=said):
            look()
    right = wrong.model_copy(update={"model": str(folders / "siglip"), "loss": "auto"})
    check_inputs(right)
    for look in (check_inputs, load_model):
        with pytest.raises(InputError, match=r"hardness 0.5: the sigmoid loss has none; give train.loss=infonce"):
            look(right.model_copy(update={"hardness": 0.5}))


def test_what_cannot_be_trained_is_refused(folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "siglip_2", tmp_path / "model")
    said = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**said, "pad_token": None}))
    with pytest.raises(InputError, match="its tokenizer has no padding token"):
        load_clip(str(folder))
    content = json.loads((folder / "config.json").read_text())
    content["vision_config"]["vision_use_head"] = False
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="vision_use_head false"):
        load_clip(str(folder))


def test_what_is_cached_for_one_loss_is_not_taken_for_another(folders: Path) -> None:
    identities = {load_clip(str(folders / "siglip"), loss=loss).identity() for loss in ("auto", "sigmoid", "infonce")}
    assert len(identities) == 2
