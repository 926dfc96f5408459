"""Checkpoints in OpenCLIP's format: converted on load, refused where there is no counterpart, and a round trip."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, MetaClip2Model

from simclip.data.images import resize_bicubic
from simclip.errors import InputError
from simclip.models.clip import Clip, load_clip
from simclip.models.model_folder import check_model_files
from simclip.models.open_clip.config import CONFIG
from simclip.models.open_clip.export import write_both
from simclip.models.open_clip.load import hugging_face_folder
from simclip.models.weights import trained_model
from simclip.runtime.files import cache_folder
from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from simclip.train.preflight import check_inputs
from tests.models.open_clip.test_export import CAPTIONS, changed, shaken

WEIGHTS = "open_clip_model.safetensors"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@pytest.fixture(scope="session")
def exported(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with OpenCLIP's files and a tokenizer only."""
    folder = tmp_path_factory.mktemp("open-clip")
    write_both(changed(tiny_model), folder / "both")
    return only_open_clip(folder / "both", folder / "model")


def only_open_clip(both: Path, to: Path) -> Path:
    to.mkdir()
    for name in (CONFIG, WEIGHTS, *TOKENIZER):
        if (both / name).is_file():
            shutil.copy(both / name, to)
    return to


def edited(folder: Path, to: Path, part: str | None = None, **settings: Any) -> Path:
    """A copy whose configuration says something else."""
    shutil.copytree(folder, to)
    content = json.loads((to / CONFIG).read_text())
    (content["model_cfg"][part] if part else content["model_cfg"]).update(settings)
    (to / CONFIG).write_text(json.dumps(content))
    return to


@pytest.mark.parametrize("text", [{}, {"eos_token_id": 2}])
@pytest.mark.parametrize("act", ["gelu", "quick_gelu"])
def test_a_round_trip_keeps_every_weight(tiny_model: Path, tmp_path: Path, act: str, text: dict[str, Any]) -> None:
    clip = changed(tiny_model, text={"hidden_act": act, **text}, hidden_act=act)
    write_both(clip, tmp_path / "both")
    converted = hugging_face_folder(str(only_open_clip(tmp_path / "both", tmp_path / "model")))
    again = Clip(trained_model(converted), clip.tokenizer, AutoImageProcessor.from_pretrained(converted))
    assert type(again.model) is type(clip.model)
    expected, found = clip.model.state_dict(), again.model.state_dict()
    assert found.keys() == expected.keys()
    short = "text_model.embeddings.position_embedding.weight"  # exported up to the longest caption
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name][: len(tensor)] if name == short else expected[name]), name
    assert (again.transform, again.mean, again.std) == (clip.transform, clip.mean, clip.std)
    write_both(again, tmp_path / "again")
    weights = load_file(tmp_path / "both" / WEIGHTS)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in load_file(tmp_path / "again" / WEIGHTS).items())
    assert (tmp_path / "again" / CONFIG).read_text() == (tmp_path / "both" / CONFIG).read_text()


def test_an_end_of_text_token_2_makes_a_metaclip_2(tiny_model: Path, tmp_path: Path) -> None:
    clip = changed(tiny_model, MetaClip2Model, text={"eos_token_id": 2})
    write_both(clip, tmp_path / "both")
    folder = only_open_clip(tmp_path / "both", tmp_path / "model")
    with pytest.raises(InputError, match="captions end with token"):  # the tiny tokenizer ends with another
        load_clip(str(folder))
    check_model_files(str(folder))


