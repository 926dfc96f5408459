"""Code that lies in a model folder is never executed, and nothing is asked on the terminal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from simclip.errors import InputError
from simclip.models.clip import load_clip
from simclip.train.config import TrainConfig
from simclip.train.precompute import prepare

CODE = "import pathlib\npathlib.Path(__file__).with_name('executed').touch()\nclass Mine: ...\n"


def with_code(model: Path, to: Path, file: str, maps: dict[str, object], **changes: object) -> Path:
    folder = Path(shutil.copytree(model, to))
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, **changes, "auto_map": maps}))
    (folder / "mine.py").write_text(CODE)
    return folder


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*words: object) -> str:
        raise AssertionError(f"asked on the terminal: {words}")

    monkeypatch.setattr("builtins.input", asked)


@pytest.mark.parametrize(
    ("file", "maps", "changes"),
    [
        ("config.json", {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"}, {}),
        ("tokenizer_config.json", {"AutoTokenizer": [None, "mine.Mine"]}, {}),
        ("preprocessor_config.json", {"AutoImageProcessor": "mine.Mine"}, {}),
        ("tokenizer_config.json", {"AutoTokenizer": ["mine.Mine", None]}, {"tokenizer_class": "Mine"}),
        ("preprocessor_config.json", {"AutoImageProcessor": "mine.Mine"}, {"image_processor_type": "Mine"}),
    ],
)
def test_it_is_ignored_or_refused_in_one_line(
    file: str, maps: dict[str, object], changes: dict[str, object], tiny_model: Path, tmp_path: Path
) -> None:
    folder = with_code(tiny_model, tmp_path / "model", file, maps, **changes)
    try:
        load_clip(str(folder))
    except InputError as error:
        assert "never executed" in str(error) and "\n" not in str(error)
    assert not (folder / "executed").exists()


def test_a_run_says_that_it_is_not_executed(config: TrainConfig, tiny_model: Path, tmp_path: Path) -> None:
    folder = with_code(tiny_model, tmp_path / "model", "config.json", {"AutoModel": "mine.Mine"})
    notes = prepare(config.model_copy(update={"model": str(folder)}))
    assert any("code of its own, which is never executed" in note for note in notes)
    assert not prepare(config)
