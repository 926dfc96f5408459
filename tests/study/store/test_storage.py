"""Results in a bucket: the same storage as a folder, and a study there that is cut off and goes on elsewhere.

The bucket is moto's, a server of this machine. This file is also the program that runs studies with its address in the
environment, since a Ray that is there already would not know it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import ray

from simclip.errors import InputError
from simclip.study.execution.cluster import connect
from simclip.study.execution.events import Listener
from simclip.study.execution.ray_executor import RayExecutor
from simclip.study.execution.resources import Cluster, resolved
from simclip.study.execution.run import StudyEnd, run_study
from simclip.study.search.plan import planned_trials
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.bucket import Bucket
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import read_records
from simclip.study.store.storage import Disk, Storage
from simclip.study.store.study_file import load_study
from simclip.train.history import finished_epochs
from tests.study.watched import Events, alone, interrupt_at
from tests.train.histories import without_clocks

ROOT = Path(__file__).parents[3]
MakeStudy = Callable[..., StudyConfig]


@pytest.fixture(params=["disk", "file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "disk":
        return Disk(str(tmp_path / "toy"))
    if request.param == "file":
        return Bucket(f"file://{tmp_path}/toy")
    request.getfixturevalue("s3")
    return Bucket(f"s3://studies/{tmp_path.name}/toy")


def put(storage: Storage, key: str, text: str, scratch: Path) -> None:
    path = storage.fetch(key, scratch)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    storage.send(path, key)


def read(storage: Storage, key: str, scratch: Path) -> dict[str, str]:
    """All files under a key."""
    there = storage.fetch(key, scratch)
    return {str(path.relative_to(there)): path.read_text() for path in there.rglob("*") if path.is_file()}


def put_checkpoint(storage: Storage, key: str, epoch: int, scratch: Path) -> None:
    history = json.dumps([{"epoch": each} for each in range(epoch + 1)])
    files = {"last/model": f"last {epoch}", "best/model": f"best {epoch}", "history.json": history}
    sizes = {name: len(text) for name, text in files.items()}
    for name, text in {**files, "manifest.json": json.dumps(sizes)}.items():
        put(storage, f"{key}/{name}", text, scratch)


def test_a_bucket_does_what_a_disk_does(storage: Storage, tmp_path: Path) -> None:
    assert storage.folders("tune") == []
    assert storage.finished_epochs("tune/k2-s1") is None
    storage.delete("tune")
    assert not storage.fetch("logs/k2-s1.log", tmp_path / "0").exists()
    put_checkpoint(storage, "tune/k2-s1/checkpoint_3", 3, tmp_path / "1")
    put_checkpoint(storage, "tune/k2-s10/checkpoint_4", 4, tmp_path / "1")
    assert sorted(storage.folders("tune")) == ["k2-s1", "k2-s10"]
    assert storage.finished_epochs("tune/k2-s1/checkpoint_3") == 3
    storage.copy("tune/k2-s1/checkpoint_3/best", "models/k2-s1/best")
    storage.copy("tune/k2-s10/checkpoint_4/best", "models/k2-s1/best")
    assert read(storage, "models/k2-s1", tmp_path / "2") == {"best/model": "best 4"}
    storage.copy("models/k2-s1/best", "best")
    assert read(storage, "best", tmp_path / "3") == {"model": "best 4"}
    storage.move("tune/k2-s1/checkpoint_3", "unfinished/k2-s1")
    storage.move("tune/k2-s10/checkpoint_4", "unfinished/k2-s1")
    assert finished_epochs(storage.fetch("unfinished/k2-s1", tmp_path / "4")) == 4
    assert storage.finished_epochs("tune/k2-s1/checkpoint_3") is None
    put(storage, "unfinished/k2-s1/last/model", "cut", tmp_path / "5")
    assert storage.finished_epochs("unfinished/k2-s1") is None
    storage.delete("models")
    assert storage.folders("models") == []
    assert storage.folders("unfinished") == ["k2-s1"]
    aside = storage.move_aside("toy-until-now")
    assert aside is not None and aside.endswith("/toy-until-now")
    assert storage.folders("unfinished") == []
    assert storage.move_aside("toy-until-then") is None
    moved = StudyFolder.at(aside).storage
    assert read(moved, "best", tmp_path / "6") == {"model": "best 4"}


def test_a_bucket_has_the_checkpoints_that_a_trial_has(storage: Storage, tmp_path: Path) -> None:
    """And the newest of them has the best model."""
    folder = StudyFolder.at(str(storage))
    for number in (3, 4):
        scratch = tmp_path / str(number)
        put_checkpoint(storage, f"unfinished/k{number}-s1", number, scratch)
        here = storage.fetch("tune/k2-s1@7", scratch)
        for other in [*here.glob("*")]:
            shutil.rmtree(other)
        shutil.copytree(storage.fetch(f"unfinished/k{number}-s1", scratch), here / f"epoch-{number:04d}")
        storage.replicate(here, "tune/k2-s1@7")
        assert storage.folders("tune/k2-s1@7") == [f"epoch-{number:04d}"]
        assert storage.finished_epochs(f"tune/k2-s1@7/epoch-{number:04d}") == number
    assert folder.best_model("k2-s1") == "tune/k2-s1@7/epoch-0004/best"
    assert folder.best_model("k3-s1") == "unfinished/k3-s1/best"
    assert folder.best_model("k9-s1") is None


def test_a_trial_goes_on_from_its_newest_whole_checkpoint(storage: Storage, tmp_path: Path) -> None:
    folder = StudyFolder.at(str(storage))
    put_checkpoint(storage, "tune/k2-s1@1/checkpoint_000002", 1, tmp_path / "1")
    put_checkpoint(storage, "tune/k2-s1@2/checkpoint_000000", 2, tmp_path / "1")
    put_checkpoint(storage, "tune/k2-s1@2/checkpoint_000001", 3, tmp_path / "1")
    put(storage, "tune/k2-s1@2/checkpoint_000001/last/model", "cut", tmp_path / "1")
    put_checkpoint(storage, "tune/k2-s10@1/checkpoint_000002", 3, tmp_path / "1")
    put(storage, "train/run/anything", "of Ray Train", tmp_path / "1")
    folder.delete_scratch()
    assert storage.finished_epochs("unfinished/k2-s1") == 2
    assert storage.finished_epochs("unfinished/k2-s10") == 3
    assert storage.folders("tune") == storage.folders("train") == []
    assert folder.salvage_checkpoint("k2-s1") == Path("unfinished/k2-s1")
    put_checkpoint(storage, "tune/k2-s1@3/checkpoint_000000", 4, tmp_path / "1")
    folder.discard_checkpoints("k2-s1")
    assert folder.salvage_checkpoint("k2-s1") is None


def test_small_files_go_there_and_come_back(storage: Storage, make_study: MakeStudy) -> None:
    study = make_study()
    folder = StudyFolder.at(str(storage))
    assert folder.place("best") == f"{storage}/best"
    folder.claim(study)
    folder.log("k2-s1", "one\n")
    folder.log("k2-s1", "two\n")
    (folder.path / "tensorboard").mkdir()
    (folder.path / "tensorboard" / "events").write_text("e")
    folder.push()
    again = StudyFolder.at(str(storage))
    assert again.study().name == "tiny"
    again.claim(study)
    with pytest.raises(InputError, match=r"toy: holds another study: train\.batch_size is 8 there and 10 here"):
        again.claim(make_study(train={"batch_size": 10}))
    assert storage.fetch("logs/k2-s1.log", again.path).read_text() == "one\ntwo\n"
    assert storage.fetch("tensorboard/events", again.path).read_text() == "e"
    assert again.inside("reproduced").place() == f"{storage}/reproduced"
    assert again.move_aside()
    assert again.recorded() is None


@pytest.mark.parametrize(
    "uri, said",
    [
        ("s3://no-such-bucket/toy", r"^s3://no-such-bucket/toy: FileNotFoundError: .*bucket does not exist; address"),
        ("what://studies/toy", "^what://studies/toy: Protocol not known: what; expected a folder, or a URI such as s3"),
        ("abfs://studies/toy", r"^abfs://studies/toy: .*adlfs"),
    ],
)
@pytest.mark.usefixtures("s3")
def test_where_nothing_can_be_stored_is_said_in_one_line(uri: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        StudyFolder.at(uri)
    assert "\n" not in str(caught.value)


def run(
    study: StudyConfig, cluster: Cluster, place: str, listener: Listener, trials: Sequence[Trial] | None = None
) -> tuple[StudyEnd, StudyFolder]:
    folder = StudyFolder.at(place)
    folder.claim(study)
    return run_study(study, RayExecutor(study, cluster, folder), folder, [listener], trials), folder


def cut_off_and_gone_on(study: StudyConfig, cluster: Cluster, place: str) -> None:
    """A study in a bucket that is interrupted, and continued by what may be another machine."""
    first, seen = run(study, cluster, place, before := Events(interrupt_at("k2-s1", 2)))
    assert first.interrupted and set(first.records) == {"control-s1"}
    after = Events()
    end, folder = run(study, cluster, place, after)
    assert seen.path != folder.path
    assert {record.outcome for record in end.records.values()} == {"finished"}
    assert "control-s1" not in {name for name, _ in after.epochs}
    assert min(epoch for name, epoch in after.epochs if name == "k2-s1") == 3
    assert len(before.epochs) + len(after.epochs) == sum(len(each.history) for each in end.records.values())
    storage = folder.storage
    assert sorted(storage.folders("models")) == ["control-s1", "k2-s1", "k4-s1"]
    for scratch in ("tune", "train", "unfinished"):
        assert storage.folders(scratch) == []


def check_results(place: str, tmp_path: Path) -> None:
    """What lies there is what the trials bring when they run alone."""
    folder = StudyFolder.at(place)
    records = read_records(folder.trials)
    assert sorted(records) == ["control-s1", "k2-s1", "k4-s1"]
    for name, record in records.items():
        assert without_clocks(record.history) == alone(record.config, tmp_path / "alone" / name)
        log = folder.storage.fetch(f"logs/{name}.log", tmp_path / "there").read_text()
        assert log.count("epoch 3/4  loss") == 1
    results = json.loads((folder.path / "results.json").read_text())
    best = folder.storage.fetch("best", tmp_path / "there") / "model.safetensors"
    model = folder.storage.fetch(f"models/{results['best']['trial']}/best", tmp_path / "there") / "model.safetensors"
    assert best.read_bytes() == model.read_bytes()


@pytest.mark.slow
def test_a_study_in_a_bucket_goes_on(make_study: MakeStudy, cluster: Cluster, tmp_path: Path) -> None:
    study = resolved(make_study(train={"epochs": 4}, max_concurrent=1), cluster)
    place = f"file://{tmp_path}/results/tiny"
    cut_off_and_gone_on(study, cluster, place)
    check_results(place, tmp_path)


@pytest.mark.slow
def test_several_workers_store_in_a_bucket(make_study: MakeStudy, cluster: Cluster, tmp_path: Path) -> None:
    parameters = {"cluster_size": {"values": [4]}}
    study = make_study(parameters=parameters, resources={"cpus": 0.5, "workers": 2})
    place, trials = f"file://{tmp_path}/results/tiny", [*planned_trials(study)][1:]  # not the control
    end, folder = run(resolved(study, cluster), cluster, place, Events(), trials)
    assert {name: record.outcome for name, record in end.records.items()} == {"k4-p0.5-s1": "finished"}
    there = {path.name for path in (tmp_path / "results" / "tiny").iterdir()}
    assert {"best", "logs", "models", "study.yaml", "trials"} <= there
    assert folder.storage.folders("train") == folder.storage.folders("tune") == []
    log = (tmp_path / "results" / "tiny" / "logs" / "k4-p0.5-s1.log").read_text()
    assert "epoch 2/2  loss" in log


@pytest.mark.slow
def test_a_study_on_s3_goes_on(make_study: MakeStudy, s3: dict[str, str], tmp_path: Path) -> None:
    make_study(train={"epochs": 4}, max_concurrent=1)
    place = f"s3://studies/{tmp_path.name}/tiny"
    end = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "tiny.yaml"), place],
        env={**os.environ, **s3, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert end.returncode == 0, end.stderr[-4000:]
    check_results(place, tmp_path)


def main(study: Path, place: str) -> None:
    """Run a study on a Ray of its own."""
    cluster = connect("local")
    cut_off_and_gone_on(resolved(load_study(study), cluster), cluster, place)
    ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
