"""The paper's study as files: each asks what it says, and runs, at its smallest, on the embedded data."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from simclip.demo import ensure_dataset
from simclip.study.execution.resources import resolved
from simclip.study.search.plan import planned_arms, planned_trials
from simclip.study.spec.arms import Trial
from simclip.study.spec.overrides import read_mapping
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.study.store.study_file import load_study
from tests.study.in_process import ONE_CPU, run_here

STUDIES = Path(__file__).parents[2] / "studies"
DEMO = read_mapping(STUDIES / "demo.yaml")
#: p and whether it warms up.
BOTH = ((0.5, False), (1, True))
#: The fields that a study is about, and their values in its arms beside the control.
ASKED = {
    "cluster_size": (
        ("cluster_size", "proportion", "proportion_warmup"),
        [(2**i, *schedule) for i in range(1, 9) for schedule in BOTH],
    ),
    "proportion": (
        ("cluster_size", "proportion", "proportion_warmup"),
        [(16, p, warm) for p in (0.25, 0.5, 0.75, 1) for warm in (False, True)],
    ),
    "neighborhood": (
        ("cluster_size", "neighborhood", "proportion", "proportion_warmup"),
        [(16, s, *schedule) for s in (1, 2, 4, 8) for schedule in BOTH],
    ),
    "embeddings": (
        ("cluster_size", "similarity", "embeddings", "proportion", "proportion_warmup"),
        [(16, of, when, *both) for of, when, both in product(("text", "image"), ("online", "offline"), BOTH)],
    ),
    "rare_set": (
        ("cluster_size", "proportion", "proportion_warmup", "epochs", "metric"),
        [(16, 1, warm, 10, "rare/top1") for warm in (False, True)],
    ),
    "strong_alternatives": (
        ("cluster_size", "proportion", "neighborhood", "proportion_warmup"),
        [(2, 1, 3, False), (2, 1, 1, False), (16, 1, 1, True)],
    ),
    "methods": (
        ("batching", "cluster_size", "neighborhood", "proportion", "skip_nearest", "hardness"),
        [
            ("clusters", 16, 1, 1, 0, 0),
            ("clusters", 2, 3, 1, 0, 0),
            ("partition", 16, 1, 1, 0, 0),
            ("partition", 16, 1, 1, 30, 0),
            ("graph", 16, 3, 1, 30, 0),
            ("clusters", 16, 1, 0, 0, 0.25),
            ("clusters", 16, 1, 1, 0, 0.25),
        ],
    ),
    "large": (("cluster_size", "proportion", "proportion_warmup", "epochs"), [(16, 1, True, 5)]),
}

#: Number of arms that run at their smallest: three, but every method.
RUN = dict.fromkeys(ASKED, 3) | {"methods": 8}


@pytest.fixture(params=ASKED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def study_of(name: str, *overrides: str, demo: bool = False) -> StudyConfig:
    return load_study(STUDIES / f"{name}.yaml", overrides, DEMO if demo else None)


def trials(study: StudyConfig) -> int:
    """Trials of the search and of the confirm stage."""
    assert study.confirm is not None
    arms = len(planned_arms(study)) - 1
    return len(planned_trials(study)) + (min(arms, study.confirm.arms) + 1) * study.confirm.most_seeds


def test_its_arms_are_what_it_asks_about_under_the_papers_protocol(name: str) -> None:
    study = study_of(name)
    fields, expected = ASKED[name]
    control, *arms = planned_arms(study)
    assert control.is_control
    assert [tuple(getattr(arm.config, field) for field in fields) for arm in arms] == expected
    assert (study.train.batch_size, study.train.model) == (1024, "openai/clip-vit-base-patch32")
    assert study.train.iterations_per_epoch == (None if name == "large" else 116)
    assert study.name == name


def test_its_head_has_the_question_the_commands_and_what_it_takes(name: str) -> None:
    text = (STUDIES / f"{name}.yaml").read_text(encoding="utf-8")
    comments = [line[1:].strip() for line in text.partition("\nname:")[0].splitlines()]
    question = " ".join(comments[: comments.index("")])
    assert "?" in question
    assert f"python tune.py run studies/{name}.yaml \\" in comments
    assert f"python tune.py run studies/{name}.yaml --demo" in comments
    assert any(line.startswith("The paper") for line in comments)
    cost = " ".join(comments[next(i for i, line in enumerate(comments) if line.startswith("Costs")) :])
    counts = [trials(study_of(name)), trials(study_of(name, demo=True))]
    assert re.findall(r"are (\d+) trials .*embedded data: (\d+) trials", cost) == [tuple(map(str, counts))]


def test_the_test_sets_in_its_comments_are_ready_to_use(name: str, tmp_path: Path) -> None:
    text = (STUDIES / f"{name}.yaml").read_text(encoding="utf-8")
    file = tmp_path / f"{name}.yaml"
    file.write_text(re.sub(r"^# (test:|  - )", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
    study = load_study(file)
    assert [each.name for each in study.test] == (
        ["digits"] if name == "rare_set" else ["flickr30k", "cifar100", "imagenet"]
    )
    assert study.confirmed_metric == ("digits/top1" if name == "rare_set" else "flickr30k/mean_r1")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """A few arms of each file, shrunk and cut short, in one study."""
    ensure_dataset()
    short = ("train.epochs=2", "train.iterations_per_epoch=2", "seeds=[1]", "max_concurrent=1")
    studies = {name: resolved(study_of(name, *short, demo=True), ONE_CPU) for name in ASKED}
    trials = [named(name, trial) for name, study in studies.items() for trial in planned_trials(study)[: RUN[name]]]
    end, _ = run_here(studies["cluster_size"], tmp_path_factory.mktemp("studies"), trials=trials)
    return end.records


def named(file: str, trial: Trial) -> Trial:
    """The trial under a name that no other file's has."""
    return replace(trial, arm=replace(trial.arm, name=f"{file}.{trial.arm.name}"))


def test_it_runs_at_its_smallest_on_the_embedded_data(name: str, ended: dict[str, Record]) -> None:
    study = study_of(name, demo=True)
    records = {record.arm.partition(".")[2]: record for record in ended.values() if record.arm.startswith(f"{name}.")}
    assert list(records) == [arm.name for arm in planned_arms(study)[: RUN[name]]]
    for record in records.values():
        assert record.outcome == "finished", record.error
        assert [row["epoch"] for row in record.history] == [0, 1, 2]
        metric = "rare/top1" if name == "rare_set" else "val/mean_r1"
        assert record.score == max(row[metric] for row in record.history[1:])
        assert all(math.isfinite(row[each]) for row in record.history for each in ("val/mean_r1", "rare/top1"))
