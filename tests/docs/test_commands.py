"""Every command of the pages parses; those that are cheap run."""

from __future__ import annotations

import functools
import importlib
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import tyro
from ray.scripts.scripts import cli as ray_cli

import tune
from simclip.cli.commands.export import benchmark_command
from simclip.cli.commands.original import parse
from simclip.demo.dataset import ensure_dataset
from simclip.study.spec.overrides import read_mapping
from simclip.study.store.study_file import DEMO, load_study, locate
from tests.docs.pages import BY_NAME, PAGES, ROOT

COMMANDS = [(page, words) for page in PAGES for words in page.commands]
#: Programs whose arguments are theirs to check.
OTHERS = ("ssh", "tensorboard", "wandb", "kubectl")


def stand_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """Takes the same arguments and returns them by name."""

    @functools.wraps(function)
    def record(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return kwargs | dict(enumerate(args))  # type: ignore[arg-type]

    return record


def of(*start: str) -> list[list[str]]:
    """The commands that begin with these words, without them."""
    return [words[len(start) :] for _, words in COMMANDS if tuple(words[: len(start)]) == start]


def named(words: list[str]) -> str:
    return shlex.join(words)[:70]


@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=named)
def test_every_program_is_known_and_its_files_are_there(words: list[str]) -> None:
    match words:
        case ["python", "tune.py", *rest]:
            assert not rest or rest[0] in tune.COMMANDS
        case ["python", "-m", "pytest", *rest]:
            assert all((ROOT / word).exists() for word in rest if word.startswith("tests/"))
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module)
        case ["pip", "install", "-r", file]:
            assert (ROOT / file).is_file()
        case ["bash", file]:
            assert (ROOT / file).is_file()
        case ["ruff", "check" | "format", *_] | ["mypy"] | ["ray", *_] | ["clip_benchmark", *_]:
            pass
        case _:
            assert words[0] in OTHERS


@pytest.mark.parametrize("words", [each for each in of("python", "tune.py") if each], ids=named)
def test_commands_of_tune_parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = tune.command
    monkeypatch.setattr(tune, "command", lambda name: stand_in(command(name)))
    given: Any = tune.called(*words)
    assert isinstance(given, dict)
    if words[0] in ("run", "submit"):
        assert load_study(given["study"], given["overrides"], read_mapping(locate(DEMO)) if given["demo"] else None)


@pytest.mark.parametrize("words", of("python", "-m", "simclip"), ids=named)
def test_commands_of_the_original_parse(words: list[str]) -> None:
    if words != ["--help"]:
        assert parse(words).config.epochs == 20


@pytest.mark.parametrize("module", ["simclip.tiny", "tests.chaos", "tests.benchmarks", "tests.calibration"])
def test_commands_of_other_modules_parse(module: str) -> None:
    name = module if module == "simclip.tiny" else f"{module}.__main__"
    main = importlib.import_module(name).main
    given = [tyro.cli(stand_in(main), args=words) for words in of("python", "-m", module)]
    assert given


@pytest.mark.parametrize("words", of("ray"), ids=named)
def test_commands_of_ray_parse(words: list[str]) -> None:
    name, *rest = words
    command = ray_cli.commands[name]
    context = command.make_context(name, rest, ray_context := click.Context(ray_cli))
    assert context.parent is ray_context


def test_the_command_of_clip_benchmark_is_the_one_that_export_prints() -> None:
    ((*words,),) = of("clip_benchmark")
    assert ["clip_benchmark", *words] == [
        *("clip_benchmark", "eval", "--model", "local-dir:$PWD/models/demo"),
        *benchmark_command(Path("models/demo"))[4:],
    ]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the examples name: the demo's pictures."""
    demo = ensure_dataset()
    for name in ("train", "val", "test"):
        shutil.copy(demo / f"{name}.tsv", tmp_path)
    (tmp_path / "images").symlink_to(demo / "images")
    (tmp_path / "folder").mkdir()
    for number, picture in enumerate(sorted((demo / "images").glob("val_*.png"))[:3]):
        shutil.copy(picture, tmp_path / "folder")
        (tmp_path / "folder" / picture.with_suffix(".txt").name).write_text(f"picture {number}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        *[words for words in of("python", "tune.py") if words[:1] == ["check"]],
        *[words for words in of("python", "tune.py") if words[:2] == ["prepare", "sidecar"]],
        ["fields"],
    ],
    ids=named,
)
def test_cheap_commands_run(words: list[str], data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune.main(words) == 0, capsys.readouterr().err


def test_a_tiny_model_is_made_and_its_study_fits_it(data: Path) -> None:
    (words,) = of("python", "-m", "simclip.tiny")
    tyro.cli(importlib.import_module("simclip.tiny").main, args=words)
    assert (data / "models/tiny/config.json").is_file()
    (study,) = [each for each in of("python", "tune.py") if "train.model=models/tiny" in each]
    loaded = load_study(Path(study[1]), study[2:])
    assert loaded.train.model == str(data / "models/tiny")


def test_the_python_snippet_is_python() -> None:
    (snippet,) = BY_NAME["models"].blocks("python")
    compile(snippet, "docs/models.md", "exec")