def test_embeddings_are_openclips(open_clip: ModuleType, tiny_model: Path, tmp_path: Path) -> None:
    """A model that OpenCLIP itself made and saved, from its trainer's kind of file too."""
    said = {
        "embed_dim": 24, "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 48, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 200, "width": 32, "heads": 2, "layers": 2,
                     "pool_type": "eos", "eos_id": 1},
    }  # fmt: skip
    theirs = shaken(open_clip.CLIP(**{**said, "vision_cfg": dict(said["vision_cfg"])}))
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in TOKENIZER:
        if (tiny_model / name).is_file():
            shutil.copy(tiny_model / name, folder)
    (folder / CONFIG).write_text(json.dumps({"model_cfg": said, "preprocess_cfg": {"resize_mode": "squash"}}))
    weights = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    for epoch in (1, 2):
        torch.save({"epoch": epoch, "name": "x", "state_dict": weights, "optimizer": {}}, folder / f"epoch_{epoch}.pt")
    with pytest.raises(InputError, match=r"2 checkpoints \(\*.pt\): give one, e.g. .*epoch_2.pt"):
        load_clip(str(folder))
    clip = load_clip(str(folder / "epoch_2.pt"))
    assert clip.transform is resize_bicubic
    tokens = clip.tokenizer(CAPTIONS[:1] + CAPTIONS[5:], padding="max_length", max_length=16, truncation=True)
    ids = torch.tensor(tokens["input_ids"])
    pixels = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        texts = clip.model.get_text_features(input_ids=ids).pooler_output
        images = clip.model.get_image_features(pixel_values=pixels).pooler_output
        torch.testing.assert_close(texts, theirs.encode_text(ids), atol=1e-5, rtol=0)
        torch.testing.assert_close(images, theirs.encode_image(pixels), atol=1e-5, rtol=0)


def test_it_is_converted_once_and_trains(exported: Path, config: TrainConfig, tmp_path: Path) -> None:
    run = config.model_copy(update={"model": str(exported), "epochs": 1})
    check_inputs(run)
    assert len(Training(run, tmp_path).run(lambda *_: None)) == 2
    (made,) = (each for each in cache_folder().glob("open-clip-*") if each.is_dir())
    before = (made / "model.safetensors").stat().st_mtime_ns
    load_clip(str(exported))
    assert (made / "model.safetensors").stat().st_mtime_ns == before
    (exported / WEIGHTS).touch()
    load_clip(str(exported))
    assert len([each for each in cache_folder().glob("open-clip-*") if each.is_dir()]) == 2


@pytest.mark.parametrize(
    ("part", "settings", "said"),
    [
        ("vision_cfg", {"timm_model_name": "vit_base_patch16_siglip_224"}, "vision_cfg.timm_model_name vit_base_patch"),
        ("vision_cfg", {"layers": [3, 4, 6, 3]}, r"vision_cfg.layers \[3, 4, 6, 3\], a ResNet"),
        ("vision_cfg", {"ls_init_value": 0.1}, "vision_cfg.ls_init_value 0.1"),
        ("vision_cfg", {"pool_type": "avg"}, "a pool_type that has no counterpart"),
        ("text_cfg", {"hf_model_name": "roberta-base"}, "text_cfg.hf_model_name roberta-base"),
        ("text_cfg", {"no_causal_mask": True}, "text_cfg.no_causal_mask True"),
        ("text_cfg", {"tokenizer_kwargs": {"clean": "canonicalize"}}, "text_cfg.tokenizer_kwargs"),
        (None, {"multimodal_cfg": {"width": 8}}, "multimodal_cfg"),
    ],
)  # fmt: skip
def test_towers_without_a_counterpart_are_refused_by_name(
    exported: Path, tmp_path: Path, part: str | None, settings: dict[str, Any], said: str, config: TrainConfig
) -> None:
    folder = edited(exported, tmp_path / "model", part, **settings)
    for look in (
        lambda: load_clip(str(folder)), lambda: check_inputs(config.model_copy(update={"model": str(folder)})),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said) as caught:
            look()
        assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_refused(exported: Path, tmp_path: Path) -> None:
    def said(folder: Path | str) -> str:
        with pytest.raises(InputError) as caught:
            load_clip(str(folder))
        return str(caught.value)

    assert f"32], but [300, 32] by its {CONFIG}" in said(
        edited(exported, tmp_path / "wide", "text_cfg", vocab_size=300)
    )
    assert "is missing from the weights" in said(edited(exported, tmp_path / "deep", "text_cfg", layers=2))
    folder = edited(exported, tmp_path / "config")
    (folder / CONFIG).write_text("[]")
    assert f"its {CONFIG} cannot be read" in said(folder)
    folder = edited(exported, tmp_path / "empty")
    (folder / WEIGHTS).unlink()
    assert "no weights, or open_clip_model.safetensors" in said(folder)
    torch.save({"state_dict": {}}, tmp_path / "epoch_1.pt")
    assert f"there is no {CONFIG} beside it" in said(tmp_path / "epoch_1.pt")
