"""What messages advise works when it is followed, and words may be typed in any order."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

from simclip.study.spec.study import StudyConfig
from simclip.study.store.study_file import load_study
from simclip.train.config import TrainConfig
from tests.conftest import write_study
from tune import main

SOURCES = sorted((Path(__file__).parents[3] / "simclip").rglob("*.py"))
OVERRIDE = re.compile(r"(?<![\w.])((?:[a-z_]+\.)?([a-z_0-9]+)=([a-z0-9]+|\[\]))(?![\w({])")


def hints() -> list[str]:
    """Every override of a study's field that a text of the program spells out, except in docstrings."""
    fields = {*TrainConfig.model_fields, *StudyConfig.model_fields}
    found = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found |= {whole for whole, field, _ in OVERRIDE.findall(node.value) if field in fields}
    return sorted(found)


def test_every_override_that_a_message_spells_out_is_accepted(config: TrainConfig, tmp_path: Path) -> None:
    assert {"train.bad_images=skip", "train.image_store=off", "test=[]", "train.precision=fp32"} <= {*hints()}
    study = write_study(config, tmp_path / "tiny.yaml")
    for word in hints():
        assert load_study(study, [word]), word


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("epochs=2", "train.epochs=2"),
        ("batch_size=16", "train.batch_size=16"),
        ("epoch=2", None),
        ("train.seeds=[1]", "seeds=[1]"),
        ("train.epoch=2", "train.epochs=2"),
        ("train.confirm=null", "confirm=null"),
    ],
)
def test_the_field_that_is_meant_is_named(
    word: str, meant: str | None, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(config, tmp_path / "tiny.yaml")
    assert main(["run", str(study), word]) == 2
    said = capsys.readouterr().err
    if meant:
        found = re.search(r"did you mean ([a-z_.]+)\?", said)
        assert found, said
        near, name = found[1], word.partition("=")[0]
        whole = near if "." in near or near in StudyConfig.model_fields else f"{name.rpartition('.')[0]}.{near}"
        assert f"{whole}={word.partition('=')[2]}" == meant
        assert load_study(study, [meant])


def test_without_a_confirm_stage_the_demo_says_that_its_test_sets_have_to_go(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "confirm=null"]) == 2
    assert "test=[]" in capsys.readouterr().err
    assert load_study(Path("studies/demo.yaml"), ["confirm=null", "test=[]"])
    assert main(["run", "confirm=none", "test=[]"]) == 2
    assert "write null for none" in capsys.readouterr().err


@pytest.mark.usefixtures("without_ray")
def test_overrides_are_taken_on_both_sides_of_a_flag(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = str(write_study(config, tmp_path / "tiny.yaml", train={"epochs": 1}))
    words = ["name=other", "--results", str(tmp_path), "seeds=[1,2]", "--retry-failed", "train.epochs=x"]
    assert main(["run", study, *words]) == 2
    assert "override 'train.epochs=x'" in capsys.readouterr().err
    assert main(["run", "--results", str(tmp_path), study, "train.epochs=x"]) == 2
    assert "override 'train.epochs=x'" in capsys.readouterr().err


def test_overrides_alone_are_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "name=x", "train.epochs=none"]) == 2
    assert "override 'train.epochs=none'" in capsys.readouterr().err


@pytest.fixture
def folders(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with models/tiny and two folders of results."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(config.model, "models/tiny")
    for name in ("one", "two"):
        write_study(config, tmp_path / "results" / "study.yaml", name=name)
        (tmp_path / "results" / name).mkdir()
        (tmp_path / "results" / "study.yaml").rename(tmp_path / "results" / name / "study.yaml")
    (tmp_path / "results" / "one" / ".lock").write_text(
        '{"host": "h", "pid": 7, "job": null, "since": 1.0, "command": "c", "cwd": "/"}\n'
    )
    write_study(config, tmp_path / "tiny.yaml")
    return tmp_path


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run", "results/one"], ["results/one: a folder", "results/one/study.yaml, the study file"]),
        (["check", "results/one"], ["results/one is a folder", "results/one/study.yaml"]),
        (["status", "results/onne"], ["no such results folder: results/onne", "did you mean results/one?"]),
        (["logs", "results/onne"], ["no such results folder: results/onne"]),
        (["stop", "results/one"], ["a study of this machine", "not running"]),
        (["logs", "results/one"], ["a study of this machine", "results/one/logs"]),
        (["status", "onne", "--address", "http://127.0.0.1:9"], ["onne: no such results folder here", "dashboard"]),
        (["export", "results", "--to", "x"], ["results holds the results of 2 studies", "results/one"]),
        (["run", "tiny.yaml", "train.model=models/tinny"], ["no such model folder", "did you mean models/tiny?"]),
        (["run", "tiny.yaml", "train.model=datasets/demo-bse"], ["no such model folder"]),
        (["run", "tiny.yaml", "parameters={}", "train.cluster_size=99"], ["cluster_size 99"]),
        (["prepare", "csv"], ["csv", "coco, karpathy, flickr, sidecar, tsv, mnist"]),
        (["run", "tiny.yaml", "--dry-rn"], ["--dry-rn", "--dry-run"]),
        (["reproduce"], ["missing", "RESULTS"]),
        (["reproduce", "one", "--seeds", "x"], ["--seeds", "'x'"]),
        (["run", "tiny.yaml", "--results"], ["missing value", "--results"]),
        (["--fresh"], ["--fresh", "run, report, reproduce"]),
    ],
)
def test_messages_are_about_what_was_typed(
    words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in parts), said
    assert said.count("\n") == 1 and "Errno" not in said and "arm arm" not in said
