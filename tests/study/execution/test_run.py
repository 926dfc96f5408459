"""What a study leaves, and that its trials do not influence each other."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from transformers import CLIPModel

from simclip.errors import InputError
from simclip.evaluation.items import Share, read_items
from simclip.study.analysis.best import read_best
from simclip.study.execution.forecast import forecast
from simclip.study.execution.preflight import prepare_study
from simclip.study.execution.resources import Cluster, resolved
from simclip.study.execution.run import StudyEnd
from simclip.study.search.plan import planned_arms
from simclip.study.spec.arms import Trial
from simclip.study.spec.single_run import single_run
from simclip.study.spec.study import Resources, StudyConfig
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.study_file import load_study
from simclip.train.config import TrainConfig
from simclip.train.history import Row
from simclip.train.loop import Training
from tests.study import watched
from tests.study.in_process import run_here
from tests.study.watched import Events, alone
from tests.train.histories import without_clocks

MakeStudy = Callable[..., StudyConfig]


def run(study: StudyConfig, folder: Path) -> tuple[StudyEnd, StudyFolder, Events]:
    events = Events()
    return *run_here(study, folder, [events]), events


def test_the_best_arms_are_confirmed(make_study: MakeStudy, pairs: Path, tmp_path: Path) -> None:
    test = {"kind": "retrieval", "name": "test", "tsv": str(pairs / "train.tsv"), "image_dir": str(pairs / "images")}
    study = make_study(confirm={"arms": 1, "seeds": 3}, test=[test])
    end, folder, events = run(study, tmp_path)
    [(asked, before)] = events.confirmed
    (arm,) = {name.rpartition("-s")[0] for name in asked} - {"control"}
    assert asked == [f"{each}-s{seed}" for seed in (1000, 1001, 1002) for each in ("control", arm)]
    assert sorted(before) == ["control-s1", "k2-s1", "k4-s1"]
    assert sorted(end.records) == sorted([*before, *asked])

    by_stage = {stage: [r for r in end.records.values() if r.stage == stage] for stage in ("search", "confirm")}
    assert all("test/mean_r1" not in row for record in by_stage["search"] for row in record.history)
    assert all("test/mean_r1" in row for record in by_stage["confirm"] for row in record.history)

    results = json.loads((folder.path / "results.json").read_text())
    assert len(results["search"]["arms"]) == 3
    confirmed = {each["name"]: each for each in results["confirm"]["arms"]}
    assert results["confirm"]["metric"] == "test/mean_r1"
    assert confirmed[arm]["paired"]["spread"]["n"] == 3
    assert {"val/mean_r1", "test/mean_r1"} <= set(results["base_model"])
    best = read_best(folder.path)
    assert best.trial == f"{max(confirmed, key=lambda each: confirmed[each]['spread']['mean'])}-s1000"
    assert best.confirmed is not None and best.confirmed.n == 3
    models = folder.path / layout.MODELS
    (third,) = {"k2", "k4"} - {arm}  # leads the search too, and was not confirmed
    assert sorted(p.name for p in models.iterdir()) == sorted(["control-s1000", f"{arm}-s1000", f"{third}-s1"])
    same = models / best.trial / "best" / "model.safetensors"
    assert (folder.path / layout.BEST_MODEL / "model.safetensors").read_bytes() == same.read_bytes()

    kept = {path.name.removesuffix(layout.ITEMS) for path in folder.trials.glob(f"*{layout.ITEMS}")}
    assert kept == {*asked}
    for name in asked:
        row = end.records[name].best
        assert row is not None
        items = read_items(folder.trials / f"{name}{layout.ITEMS}", row["epoch"])
        shares = {metric for metric in row if metric.startswith(("val/", "test/")) and not metric.endswith("/loss")}
        assert items is not None and {*items} == shares
        assert all(float(Share(*parts)) == row[metric] for metric, parts in items.items())

    assert run(study, tmp_path)[2].started == []


def test_pairs_share_all_but_their_clusters(make_study: MakeStudy, tmp_path: Path) -> None:
    # A loss of the first epoch at a learning rate of almost nothing is that of the shared start on the drawn batches:
    # where p rounds to no cluster at all, an arm is its control to the bit.
    control, arm = confirmed_pair(make_study(train={"proportion": 0.5}))
    without = arm.config.model_copy(update={"proportion": 0.1})  # of 8 rows: none
    assert alone(without, tmp_path / "arm") == figures_of(alone(control.config, tmp_path / "control"), 0.1)


def confirmed_pair(study: StudyConfig) -> list[Trial]:
    control, arm, *_ = planned_arms(study)
    return [Trial(control, 1000, "confirm"), Trial(arm, 1000, "confirm")]


def figures_of(history: list[Row], proportion: float) -> list[Row]:
    """The history with another p noted in it."""
    return [{k: proportion if k == "train/proportion" else v for k, v in row.items()} for row in history]


def test_a_study_leaves_its_results(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(seeds=[1, 2], keep_models=1)
    end, folder, events = run(study, tmp_path)
    names = [f"{arm}-s{seed}" for arm in ("control", "k2", "k4") for seed in (1, 2)]
    assert sorted(end.records) == names
    assert sorted(events.ended) == names
    assert not end.interrupted
    assert sorted(p.name for p in folder.path.iterdir()) == sorted(
        ["best", "best.yaml", "logs", "models", "results.json", "study.yaml", "trials", "trials.csv"]
    )

    lines = [json.loads(line) for line in (folder.trials / "k4-s2.jsonl").read_text().splitlines()]
    assert [line.get("epoch") for line in lines] == [None, 0, 1, 2, None]
    assert lines[-1]["outcome"] == "finished"
    assert lines[0]["config"]["cluster_size"] == 4
    assert lines[-1]["score"] == max(line["metric"] for line in lines[2:4])
    assert {"seconds", "share/data", "share/evaluate", "val/t2i_r5"} <= set(lines[2])

    table = pd.read_csv(folder.path / "trials.csv")
    assert sorted(table["trial"]) == names
    results = json.loads((folder.path / "results.json").read_text())
    means = table.groupby("arm")["score"].mean()
    assert {arm["name"]: arm["mean"] for arm in results["search"]["arms"]} == pytest.approx(dict(means))
    assert results["best"]["arm"] in means.index[means == means.max()]
    assert results["base_model"]["val/mean_r1"] == lines[1]["val/mean_r1"]
    assert results["spent"]["finished"]["trials"] == 6
    assert {"versions", "git_commit", "hardware"} <= set(results)

    best = yaml.safe_load((folder.path / "best.yaml").read_text())
    assert best["trial"] == f"{results['best']['arm']}-s1"
    assert best["train"]["threads"] == 1
    assert best["resources"]["workers"] == 1
    # Its model scores what the file says to expect.
    CLIPModel.from_pretrained(folder.path / layout.BEST_MODEL)
    model = str(folder.path / layout.BEST_MODEL)
    again = Training(TrainConfig(**{**best["train"], "model": model}), tmp_path / "again").evaluate()
    assert again["val/mean_r1"] == best["expect"]["val/mean_r1"]
    # Models stay for the leading arm alone, on its first seed, and no training state does.
    assert [p.name for p in (folder.path / layout.MODELS).iterdir()] == [best["trial"]]
    assert not list(folder.path.rglob("training_state.pt"))


def test_a_trial_gives_the_same_numbers_first_fifth_or_alone(
    make_study: MakeStudy, cluster: Cluster, tmp_path: Path
) -> None:
    """With Ray, whose processes run one trial after another.

    Each checkpoint is written once, nothing copies it, and a trial has one. Tune does not write the state of all trials
    again and again, which would make a study's cost quadratic in its trials.
    """
    states, places = set[int](), list[list[str]]()

    def look(trial: Trial, row: Row) -> None:
        states.update(path.stat().st_mtime_ns for path in (tmp_path / "tiny" / layout.TUNE).glob("experiment_state*"))
        scratch = Path(tempfile.gettempdir()).glob("simclip-trial-*/*/*/history.json")
        found = [path for path in (*tmp_path.rglob("history.json"), *scratch) if path.is_file()]
        places.append([path.parents[2].name for path in found if json.loads(path.read_text())[-1] == row])

    study, events = make_study(seeds=[1, 2], max_concurrent=1, train={"pretrain": True}), Events(look)
    end = watched.run(study, cluster, tmp_path, events)
    assert len(states) <= 1 and len(places) == 6 * 3
    assert places == [[layout.TUNE] if epoch else [] for _, epoch in events.epochs]
    assert events.started == list(end.records) == [f"{a}-s{s}" for a in ("control", "k2", "k4") for s in (1, 2)]
    for name in ("control-s1", "k4-s1"):
        record = end.records[name]
        assert without_clocks(record.history) == alone(record.config, tmp_path / name)


def test_asha_spares_the_control(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(
        scheduler="asha",
        asha={"grace_period": 1, "reduction_factor": 2},
        parameters={"learning_rate": {"values": [1e-3, 1e-9, 1e-10]}, "cluster_size": {"value": 4}},
        train={"epochs": 4},
        metric="val/loss",  # of some pairs a recall has too many ties to rank by
        mode="min",
        max_concurrent=1,
    )
    end, folder, _ = run(study, tmp_path)
    outcomes = {record.trial: record.outcome for record in end.records.values()}
    assert len(outcomes) == 6
    assert all(outcome == "finished" for trial, outcome in outcomes.items() if trial.startswith("control"))
    stopped = [record for record in end.records.values() if record.outcome == "stopped"]
    assert stopped
    assert all(0 < record.history[-1]["epoch"] < 4 for record in stopped)
    spent = json.loads((folder.path / "results.json").read_text())["spent"]
    assert spent["stopped"]["trials"] == len(stopped)


def test_optuna_runs_so_many_settings_the_control_among_them(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(
        searcher="optuna",
        trials=3,
        parameters={"cluster_size": {"values": [2, 4]}, "proportion": {"min": 0.5, "max": 1.0}},
        train={"epochs": 1, "proportion": 0.5},
    )
    end, folder, _ = run(study, tmp_path)
    assert sum(record.control for record in end.records.values()) == 1
    assert len(end.records) == 3
    assert (folder.path / "optuna.db").is_file()


def test_a_failed_trial_is_recorded_and_the_others_go_on(make_study: MakeStudy, tmp_path: Path) -> None:
    # So large a rate makes embeddings that are no numbers.
    study = make_study(parameters={"learning_rate": {"values": [1e-3, 1e18]}, "cluster_size": {"value": 4}})
    end, folder, _ = run(study, tmp_path)
    assert len(end.failed) == 2
    assert {record.config.learning_rate for record in end.failed} == {1e18}
    assert len(end.records) == 4
    for record in end.failed:
        assert record.error
        assert "FloatingPointError" in record.error
        assert "loop.py" in (folder.logs / f"{record.trial}.log").read_text()  # the traceback
    assert json.loads((folder.path / "results.json").read_text())["best"]


def test_an_arm_that_cannot_be_planned_fails_and_the_others_go_on(make_study: MakeStudy, tmp_path: Path) -> None:
    limits = {"max_similarity": {"values": [1.0, -0.99]}, "cluster_size": {"value": 4}}
    study = make_study(parameters=limits, seeds=[1, 2])
    end, folder, _ = run(study, tmp_path)
    assert len(end.records) == 6 and [record.config.max_similarity for record in end.failed] == [-0.99, -0.99]
    for record in end.failed:
        assert record.error and record.error.startswith("max_similarity -0.99 leaves row ")
        assert (folder.logs / f"{record.trial}.log").read_text().endswith(f"{record.error}\n")
    assert json.loads((folder.path / "results.json").read_text())["best"]
    assert run(study, tmp_path)[2].started == []
    again = Events()
    run_here(study, tmp_path, [again], retry_failed=True)
    assert sorted(again.started) == sorted(record.trial for record in end.failed)


def test_the_same_command_again_runs_nothing_anew(make_study: MakeStudy, ended: StudyEnd, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "tiny")
    before = {path.name: path.stat().st_mtime_ns for path in folder.trials.iterdir()}
    again, _, events = run(make_study(), tmp_path)
    assert events.started == []
    assert again.records == ended.records
    assert {path.name: path.stat().st_mtime_ns for path in folder.trials.iterdir()} == before


def test_an_ended_trial_is_not_run_again(make_study: MakeStudy, ended: StudyEnd, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "tiny")
    (folder.trials / "k2-s1.jsonl").unlink()
    end, _, events = run(make_study(), tmp_path)
    assert events.started == ["k2-s1"]
    assert without_clocks(end.records["k2-s1"].history) == without_clocks(ended.records["k2-s1"].history)


def test_a_folder_of_another_study_is_refused(make_study: MakeStudy, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "tiny")
    folder.claim(make_study())
    folder.claim(make_study(description="other words", keep_models=7))
    folder.file.write_text(folder.file.read_text().replace("  freeze: none\n", ""))  # from before the field was there
    folder.claim(make_study())
    assert "freeze: none" in folder.file.read_text()
    with pytest.raises(InputError, match=r"train\.freeze is 'none' there and 'image' here"):
        folder.claim(make_study(train={"freeze": "image"}))
    with pytest.raises(InputError, match=r"holds another study: train\.batch_size is 8 there and 10 here.*--fresh"):
        folder.claim(make_study(train={"batch_size": 10}))
    assert load_study(folder.file).train.batch_size == 8
    aside = folder.move_aside()
    assert aside is not None
    assert (Path(aside) / "study.yaml").exists()
    folder.claim(make_study(seeds=[1, 2]))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(InputError, match="not empty and no study's results"):
        StudyFolder(tmp_path / "full").claim(make_study())


def test_a_run_on_seeds_from_1000_belongs_to_the_search(config: TrainConfig, tmp_path: Path) -> None:
    single = single_run("run", config.model_copy(update={"epochs": 1}), Resources(), seeds=[1000, 2000])
    end, folder = run_here(single, tmp_path)
    assert {record.stage for record in end.results.read(folder).records.values()} == {"search"}
    (arm,) = end.results.ranking
    assert [*arm.scores] == [1000, 2000] and end.results.verdict is None
    assert [path.name for path in (folder.path / layout.MODELS).iterdir()] == [f"{arm.name}-s1000"]
    assert (folder.path / layout.BEST_MODEL / "model.safetensors").is_file()
    assert read_best(folder.path).stage == "search"
    assert {"search"} == {*json.loads((folder.path / layout.RESULTS).read_text())["spent"]["stages"]}


def test_a_dry_run_refuses_wrong_input_in_the_words_of_a_run(
    make_study: MakeStudy, tiny_model: Path, cluster: Cluster, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "model.safetensors").write_bytes(b"no weights at all")
    study = make_study(train={"model": str(model)})
    with pytest.raises(InputError) as said:
        prepare_study(study)
    with pytest.raises(InputError) as said_by_task:
        forecast(resolved(study, cluster), cluster)
    assert str(said_by_task.value) == str(said.value)


def test_a_bad_image_ends_the_study_with_its_name(make_study: MakeStudy, pairs: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in (pairs / "images").iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    (images / "007.png").write_bytes(b"no picture at all")
    events = Events()
    with pytest.raises(InputError, match=r"007\.png"):
        run_here(make_study(train={"train_image_dir": str(images)}), tmp_path, [events])
    assert len(events.started) == 1 and events.ended == []
    assert not list((tmp_path / "tiny" / "trials").glob("*.jsonl")) or all(
        "outcome" not in path.read_text() for path in (tmp_path / "tiny" / "trials").glob("*.jsonl")
    )
