"""A study under a real Ray: what it leaves, and that its trials do not touch each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from transformers import CLIPModel

from simclip.checkpoint import Row
from simclip.config import TrainConfig
from simclip.errors import InputError
from simclip.study.arms import Trial
from simclip.study.cluster import Cluster, resolved
from simclip.study.config import StudyConfig, load_study
from simclip.study.folder import StudyFolder
from simclip.study.listeners import Listener
from simclip.study.records import Record
from simclip.study.run import StudyEnd, run_study
from simclip.training import Training

MakeStudy = Callable[..., StudyConfig]


class Events(Listener):
    """Keeps the order of what was told."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.epochs: list[tuple[str, int]] = []
        self.ended: list[str] = []

    def trial_started(self, trial: Trial) -> None:
        self.started.append(trial.name)

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        self.epochs.append((trial.name, row["epoch"]))

    def trial_ended(self, trial: Trial, record: Record) -> None:
        self.ended.append(trial.name)


def run(study: StudyConfig, cluster: Cluster, folder: Path) -> tuple[StudyEnd, StudyFolder, Events]:
    study = resolved(study, cluster)
    where, events = StudyFolder(folder / study.name), Events()
    where.claim(study)
    return run_study(study, cluster, where, [events]), where, events


def figures(history: list[Row]) -> list[Row]:
    """A history without its clocks."""
    clocks = ("seconds", "pairs_per_second")
    return [{k: v for k, v in row.items() if k not in clocks and not k.startswith("share/")} for row in history]


def alone(config: TrainConfig, folder: Path) -> list[Row]:
    return figures(Training(config, folder).run(lambda history, checkpoint: None))


def test_a_study_leaves_its_results(make_study: MakeStudy, cluster: Cluster, tmp_path: Path) -> None:
    study = make_study(seeds=[1, 2], keep_models=1)
    end, folder, events = run(study, cluster, tmp_path)
    names = [f"{arm}-s{seed}" for arm in ("control", "k2", "k4") for seed in (1, 2)]
    assert sorted(end.records) == names
    assert sorted(events.ended) == names
    assert not end.interrupted
    assert sorted(p.name for p in folder.path.iterdir()) == sorted(
        ["best", "best.yaml", "logs", "models", "results.json", "study.yaml", "trials", "trials.csv"]
    )

    lines = [json.loads(line) for line in (folder.trials / "k4-s2.jsonl").read_text().splitlines()]
    assert [line.get("epoch") for line in lines] == [0, 1, 2, None]
    assert lines[-1]["outcome"] == "finished"
    assert lines[-1]["config"]["cluster_size"] == 4
    assert lines[-1]["score"] == max(line["metric"] for line in lines[1:3])
    assert {"seconds", "share/data", "share/evaluate", "val/t2i_r5"} <= set(lines[1])

    table = pd.read_csv(folder.path / "trials.csv")
    assert sorted(table["trial"]) == names
    results = json.loads((folder.path / "results.json").read_text())
    means = table.groupby("arm")["score"].mean()
    assert {arm["name"]: arm["mean"] for arm in results["arms"]} == pytest.approx(dict(means))
    assert results["best"] in means.index[means == means.max()]
    assert results["untouched"]["val/mean_r1"] == lines[0]["val/mean_r1"]
    assert results["cost"]["finished"]["trials"] == 6
    assert {"versions", "git_commit", "hardware"} <= set(results)

    best = yaml.safe_load((folder.path / "best.yaml").read_text())
    assert best["trial"] == f"{results['best']}-s1"
    assert best["train"]["threads"] == 1
    assert best["resources"]["workers"] == 1
    # Its model scores what the file says to expect.
    CLIPModel.from_pretrained(folder.best)
    again = Training(TrainConfig(**{**best["train"], "model": str(folder.best)}), tmp_path / "again").evaluate()
    assert again["val/mean_r1"] == best["expect"]["val/mean_r1"]
    # Models stay for the leading arm alone, on its first seed, and no training state does.
    assert [p.name for p in folder.models.iterdir()] == [best["trial"]]
    assert not list(folder.path.rglob("training_state.pt"))


def test_a_trial_gives_the_same_numbers_first_fifth_or_alone(
    make_study: MakeStudy, cluster: Cluster, tmp_path: Path
) -> None:
    study = make_study(seeds=[1, 2], max_concurrent=1, train={"pretrain": True})
    end, _, events = run(study, cluster, tmp_path)
    assert events.started == list(end.records) == [f"{a}-s{s}" for a in ("control", "k2", "k4") for s in (1, 2)]
    for name in ("control-s1", "k4-s1"):
        record = end.records[name]
        assert figures(record.history) == alone(record.config, tmp_path / name)


