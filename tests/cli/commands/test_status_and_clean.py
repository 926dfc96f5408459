"""Studies of a folder, another metric, one arm alone, and what can be freed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from simclip.study.execution.ownership import Owner, own_file
from simclip.study.store.study_file import load_study
from tests.conftest import tiny_run, write_study
from tests.study.in_process import run_here
from tune import main


@pytest.fixture(scope="module")
def ran(pairs: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a small study that has finished."""
    folder = tmp_path_factory.mktemp("many")
    study = load_study(write_study(tiny_run(pairs, tiny_model), folder / "one.yaml", train={"epochs": 2}))
    run_here(study, folder / "results")
    return folder / "results"


@pytest.fixture
def results(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the results, with a second study that cannot be read, in a working folder."""
    monkeypatch.chdir(tmp_path)
    copy = Path(shutil.copytree(ran, tmp_path / "results"))
    (copy / "two").mkdir()
    (copy / "two" / "study.yaml").write_text("name: two\nseed: 3\n")
    return copy


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("words", [["status"], ["status", "results"]])
def test_status_of_a_folder_lists_its_studies(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "2 studies" in out and "MB" in out
    one = next(line for line in out.splitlines() if line.startswith("one"))
    assert "finished" in one
    two = next(line for line in out.splitlines() if line.startswith("two"))
    assert "unreadable" in two


def test_results_are_ranked_by_another_metric(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    losses = {}
    for path in (results / "one" / "trials").glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        losses[path.stem] = min(row["val/loss"] for row in rows if row.get("epoch", 0) > 0)
    best = min(losses, key=lambda name: losses[name])
    assert main(["status", "results/one", "metric=val/loss"]) == 0
    out = capsys.readouterr().out
    assert f"{best.rpartition('-s')[0]}, val/loss {losses[best]:.3f}" in out
    assert before == {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    assert main(["report", "results/one", "metric=val/loss"]) == 0
    page = results / "one" / "report-by-metric-val-loss.html"
    assert page.is_file() and "val/loss" in page.read_text()
    for word, said in (("metric=val/los", "did you mean val/loss?"), ("seeds=[1]", "another metric only")):
        assert main(["status", "results/one", word]) == 2
        assert said in capsys.readouterr().err


def test_a_study_file_with_another_metric_is_told_how_to_rank(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "results/one/study.yaml", "metric=val/loss", "mode=min", "--results", "results"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "to rank them by it without training: python tune.py report" in said, said
    advised = said.strip().partition("without training: ")[2].split()[2:]
    assert main(advised) == 0


def test_nothing_empty_is_left(results: Path) -> None:
    assert not (results / "one" / "unfinished").exists()


@pytest.mark.usefixtures("without_ray")
def test_one_arm_is_run_alone_and_the_rest_is_left(
    pairs: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tiny_run(pairs, tiny_model), tmp_path / "part.yaml", train={"epochs": 1})
    words = ["run", str(study), "--results", str(tmp_path / "results")]
    assert main([*words, "--arm", "k5"]) == 2
    assert "--arm k5: the study plans no such arm" in capsys.readouterr().err
    assert main([*words, "--arm", "k2"]) == 0
    trials = tmp_path / "results" / "part" / "trials"
    assert [path.name for path in trials.iterdir()] == ["k2-s1.jsonl"]
    capsys.readouterr()
    assert main(["status", str(tmp_path / "results" / "part")]) == 0
    assert "2 not begun" in capsys.readouterr().out
    record = (trials / "k2-s1.jsonl").read_bytes()
    assert main(words) == 0
    assert len([*trials.iterdir()]) == 3 and (trials / "k2-s1.jsonl").read_bytes() == record


def test_clean_shows_and_frees_what_nothing_needs(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinished = results / "one" / "unfinished"
    for name in ("k2-s1", "k9-s1"):  # one has ended, one has not
        (unfinished / name).mkdir(parents=True)
        (unfinished / name / "state.pt").write_bytes(bytes(2_000_000))
    cache = Path(os.environ["SIMCLIP_CACHE"])
    cache.mkdir(exist_ok=True)
    (cache / "tokens-x.npy").write_bytes(bytes(3_000_000))
    kept = sorted((results / "one" / "models").rglob("*"))
    assert main(["clean"]) == 0
    out = capsys.readouterr().out
    assert f"2.0 MB  checkpoints of trials that have ended: 1 in {unfinished}" in out
    assert f"3.0 MB  cache of tokens: 1 in {cache}" in out and "5.0 MB can be freed: add --free" in out
    assert (cache / "tokens-x.npy").exists()
    with own_file(results / "one", Owner.me()):
        assert main(["clean", "--free"]) == 2
        assert "a study runs there" in capsys.readouterr().err
    assert main(["clean", "--free"]) == 0
    assert not (unfinished / "k2-s1").exists() and (unfinished / "k9-s1").exists()
    assert not (cache / "tokens-x.npy").exists()
    assert kept == sorted((results / "one" / "models").rglob("*"))
