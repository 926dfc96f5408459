"""One folder for Hugging Face and OpenCLIP: the same captions, pixels and embeddings in both."""

from __future__ import annotations

import copy
import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    MetaClip2Config,
    MetaClip2Model,
)

from simclip.data.images import centre_crop, normalised, resize_bicubic
from simclip.data.tokens import clean_caption, tokenise
from simclip.demo.dataset import BASE
from simclip.models.clip import Clip, load_clip
from simclip.models.open_clip.export import export_model, open_clip_config, write_both
from tests.models.open_clip.clips import Changes, changed, shaken
from tune import main

CAPTIONS = [
    "A red  square\tleft of a GREEN ring",
    "Tom &amp;amp; Jerry &lt;3, aren&#39;t they?",
    "a cafÃ© in MÃ¼nchen",  # UTF-8 that was read as Latin-1
    "ﬁve “quoted” dogs … 東京 🐕",
    "a long caption " * 30,
    "end",
]


def pictures() -> list[Image.Image]:
    """Of odd sizes, in colour and grey."""
    numbers = np.random.default_rng(0)
    made = []
    for number in range(24):
        width, height = numbers.integers(20, 500, size=2)
        picture = Image.fromarray(numbers.integers(256, size=(height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8))
        made.append(picture.resize((width, height)).convert("L" if number % 6 == 5 else "RGB"))
    return made


def vocabulary(open_clip: ModuleType) -> CLIPTokenizer:
    """CLIP's own, from the copy that OpenCLIP brings."""
    with gzip.open(open_clip.tokenizer.default_bpe(), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")
    ids = open_clip.tokenizer.SimpleTokenizer().encoder
    named = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    return CLIPTokenizer(vocab={named.get(token, token): number for token, number in ids.items()}, merges=merges)


def check_same(open_clip: ModuleType, clip: Clip, folder: Path) -> None:
    """Token ids and pixels are equal, raw embeddings to 1e-5; Hugging Face's come from the folder as well."""
    write_both(clip, folder)
    theirs, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    loaded = type(clip.model).from_pretrained(folder).eval()
    theirs.eval()

    tokens = tokenise(clip.tokenizer, CAPTIONS, clip.max_tokens)
    ids, mask = tokens.batch(np.arange(len(CAPTIONS)))
    padded = tokenizer(CAPTIONS)
    assert padded.shape == (len(CAPTIONS), clip.max_tokens)
    for caption, length in enumerate(tokens.lengths):
        assert torch.equal(ids[caption, :length], padded[caption, :length])

    squares = [clip.transform(picture, clip.image_size) for picture in pictures()]
    pixels = normalised(torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2), clip.mean, clip.std)
    assert torch.equal(pixels, torch.stack([preprocess(picture) for picture in pictures()]))

    with torch.inference_mode():
        texts = loaded.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
        images = loaded.get_image_features(pixel_values=pixels).pooler_output
        torch.testing.assert_close(theirs.encode_text(padded), texts, atol=1e-5, rtol=0)
        torch.testing.assert_close(theirs.encode_image(pixels), images, atol=1e-5, rtol=0)
    assert texts.std(0).max() > 1e-3 and images.std(0).max() > 1e-3
    assert torch.equal(theirs.logit_scale, loaded.logit_scale)


def test_vit_b_32(open_clip: ModuleType, tmp_path: Path) -> None:
    """The configuration that everybody starts from, with CLIP's own vocabulary."""
    tokenizer = vocabulary(open_clip)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = shaken(CLIPModel(CLIPConfig()))
    clip = Clip(model, tokenizer, load_clip(str(BASE)).image_processor)
    check_same(open_clip, clip, tmp_path / "both")


def test_captions_are_openclips_own(open_clip: ModuleType) -> None:
    """With CLIP's vocabulary, its own tokenizer is an independent reference."""
    tokens = tokenise(vocabulary(open_clip), CAPTIONS, 77)
    for number, row in enumerate(open_clip.get_tokenizer("ViT-B-32")(CAPTIONS).tolist()):
        length = tokens.lengths[number]
        assert tokens.ids[tokens.starts[number] :][:length].tolist() == row[:length]
        assert not any(row[length:])


@pytest.mark.parametrize("caption", [*CAPTIONS, "", " ", "a\u00a0b\u2003c\u200bd", "&nbsp;x &#x41;", "\r\n a \f b\x00"])
def test_captions_are_cleaned_as_openclip_does(open_clip: ModuleType, caption: str) -> None:
    assert clean_caption(caption) == open_clip.tokenizer.get_clean_fn("whitespace")(caption)


def test_the_demos_base(open_clip: ModuleType, tmp_path: Path) -> None:
    clip = export_model(str(BASE), tmp_path / "new" / "both")
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == ["both"]
    check_same(open_clip, clip, tmp_path / "again")


@pytest.mark.parametrize(
    ("text", "vision"),
    [
        ({"eos_token_id": 2, "hidden_act": "gelu"}, {"hidden_act": "gelu"}),
        ({"hidden_act": "gelu"}, {"hidden_act": "gelu"}),
        ({"eos_token_id": 2}, {}),
        ({}, {}),
        ({"eos_token_id": 5}, {}),
        ({"layer_norm_eps": 1e-3}, {"layer_norm_eps": 1e-2}),
        ({"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3}, {"intermediate_size": 79}),
        ({}, {"image_size": 40, "patch_size": 8}),
    ],
    ids=str,
)
def test_every_kind_of_clip(
    open_clip: ModuleType, tiny_model: Path, tmp_path: Path, text: Changes, vision: Changes
) -> None:
    """Both activations, both conventions of the end of a text, towers of other shapes."""
    check_same(open_clip, changed(tiny_model, text=text, **vision), tmp_path / "both")


def test_metaclip_2_ends_a_text_with_token_2(open_clip: ModuleType, tiny_model: Path, tmp_path: Path) -> None:
    clip = changed(tiny_model, MetaClip2Model, text={"eos_token_id": 2})
    assert isinstance(clip.model.config, MetaClip2Config)
    check_same(open_clip, clip, tmp_path / "both")


@pytest.mark.parametrize("crops", [True, False])
def test_pictures_are_cropped_or_stretched_as_the_model_s_own_processor_does(
    open_clip: ModuleType, tiny_model: Path, tmp_path: Path, crops: bool
) -> None:
    square = {"height": 32, "width": 32}
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32} if crops else square, do_center_crop=crops)
    clip = replace(changed(tiny_model), image_processor=processor)
    assert clip.transform is (centre_crop if crops else resize_bicubic)
    check_same(open_clip, clip, tmp_path / "both")


def test_the_inner_width_survives_openclips_rounding(tiny_model: Path) -> None:
    """It multiplies by the ratio and cuts off: 32 * (79 / 32) is exact, other products fall short."""
    clip = load_clip(str(tiny_model))
    for width in range(1, 200, 7):
        for inner in range(1, 4 * width, 7):
            config = copy.deepcopy(clip.model.config)
            config.text_config.hidden_size, config.text_config.intermediate_size = width, inner
            clip.model.config = config
            assert int(width * open_clip_config(clip)["model_cfg"]["text_cfg"]["mlp_ratio"]) == inner


def test_the_command(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model folder, here and by its URI; the last line is what runs clip_benchmark."""
    for source in (str(tiny_model), tiny_model.as_uri()):
        to = tmp_path / source.partition(":")[0].strip("/").replace("/", "-")
        assert main(["export", source, "--to", str(to)]) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        assert shown.out.splitlines()[-1].startswith(f"clip_benchmark eval --model local-dir:{to} --pretrained none ")
        assert (to / "open_clip_config.json").is_file() and CLIPModel.from_pretrained(to)


def test_the_config_says_what_evaluation_does(tmp_path: Path) -> None:
    export_model(str(BASE), tmp_path / "both")
    said = json.loads((tmp_path / "both" / "open_clip_config.json").read_text())
    assert said["preprocess_cfg"] == {
        "size": 48, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest",
    }  # fmt: skip
    assert said["model_cfg"]["text_cfg"]["pool_type"] == "eos" and said["model_cfg"]["text_cfg"]["eos_id"] == 3


def test_a_tokenizer_that_cannot_pad_or_pads_the_wrong_side(
    open_clip: ModuleType, tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path / "odd")
    said = json.loads((tmp_path / "odd" / "tokenizer_config.json").read_text())
    del said["pad_token"]
    (tmp_path / "odd" / "tokenizer_config.json").write_text(json.dumps({**said, "padding_side": "left"}))
    clip = changed(tmp_path / "odd")
    assert (clip.tokenizer.pad_token, clip.tokenizer.padding_side) == (None, "left")
    check_same(open_clip, clip, tmp_path / "both")
    assert (clip.tokenizer.pad_token, clip.tokenizer.padding_side) == (None, "left")
