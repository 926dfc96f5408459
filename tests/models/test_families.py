"""CLIP's relatives: each loads, gives its own embeddings, trains, resumes, and reloads; others are refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoImageProcessor, AutoModel, AutoProcessor, AutoTokenizer

from simclip.data.images import resize_bicubic
from simclip.data.tokens import tokenise
from simclip.errors import InputError
from simclip.evaluation.sets import load_sets
from simclip.models.clip import TwoTowers, check_model_folder, load_clip
from simclip.models.encoder import Encoder
from simclip.models.families import FAMILIES, REFUSED
from simclip.models.flops import FlopCounter
from simclip.models.loss import LOSSES, clip_loss
from simclip.models.weights import train_mode
from simclip.runtime.device import Compute
from simclip.runtime.workers import Workers
from simclip.train.config import TrainConfig
from simclip.train.gradients import backward_in_parts
from simclip.train.history import Row
from simclip.train.load import load_data, load_model
from simclip.train.loop import Training
from tests.conftest import draw_pair
from tests.models.families import MOST_TOKENS, write_family
from tests.train.histories import without_clocks

#: Every family, and one of them with the tokens of its second generation.
MODELS = (*FAMILIES, "siglip_2")
every_family = pytest.mark.parametrize("family", MODELS)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each family."""
    folder = tmp_path_factory.mktemp("families")
    for family in MODELS:
        write_family(family, folder / family, [caption for number in range(64) for caption in draw_pair(number)[1]])
    return folder


@pytest.fixture
def of(models: Path, config: TrainConfig):
    """From a family and further fields to a run of one epoch."""

    def make(family: str, **fields: Any) -> TrainConfig:
        return TrainConfig(**{**config.model_dump(), "model": str(models / family), "epochs": 1, **fields})

    return make


@every_family
@torch.no_grad()
def test_embeddings_are_the_models_own(of: Any, family: str) -> None:
    """Ours, in batches of sorted captions, and what a user of transformers gets from files and words."""
    config = of(family)
    clip, data = load_model(config), load_data(config, load_model(config))
    encoder = Encoder(clip, Compute.choose(config.precision), Workers(), batch_size=7)
    captions = np.arange(0, 120, 3)
    images, texts = encoder.images(data.whole, 40), encoder.texts(data.tokens, captions)
    model = AutoModel.from_pretrained(config.model).eval()
    words = AutoTokenizer.from_pretrained(config.model)(
        [data.table.captions[c] for c in captions], return_tensors="pt",
        padding="max_length" if clip.family.padded else True, truncation=True,
    )  # fmt: skip
    pictures = [Image.open(path) for path in data.table.images]
    pixels = AutoImageProcessor.from_pretrained(config.model)(pictures, return_tensors="pt")
    for ours, theirs in (
        (texts, model.get_text_features(**words).pooler_output),
        (images, model.get_image_features(**pixels).pooler_output),
    ):
        expected = torch.nn.functional.normalize(theirs, dim=-1)
        assert expected.std(dim=0).mean() > 1e-3  # they are not all the same
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


