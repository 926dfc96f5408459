"""The command that makes a tiny CLIP."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel

from simclip.errors import InputError
from simclip.models.tiny import make_tiny_clip, train_tokenizer
from simclip.tiny import main
from simclip.train.config import TrainConfig
from simclip.train.load import load_model
from tests.conftest import draw_pair

ROOT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_the_command_makes_a_folder_that_loads(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--tsv", str(pairs / "train.tsv"), "--to", str(tmp_path / "tiny"), "--image-size", "32"]
    monkeypatch.setattr(sys, "argv", ["simclip.tiny", *flags])
    runpy.run_module("simclip.tiny", run_name="__main__")
    assert f"{tmp_path / 'tiny'}: a CLIP of " in capsys.readouterr().out
    clip = load_model(TrainConfig(model=str(tmp_path / "tiny")))
    assert (clip.image_size, clip.max_tokens) == (32, 32)
    same = CLIPModel.from_pretrained(tmp_path / "tiny").state_dict()
    assert all(torch.equal(tensor, same[name]) for name, tensor in clip.model.state_dict().items())
    # Words of the captions are tokens; the weights are those of seed 0.
    assert clip.tokenizer.tokenize("red left on blue") == ["▁red", "▁left", "▁on", "▁blue"]
    main(pairs / "train.tsv", tmp_path / "again", image_size=32)
    again = load_model(TrainConfig(model=str(tmp_path / "again"))).model.state_dict()
    assert all(torch.equal(tensor, same[name]) for name, tensor in again.items())


def test_a_bad_table_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("image\twords\na.png\tx\n")
    program = [sys.executable, "-m", "simclip.tiny", "--tsv", str(tmp_path / "bad.tsv"), "--to", str(tmp_path / "tiny")]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("[transformers]")]
    assert lines == [
        f"error: {tmp_path / 'bad.tsv'} has no caption column but image, words: name them caption1, caption2, ..."
    ]
    assert not (tmp_path / "tiny").exists()


def test_the_weights_are_keyed_by_the_seed() -> None:
    models = [make_tiny_clip(["a b"], width=32, layers=1, seed=seed).model.state_dict() for seed in (0, 1, 0)]
    name = "text_projection.weight"
    assert torch.equal(models[0][name], models[2][name])
    assert not torch.equal(models[0][name], models[1][name])


def test_the_tokenizer_is_the_same_every_time() -> None:
    captions = [caption for number in range(64) for caption in draw_pair(number)[1]]
    made = {train_tokenizer(captions, 200, 16).backend_tokenizer.to_str() for _ in range(8)}
    assert len(made) == 1


@pytest.mark.parametrize("caption", ["A Red DOG", "a red dog", "a  red &amp;amp; dog"])
def test_captions_stand_between_begin_and_end(caption: str) -> None:
    tokenizer = train_tokenizer(["a red dog & cat"] * 3, vocabulary=100, most_tokens=8)
    ids = tokenizer(caption.replace("&amp;amp;", "&"))["input_ids"]
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.eos_token_id not in ids[:-1]


def test_the_command_overwrites_nothing_and_tells_every_size(
    pairs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    main(pairs / "train.tsv", tmp_path / "tiny", vocabulary=200, image_size=32, width=32, layers=1, most_tokens=12)
    out, err = capfd.readouterr()
    assert all(part in out for part in ("32 pixels", "1 layers of width 32", "12 tokens", "train.pretrain=true"))
    assert "model shards" not in err
    with pytest.raises(InputError, match="already exists"):
        main(pairs / "train.tsv", tmp_path / "tiny")
    with pytest.raises(InputError, match="the patch size divides"):
        main(pairs / "train.tsv", tmp_path / "other", image_size=33)
