"""Real file systems that are too small or read-only, and two drivers at once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import read_all
from simclip.study.store.study_file import load_study
from tests.conftest import tiny_run, write_study
from tests.study.in_process import run_here
from tests.study.test_spoilt import figures_of
from tune import main

pytestmark = [pytest.mark.usefixtures("without_ray"), pytest.mark.slow]
ROOT = Path(__file__).parents[2]
Mount = Callable[[Path, str], None]


def mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small() -> Iterator[Mount]:
    """Makes a folder a file system of its own, of a given size."""
    mounted: list[Path] = []

    def make(folder: Path, size: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
            pytest.skip("file systems cannot be mounted here")
        mounted.append(folder)

    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def study_file(pairs: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("full") / "tiny.yaml"
    return write_study(tiny_run(pairs, tiny_model), path, max_concurrent=1, train={"epochs": 2, "image_store": "on"})


@pytest.fixture(scope="module")
def whole(study_file: Path) -> tuple[dict[str, Any], StudyFolder]:
    end, folder = run_here(load_study(study_file), study_file.parent / "whole")
    return figures_of(end.records), folder


#: Sizes in kB: too small for a first file, then for one that comes later, up to what nearly suffices.
SIZES = {"results": (4, 12, 40, 100, 160, 220, 280, 340, 420, 560), "cache": (4, 40, 120, 200, 232, 240)}


@pytest.mark.parametrize(("place", "size"), [(place, size) for place, sizes in SIZES.items() for size in sizes])
def test_a_disk_that_fills_stops_the_study_in_one_line_and_costs_nothing(
    place: str, size: int, small: Mount, study_file: Path, whole: tuple[dict[str, Any], StudyFolder], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    small(tmp_path / place, f"{size}k")
    monkeypatch.setenv("SIMCLIP_CACHE", str(tmp_path / "cache"))
    words = ["run", str(study_file), "--results", str(tmp_path / "results")]
    code = main(words)
    err = capsys.readouterr().err
    if code:
        assert code in (1, 2) and err.startswith("error: ") and err.count("\n") == 1, err
        assert re.search("no space left|make room", err, re.IGNORECASE), err
    assert mount("-o", "remount,size=100m", str(tmp_path / place))
    assert main(words) == 0
    assert figures_of(read_all(tmp_path / "results" / "tiny" / "trials")) == whole[0]


def test_read_only_results_can_be_read_and_are_not_written(
    small: Mount, study_file: Path, whole: tuple[dict[str, Any], StudyFolder], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    results = tmp_path / "results"
    small(results, "100m")
    words = ["run", str(study_file), "--results", str(results)]
    assert main([*words, "seeds=[1]"]) == 0
    assert mount("-o", "remount,ro", str(results))
    capsys.readouterr()
    place = str(results / "tiny")
    for command in (
        ["status", place],
        ["status", str(results)],
        ["report", place, "--to", str(tmp_path / "page.html")],
    ):
        assert main(command) == 0, command
        assert not capsys.readouterr().err
    for command in (words, [*words, "seeds=[1,2]"], ["report", place], [*words, "--fresh"], ["reproduce", place]):
        assert main(command) == 2, command
        err = capsys.readouterr().err
        assert str(results) in err and "read-only file system" in err and err.count("\n") == 1, err
    assert figures_of(read_all(results / "tiny" / "trials")) == whole[0]


DRIVER = """
import sys
from tests.study.in_process import ONE_CPU, InProcess
from simclip.cli import session
from tune import main
session.connect, session.heed_termination = lambda address: ONE_CPU, lambda: None
session.prepare_nodes = lambda study, storage: []
session.RayExecutor = lambda study, cluster, folder: InProcess(folder)
sys.exit(main(sys.argv[1:]))
"""


def test_of_two_drivers_at_once_one_runs_the_study_and_the_other_says_so(
    study_file: Path, whole: tuple[dict[str, Any], StudyFolder], tmp_path: Path
) -> None:
    words = [sys.executable, "-c", DRIVER, "run", str(study_file), "--results", str(tmp_path)]
    both = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"]
    said = {each.communicate()[1]: each.returncode for each in both}
    for err, code in said.items():
        refused = code == 2 and "a study runs there already" in err and err.count("\n") == 1
        assert refused or (code == 0 and not err), err
    assert 0 in said.values()
    assert figures_of(read_all(tmp_path / "tiny" / "trials")) == whole[0]