@every_family
@pytest.mark.parametrize("fields", [{}, {"micro_batch_size": 3, "similarity": "image", "embeddings": "offline"}])
def test_trains_resumes_and_reloads(of: Any, family: str, fields: dict[str, Any], tmp_path: Path) -> None:
    config = of(family, epochs=2, **fields)
    kept = tmp_path / "kept"

    def keep_first(history: list[Row], checkpoint: Path | None) -> None:
        if checkpoint and len(history) == 2:
            shutil.copytree(checkpoint, kept)

    straight = Training(config, tmp_path / "straight")
    before = {name: tensor.clone() for name, tensor in straight.clip.model.state_dict().items()}
    history = straight.run(keep_first)
    assert all(np.isfinite(row["metric"]) for row in history)
    after = straight.clip.model.state_dict()
    changed = {name.partition(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {name.partition(".")[0] for name in after}

    resumed = Training(config, tmp_path / "resumed")
    resumed.resume(kept)
    assert without_clocks(resumed.run(lambda *_: None)) == without_clocks(history)
    assert all(torch.equal(tensor, after[name]) for name, tensor in resumed.clip.model.state_dict().items())

    last = straight.checkpoints.folder / "epoch-0002" / "last"
    again = AutoModel.from_pretrained(last).state_dict()
    assert again.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in again.items())
    assert load_model(config.model_copy(update={"model": str(last)})).max_tokens == straight.clip.max_tokens
    both = AutoProcessor.from_pretrained(last)(text=["red left"], images=[draw_pair(3)[0]], return_tensors="pt")
    assert AutoModel.from_pretrained(last)(**both).logits_per_image.shape == (1, 1)


@every_family
def test_pretraining_begins_with_weights_of_the_seed(of: Any, family: str, tmp_path: Path) -> None:
    starts = [load_model(of(family, pretrain=True, seed=seed)).model.state_dict() for seed in (1, 1, 2)]
    names = [name for name in starts[0] if "projection" in name or "q_proj.weight" in name]
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
    assert not any(torch.equal(starts[0][name], starts[2][name]) for name in names)
    assert len(Training(of(family, pretrain=True), tmp_path).run(lambda *_: None)) == 2


@every_family
def test_the_longest_caption_has_the_last_position(of: Any, family: str) -> None:
    clip = load_model(of(family))
    assert clip.max_tokens == MOST_TOKENS
    tokens = tokenise(clip.tokenizer, ["red left on blue " * 9, "red"], clip.max_tokens)
    assert tokens.lengths.tolist()[0] == MOST_TOKENS and tokens.shortened == 1
    embeddings = Encoder(clip, Compute.choose("fp32"), Workers()).texts(tokens, np.arange(2))
    assert embeddings.shape[0] == 2


def test_pictures_are_stretched_where_the_models_own_processor_stretches_them(of: Any, pairs: Path) -> None:
    config = of("chinese_clip")
    clip = load_model(config)
    files = sorted((pairs / "images").glob("*.png"))[:5]
    theirs = AutoImageProcessor.from_pretrained(config.model)([Image.open(path) for path in files], do_normalize=False)
    for path, expected in zip(files, theirs["pixel_values"], strict=True):
        ours = resize_bicubic(Image.open(path), 32).astype(np.float32) / 255
        np.testing.assert_allclose(ours.transpose(2, 0, 1), expected, atol=1e-6)
    (val,) = load_sets(config.evaluation_sets, clip.input_format, config.reading, config.image_store)
    assert np.array_equal(val.images[0].permute(1, 2, 0), resize_bicubic(Image.open(pairs / "images" / "040.png"), 32))
    assert load_model(of("clip")).transform is not clip.transform is resize_bicubic


def test_captions_may_be_shorter_by_the_tokenizers_own_limit(of: Any, models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models / "altclip", tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = 9
    tokenizer.save_pretrained(folder)
    assert load_model(of("altclip", model=str(folder))).max_tokens == 9


@pytest.mark.parametrize("family", ["chinese_clip", "altclip"])
def test_micro_batches_draw_the_same_dropout_twice(of: Any, family: str) -> None:
    """Against the same parts embedded once, in one graph."""
    config = of(family)
    clip = load_model(config)
    data = load_data(config, clip)
    pixels = torch.stack([data.whole[row] for row in range(8)]).float() / 255
    ids, mask = data.tokens.batch(np.arange(0, 24, 3))
    towers = TwoTowers(clip.model)

    def embed(rows: slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return towers(pixels[rows], ids[rows], mask[rows])

    def gradients() -> dict[str, torch.Tensor]:
        found = {name: p.grad.clone() for name, p in clip.model.named_parameters() if p.grad is not None}
        clip.model.zero_grad()
        return found

    train_mode(clip.model)
    torch.manual_seed(5)
    parts = [embed(slice(begin, begin + 3)) for begin in (0, 3, 6)]
    images, texts = (torch.cat([part[i] for part in parts]) for i in range(2))
    loss = clip_loss(images, texts, parts[0][2])
    loss.backward()
    whole = gradients()
    torch.manual_seed(5)
    found = backward_in_parts(embed, 8, Workers(), LOSSES["infonce"], 3, towers)
    assert found.item() == pytest.approx(loss.item(), abs=1e-6)
    largest = max(gradient.abs().max().item() for gradient in whole.values())
    for name, gradient in gradients().items():
        torch.testing.assert_close(gradient, whole[name], rtol=0, atol=1e-5 * largest)


@every_family
@pytest.mark.parametrize("frozen", ["none", "image", "text"])
def test_flops_are_those_that_pytorch_counts(of: Any, family: str, frozen: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", plain_attention)
    model = load_model(of(family, freeze=frozen)).model
    pixels = torch.rand(6, 3, 32, 32, requires_grad=frozen != "image")  # or its gradient would be spared
    ids, mask = torch.full((6, 9), 5), torch.ones(6, 9, dtype=torch.long)
    ids[:, -1] = model.config.text_config.eos_token_id or 3
    with FlopCounterMode(display=False) as counted:
        images, texts, logits = TwoTowers(model)(pixels, ids, mask)
        (images.sum() + texts.sum() + logits.sum()).backward()
    assert FlopCounter(model).step(6, 9) == pytest.approx(counted.get_total_flops(), rel=0.01)


def plain_attention(query: Any, key: Any, value: Any, attn_mask: Any = None, scale: Any = None, **_: Any) -> Any:
    """The two products, as the counter does not see those of a fused kernel on a CPU."""
    scores = query @ key.transpose(-1, -2) * (scale or query.shape[-1] ** -0.5)
    return scores.softmax(-1) @ value


@pytest.mark.parametrize("kind", [*REFUSED, "clip_vision_model", "bert"])
def test_other_families_are_refused_by_name(kind: str, models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models / "clip", tmp_path / "model")
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "model_type": kind}))
    for look in (lambda: check_model_folder(str(folder)), lambda: load_clip(str(folder))):
        with pytest.raises(InputError, match=f"says model_type {kind}, .*: give a folder or hub name of a") as caught:
            look()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("family", "end"), [("clip", 2), ("clip", 7), ("metaclip_2", 7)])
