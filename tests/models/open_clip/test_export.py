"""One folder for Hugging Face and OpenCLIP: the same captions, pixels and embeddings in both."""

from __future__ import annotations

import copy
import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    ChineseCLIPConfig,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    MetaClip2Config,
    MetaClip2Model,
    SiglipConfig,
)

from simclip.data.images import centre_crop, normalised, resize_bicubic
from simclip.data.tokens import clean_caption, tokenise
from simclip.demo.dataset import BASE
from simclip.errors import InputError
from simclip.models.clip import Clip, load_clip
from simclip.models.loss import sigmoid_loss_of_rows
from simclip.models.open_clip.export import export_model, open_clip_config, write_both
from tune import main

ROOT = Path(__file__).parents[3]
CAPTIONS = [
    "A red  square\tleft of a GREEN ring",
    "Tom &amp;amp; Jerry &lt;3, aren&#39;t they?",
    "a cafÃ© in MÃ¼nchen",  # UTF-8 that was read as Latin-1
    "ﬁve “quoted” dogs … 東京 🐕",
    "a long caption " * 30,
    "end",
]
Changes = dict[str, Any]


@pytest.fixture(scope="module")
def open_clip() -> ModuleType:
    return pytest.importorskip("open_clip", reason="pip install -r requirements-evaluation.txt")


def pictures() -> list[Image.Image]:
    """Of odd sizes, in colour and grey."""
    numbers = np.random.default_rng(0)
    made = []
    for number in range(24):
        width, height = numbers.integers(20, 500, size=2)
        picture = Image.fromarray(numbers.integers(256, size=(height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8))
        made.append(picture.resize((width, height)).convert("L" if number % 6 == 5 else "RGB"))
    return made


def shaken(model: Any) -> Any:
    """With every weight moved, so that none of them is the same as another, or without effect."""
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name != "logit_scale":
                weight.add_(torch.randn(weight.shape, generator=draws), alpha=0.02)
    return model.eval()


def changed(folder: Path, model: type = CLIPModel, text: Changes | None = None, **vision: Any) -> Clip:
    """A model folder's tokenizer with another model, of random weights."""
    clip = load_clip(str(folder))
    parts = {name: getattr(clip.model.config, name).to_dict() for name in ("text_config", "vision_config")}
    parts["text_config"].update(text or {})
    parts["vision_config"].update(vision)
    for part in parts.values():
        part.pop("model_type")
    return Clip(shaken(model(model.config_class(**parts, projection_dim=24))), clip.tokenizer, clip.image_processor)


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


def folder_of(config: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        config.save_pretrained(folder)
        return folder

    return make


def folder_with(**files: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.json").write_text(text)
        return folder

    return make


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (lambda folder: folder, ["no such folder", "results folder of a study, or a model folder"]),
        (folder_with(), ["is not a model folder", "config.json"]),
        (folder_with(config="{}"), ["has no weights"]),
        (folder_with(config="[]", model="{"), ["has no weights"]),
        (folder_of(SiglipConfig()), ["family siglip", "no OpenCLIP counterpart", "clip and metaclip_2"]),
        (folder_of(ChineseCLIPConfig()), ["family chinese_clip", "no OpenCLIP counterpart"]),
        (folder_of(BertConfig()), ["family bert", "no OpenCLIP counterpart"]),
    ],
)
def test_what_is_no_clip_is_one_line_and_exit_code_two(
    source: Callable[[Path], Path], parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = source(tmp_path / "source")
    assert main(["export", str(folder), "--to", str(tmp_path / "to")]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert str(folder) in shown.err and all(part in shown.err for part in parts)
    assert not (tmp_path / "to").exists()


def test_targets_that_are_refused(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    (tmp_path / "file").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    for to, said in [
        (tmp_path / "full", "already exists"),
        (tmp_path / "file", "already exists"),
        (tmp_path / "file" / "below", "cannot be written"),
        ("s3://bucket/model", "loads from local folders"),
    ]:
        assert main(["export", str(tiny_model), "--to", str(to)]) == 2
        shown = capsys.readouterr().err
        assert said in shown and str(to) in shown and shown.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_target_is_taken(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    export_model(str(tiny_model), tmp_path / "to")
    assert (tmp_path / "to" / "open_clip_model.safetensors").is_file()


def test_results_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.yaml").write_text("name: x\n")
    assert main(["export", str(tmp_path), "--to", str(tmp_path / "to")]) == 2
    assert f"{tmp_path}/best: no such folder; no arm of the study has finished yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "vision", "said"),
    [
        ({"hidden_act": "gelu"}, {}, "hidden_act gelu and quick_gelu"),
        ({"hidden_act": "relu"}, {"hidden_act": "relu"}, "hidden_act relu"),
        ({}, {"num_channels": 1}, "num_channels 1"),
    ],
)
def test_what_openclip_cannot_say_is_refused(
    tiny_model: Path, tmp_path: Path, text: Changes, vision: Changes, said: str
) -> None:
    changed(tiny_model, text=text, **vision).save(tmp_path / "odd")
    with pytest.raises(InputError, match=f"OpenCLIP has no counterpart of {said}"):
        export_model(str(tmp_path / "odd"), tmp_path / "to")
    assert [each.name for each in tmp_path.iterdir()] == ["odd"]


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    """A file may have half of the size that the weights take."""
    program = (
        "import resource, signal, sys\n"
        "import tests.torchvision_operators\n"
        "from tune import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        f"sys.exit(main(['export', {str(BASE)!r}, '--to', {str(tmp_path / 'to')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert f"{tmp_path / 'to'} cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


def test_the_config_says_what_evaluation_does(tmp_path: Path) -> None:
    export_model(str(BASE), tmp_path / "both")
    said = json.loads((tmp_path / "both" / "open_clip_config.json").read_text())
    assert said["preprocess_cfg"] == {
        "size": 48, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest",
    }  # fmt: skip
    assert said["model_cfg"]["text_cfg"]["pool_type"] == "eos" and said["model_cfg"]["text_cfg"]["eos_id"] == 3


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_the_sigmoid_loss_is_openclips(open_clip: ModuleType, rows: int) -> None:
    draws = torch.Generator().manual_seed(rows)
    images, texts = (
        torch.nn.functional.normalize(torch.randn(rows, 16, generator=draws)).requires_grad_() for _ in range(2)
    )
    logits = torch.tensor([10.0, -10.0], requires_grad=True)
    ours = sigmoid_loss_of_rows(images, texts, 0, logits)
    theirs = open_clip.loss.SigLipLoss()(images, texts, logits[0], logits[1])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    found, expected = (torch.autograd.grad(each, (images, texts, logits)) for each in (ours, theirs))
    for gradient, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=0, atol=1e-6)
