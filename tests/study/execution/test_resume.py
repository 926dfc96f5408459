"""A study is resumed from its records and checkpoints, whatever was lost."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from simclip.errors import InputError
from simclip.study.execution.budget import trials_left
from simclip.study.execution.events import Listener
from simclip.study.execution.resources import Cluster, resolved
from simclip.study.execution.run import StudyEnd
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.compatibility import machine_changes
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import read_all
from simclip.study.store.study_file import load_study
from simclip.train.history import Row, finished_epochs
from simclip.train.memory import memory_advice
from tests.conftest import tiny_run, write_study
from tests.study.in_process import ONE_CPU, ProcessLost, run_here
from tests.study.watched import Events, figures, interrupt_at, kill_actors, run


def here(study: StudyConfig, folder: Path, listener: Listener, **how: Any) -> StudyEnd:
    """Run a study in this process."""
    return run_here(study, folder, [listener], **how)[0]


@pytest.fixture(scope="module")
def study(pairs: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyConfig:
    path = tmp_path_factory.mktemp("study") / "tiny.yaml"
    return load_study(write_study(tiny_run(pairs, tiny_model), path, train={"epochs": 4}, max_concurrent=1))


@pytest.fixture(scope="module")
def whole(study: StudyConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    """The figures of the study when nothing disturbs it, with or without Ray."""
    return figures(run_here(study, tmp_path_factory.mktemp("whole"))[0])


def test_an_interrupted_trial_goes_on_after_its_last_epoch(study, whole, cluster: Cluster, tmp_path: Path) -> None:
    first = run(study, cluster, tmp_path, Events(interrupt_at("k2-s1", 2)))
    assert first.interrupted and set(first.records) == {"control-s1"}
    # Whatever Ray has written is not needed.
    for state in [*(tmp_path / "tiny" / "tune").glob("*.json"), *(tmp_path / "tiny" / "tune").glob("*.pkl")]:
        state.write_bytes(b"torn")
    again = Events()
    end = run(study, cluster, tmp_path, again)
    assert figures(end) == whole
    assert min(epoch for name, epoch in again.epochs if name == "k2-s1") == 3
    assert "control-s1" not in {name for name, _ in again.epochs}
    assert not (tmp_path / "tiny" / "unfinished").exists() or not list((tmp_path / "tiny" / "unfinished").iterdir())
    assert end.records["k2-s1"].seconds > sum(row["seconds"] for row in end.records["k2-s1"].history) / 2


def test_an_interrupted_study_gives_its_processes_back(study, cluster: Cluster, tmp_path: Path) -> None:
    assert run(study, cluster, tmp_path, Events(interrupt_at("control-s1", 1))).interrupted
    deadline = time.monotonic() + 30
    while ray.available_resources().get("CPU") != cluster.cpus:
        assert time.monotonic() < deadline, ray.available_resources()
        time.sleep(0.1)


def test_a_trial_whose_end_was_not_written_ends_at_once(study, whole, tmp_path: Path) -> None:
    here(study, tmp_path, Events(interrupt_at("k2-s1", 4)))
    again = Events()
    end = here(study, tmp_path, again)
    assert figures(end) == whole
    assert [epoch for name, epoch in again.epochs if name == "k2-s1"] == [4]
    assert (tmp_path / "tiny" / "models" / "k2-s1" / "best" / "model.safetensors").is_file()


def test_a_checkpoint_that_was_cut_short_is_not_taken(study, whole, tmp_path: Path) -> None:
    here(study, tmp_path, Events(interrupt_at("k2-s1", 2)))
    folder = StudyFolder(tmp_path / "tiny")
    folder.delete_scratch()
    kept = folder.path / layout.UNFINISHED / "k2-s1"
    assert finished_epochs(kept) == 2
    torn = folder.path / layout.TUNE / "k2-s1@7" / "checkpoint_000007"
    shutil.copytree(kept, torn)
    (torn / "history.json").write_text(json.dumps([{"epoch": 3}]))
    with (torn / "last" / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    with (kept / "training_state.pt").open("r+b") as file:
        file.truncate(1000)
    assert finished_epochs(kept) is None
    assert figures(here(study, tmp_path, Events())) == whole  # from its start


def test_a_torn_line_is_dropped(study, tmp_path: Path) -> None:
    whole = figures(here(study, tmp_path, Events()))
    path = tmp_path / "tiny" / "trials" / "k4-s1.jsonl"
    path.write_text(path.read_text()[:-40])
    assert read_all(path.parent)["k4-s1"].outcome is None
    again = Events()
    assert figures(here(study, tmp_path, again)) == whole
    assert {name for name, _ in again.epochs} == {"k4-s1"}


def test_a_lost_process_is_replaced_three_times(study, whole, cluster: Cluster, tmp_path: Path) -> None:
    deaths: list[int] = []

    def kill(trial: Trial, row: Row) -> None:
        if trial.name == "k2-s1" and row["epoch"] in (1, 2, 3) and row["epoch"] not in deaths:
            deaths.append(row["epoch"])
            kill_actors("ImplicitFunc")

    seen = Events(kill)
    assert figures(run(study, cluster, tmp_path, seen)) == whole
    assert deaths == [1, 2, 3]
    assert [epoch for name, epoch in seen.epochs if name == "k2-s1"] == [0, 1, 2, 3, 4]  # none of them twice


def test_a_process_that_is_lost_again_and_again_is_given_up(make_study, tmp_path: Path) -> None:
    def kill(trial: Trial, row: Row) -> None:
        if trial.name == "k2-s1":
            raise ProcessLost("on purpose")

    end = here(make_study(train={"epochs": 5}, max_concurrent=1), tmp_path, Events(kill))
    assert [record.trial for record in end.failed] == ["k2-s1"]
    assert end.failed[0].error is not None
    assert end.failed[0].error.startswith("its process was lost 4 times")
    assert end.records["k4-s1"].outcome == "finished"


def test_failed_trials_run_again_if_asked(make_study, tmp_path: Path) -> None:
    # So large a rate makes embeddings that are no numbers.
    study = make_study(parameters={"learning_rate": {"values": [1e-3, 1e18]}, "cluster_size": {"value": 4}})
    first = Events()
    assert len(here(study, tmp_path, first).failed) == 2
    left = [
        trials_left(resolved(study, ONE_CPU), read_all(tmp_path / "tiny" / "trials", retry), 1.0, 1).search
        for retry in (False, True)
    ]
    assert left == [0, 2]
    second = Events()
    here(study, tmp_path, second)
    assert second.ended == []
    third = Events()
    end = here(study, tmp_path, third, retry_failed=True)
    assert sorted(third.ended) == sorted(record.trial for record in end.failed)
    assert len(end.failed) == 2


def test_a_study_can_be_extended(make_study, tmp_path: Path) -> None:
    here(make_study(parameters={"cluster_size": {"values": [2]}}), tmp_path, Events())
    more = Events()
    end = here(make_study(seeds=[1, 2]), tmp_path, more)
    assert sorted(more.ended) == ["control-s2", "k2-p0.5-s2", "k4-s1", "k4-s2"]  # k2 keeps the name that it had
    assert len(end.records) == 6
    with pytest.raises(InputError, match=r"parameters\.cluster_size\.values is \[2, 4\] there and \[4\] here"):
        here(make_study(seeds=[1, 2], parameters={"cluster_size": {"values": [4]}}), tmp_path, Events())
    with pytest.raises(InputError, match=r"holds another study: train\.epochs is 2 there and 3 here"):
        here(make_study(seeds=[1, 2], train={"epochs": 3}), tmp_path, Events())


def test_advice_on_memory_can_be_followed_while_a_study_goes_on(make_study, tmp_path: Path) -> None:
    confirm = {"arms": 1, "seeds": 2}
    study = make_study(confirm=confirm)
    first = here(study, tmp_path, Events(interrupt_at("k2-s1", 1)))
    advice = dict(re.findall(r"train\.(\w+)=(\d+)", memory_advice(study.train, 1)))
    assert {*advice} == {"micro_batch_size", "embed_batch_size"}
    now = make_study(confirm=confirm, train={name: int(size) for name, size in advice.items()})
    folder = StudyFolder(tmp_path / "tiny")
    line = machine_changes(folder.recorded(), now.model_copy(update={"train": resolved(now, ONE_CPU).train}))
    assert line and "train.micro_batch_size is now 4 (None before)" in line and "threads" not in line
    end = here(now, tmp_path, Events())
    assert {*first.records} == {"control-s1"} and end.records["control-s1"].config.micro_batch_size is None
    rest = [record for name, record in end.records.items() if name != "control-s1"]
    assert {(each.config.micro_batch_size, each.config.embed_batch_size) for each in rest} == {(4, 4)}
    assert {each.arm for each in rest} == {"control", "k2", "k4"} and sum(each.stage == "confirm" for each in rest) == 4
    with pytest.raises(InputError, match=r"train\.val_batch_size is 8 there and 4 here"):  # changes val/loss
        here(make_study(train={"val_batch_size": 4}), tmp_path, Events())


def test_the_budget_ends_the_search_in_time_to_confirm(make_study, tmp_path: Path) -> None:
    confirm = {"arms": 1, "seeds": 2}
    study = make_study(parameters={"cluster_size": {"values": [2, 4]}}, confirm=confirm, budget={"trials": 6})
    end = here(study, tmp_path, Events())
    assert end.left_out
    assert {r.trial for r in end.records.values() if r.stage == "search"} == {"control-s1", "k2-s1"}
    assert sum(r.stage == "confirm" for r in end.records.values()) == 4
    more = Events()
    unlimited = study.model_copy(update={"budget": StudyConfig.model_fields["budget"].default})
    assert not here(unlimited, tmp_path, more).left_out
    assert "k4-s1" in more.ended
