"""What cannot be exported to OpenCLIP, where it cannot go, and what a failure leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, ChineseCLIPConfig, SiglipConfig

from simclip.demo.dataset import BASE
from simclip.errors import InputError
from simclip.models.open_clip.export import export_model
from tests.models.open_clip.clips import ROOT, Changes, changed
from tune import main


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