def test_a_tokenizer_that_ends_captions_elsewhere_is_refused(
    family: str, end: int, models: Path, tmp_path: Path
) -> None:
    """All captions would be read at the same place, and be the same to the model."""
    folder = shutil.copytree(models / family, tmp_path / "model")
    content = json.loads((folder / "config.json").read_text())
    content["text_config"]["eos_token_id"] = end
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"its captions end with token \d, but by eos_token_id {end} the model reads"):
        load_clip(str(folder))


def test_pictures_that_are_no_squares_are_refused(models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models / "chinese_clip", tmp_path / "model")
    content = json.loads((folder / "config.json").read_text())
    content["vision_config"]["image_size"] = [32, 48]
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"image_size \[32, 48\], but only squares are supported"):
        check_model_folder(str(folder))


def test_what_is_cached_for_a_model_is_not_taken_for_another(of: Any, models: Path, tmp_path: Path) -> None:
    """The same weights, another architecture."""
    folder = shutil.copytree(models / "metaclip_2", tmp_path / "model")
    content = json.loads((folder / "config.json").read_text())
    content["vision_config"]["hidden_act"] = "relu"
    (folder / "config.json").write_text(json.dumps(content))
    one, two = load_model(of("metaclip_2")), load_model(of("metaclip_2", model=str(folder)))
    copy = load_model(of("metaclip_2", model=str(shutil.copytree(models / "metaclip_2", tmp_path / "copy"))))
    assert one.identity() == copy.identity() != two.identity()


@every_family
@pytest.mark.parametrize("size", [None, 3])
def test_activations_that_are_computed_twice_give_the_same_gradients(
    of: Any, family: str, size: int | None, tmp_path: Path
) -> None:
    """To the bit, with dropout too."""
    found = []
    for checkpointed in (False, True):
        training = Training(of(family, gradient_checkpointing=checkpointed, micro_batch_size=size), tmp_path)
        layers = (getattr(each, "gradient_checkpointing", False) for each in training.clip.model.modules())
        assert any(layers) == checkpointed
        plan = np.stack(list(training.planner.plan(0)))[:1]
        (batch,) = training.data.batches(plan, training.share, 1, 0)
        train_mode(training.clip.model)
        torch.manual_seed(3)
        training.step(batch)
        found.append({name: weight.grad for name, weight in training.clip.model.named_parameters()})
    assert all(torch.equal(gradient, found[1][name]) for name, gradient in found[0].items())