def test_two_workers_per_trial(make_study: MakeStudy, cluster: Cluster, tmp_path: Path) -> None:
    study = make_study(parameters={"cluster_size": {"value": 4}}, resources={"cpus": 0.5, "workers": 2})
    end, folder, events = run(study, cluster, tmp_path)
    assert {r.trial: r.outcome for r in end.records.values()} == {"control-s1": "finished", "k4-p0.5-s1": "finished"}
    for name in end.records:
        assert [epoch for trial, epoch in events.epochs if trial == name] == [0, 1, 2]
    assert (folder.best / "model.safetensors").is_file()
    assert not folder.train.exists()
    # The same plan and the same global batches as one worker: the same run but for the order of sums.
    for record in end.records.values():
        for ours, theirs in zip(figures(record.history), alone(record.config, tmp_path / record.trial), strict=True):
            assert ours == pytest.approx(theirs, abs=1e-4)


def test_asha_spares_the_control(make_study: MakeStudy, cluster: Cluster, tmp_path: Path) -> None:
    study = make_study(
        scheduler="asha",
        asha={"grace_period": 1, "reduction_factor": 2},
        parameters={"learning_rate": {"values": [1e-3, 1e-9, 1e-10]}, "cluster_size": {"value": 4}},
        train={"epochs": 4},
        max_concurrent=1,
    )
    end, folder, _ = run(study, cluster, tmp_path)
    outcomes = {record.trial: record.outcome for record in end.records.values()}
    assert len(outcomes) == 6
    assert all(outcome == "finished" for trial, outcome in outcomes.items() if trial.startswith("control"))
    stopped = [record for record in end.records.values() if record.outcome == "stopped"]
    assert stopped
    assert all(0 < record.history[-1]["epoch"] < 4 for record in stopped)
    cost = json.loads((folder.path / "results.json").read_text())["cost"]
    assert cost["stopped"]["trials"] == len(stopped)


def test_optuna_runs_the_control_and_so_many_settings(make_study: MakeStudy, cluster: Cluster, tmp_path: Path) -> None:
    study = make_study(
        searcher="optuna",
        trials=3,
        parameters={"cluster_size": {"values": [2, 4]}, "proportion": {"min": 0.5, "max": 1.0}},
        train={"epochs": 1, "proportion": 0.5},
    )
    end, folder, _ = run(study, cluster, tmp_path)
    assert sum(record.control for record in end.records.values()) == 1
    assert len(end.records) == 4
    assert (folder.path / "optuna.db").is_file()


def test_a_failed_trial_is_recorded_and_the_others_go_on(
    make_study: MakeStudy, cluster: Cluster, tmp_path: Path
) -> None:
    # So large a rate makes embeddings that are no numbers.
    study = make_study(parameters={"learning_rate": {"values": [1e-3, 1e18]}, "cluster_size": {"value": 4}})
    end, folder, _ = run(study, cluster, tmp_path)
    assert len(end.failed) == 2
    assert {record.config.learning_rate for record in end.failed} == {1e18}
    assert len(end.records) == 4
    for record in end.failed:
        assert record.error
        assert "FloatingPointError" in record.error
        assert "encoder.py" in (folder.logs / f"{record.trial}.log").read_text()  # the traceback
    assert json.loads((folder.path / "results.json").read_text())["best"]


def test_the_same_command_again_runs_nothing_anew(make_study: MakeStudy, cluster: Cluster, tmp_path: Path) -> None:
    end, folder, _ = run(make_study(), cluster, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in folder.trials.iterdir()}
    again, _, events = run(make_study(), cluster, tmp_path)
    assert events.started == []
    assert again.records == end.records
    assert {path.name: path.stat().st_mtime_ns for path in folder.trials.iterdir()} == before


def test_an_ended_trial_is_not_run_again(make_study: MakeStudy, cluster: Cluster, tmp_path: Path) -> None:
    first, folder, _ = run(make_study(), cluster, tmp_path)
    (folder.trials / "k2-s1.jsonl").unlink()
    end, _, events = run(make_study(), cluster, tmp_path)
    assert events.started == ["k2-s1"]
    assert figures(end.records["k2-s1"].history) == figures(first.records["k2-s1"].history)


def test_a_folder_of_another_study_is_refused(make_study: MakeStudy, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "tiny")
    folder.claim(make_study())
    folder.claim(make_study(description="other words", keep_models=7))
    with pytest.raises(InputError, match=r"holds another study: seeds is \[1\] there and \[1, 2\] here.*--fresh"):
        folder.claim(make_study(seeds=[1, 2]))
    assert load_study(folder.file).seeds == [1]
    aside = folder.move_aside()
    assert aside is not None
    assert (aside / "study.yaml").exists()
    folder.claim(make_study(seeds=[1, 2]))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(InputError, match="not empty and no study's results"):
        StudyFolder(tmp_path / "full").claim(make_study())


def test_a_bad_image_ends_the_study_with_its_name(
    make_study: MakeStudy, cluster: Cluster, pairs: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in (pairs / "images").iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    (images / "007.png").write_bytes(b"no picture at all")
    with pytest.raises(InputError, match=r"007\.png"):
        run(make_study(train={"train_image_dir": str(images)}), cluster, tmp_path)
    assert not list((tmp_path / "tiny" / "trials").glob("*.jsonl")) or all(
        "outcome" not in path.read_text() for path in (tmp_path / "tiny" / "trials").glob("*.jsonl")
    )
