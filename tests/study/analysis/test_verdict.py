"""Who is confirmed, what is decided, and how often that is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simclip.evaluation.items import Items, Share, items_bytes
from simclip.evaluation.kinds.classification import ClassificationSet
from simclip.evaluation.kinds.pairs import PairsSet
from simclip.evaluation.kinds.retrieval import RetrievalSet
from simclip.study.analysis.comparison.dunnett import power
from simclip.study.analysis.confirm import (
    confirm_trials,
    detectable_difference,
)
from simclip.study.analysis.results import StudyResults
from simclip.study.search.plan import planned_arms
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import Confirm, StudyConfig
from simclip.study.store import layout
from simclip.study.store.item_files import ItemFiles
from simclip.study.store.records import Outcome, Record
from tests.calibration.whole_study import whole_studies

Scores = Mapping[str, Mapping[int, float]]


@pytest.fixture
def make() -> Callable[..., StudyConfig]:
    def made(sizes=(4, 8, 16), confirm=(2, 3), seeds=(1, 2), **fields) -> StudyConfig:
        return StudyConfig(
            name="toy",
            train={"batch_size": 64, "proportion": 0.5, "epochs": 1},
            parameters={"cluster_size": {"values": list(sizes)}},
            seeds=list(seeds),
            confirm=Confirm(arms=confirm[0], seeds=confirm[1]),
            **fields,
        )

    return made


def recorded(study: StudyConfig, scores: Scores, outcomes: Mapping[str, Outcome] | None = None) -> dict[str, Record]:
    """A record for each score, by arm and seed."""
    configs = {arm.name: arm for arm in planned_arms(study)}
    records = {}
    for name, by_seed in scores.items():
        arm = configs[name]
        for seed, score in by_seed.items():
            row = {"metric": score, "val/mean_r1": score, "test/mean_r1": score / 2}
            rows = [{"epoch": 0, **dict.fromkeys(row, 0.1)}, {"epoch": 1, **row}]
            arm = replace(arm, config=arm.config.model_copy(update={"mode": study.mode}))
            trial = Trial(arm, seed, "search" if seed < 1000 else "confirm")
            outcome = (outcomes or {}).get(trial.name, "finished")
            records[trial.name] = Record.of(trial, rows, outcome=outcome, seconds=1.0)
    return records


SEARCH: Scores = {"control": {1: 0.40, 2: 0.42}, "k4": {1: 0.45, 2: 0.47}, "k8": {1: 0.39, 2: 0.41},
                  "k16": {1: 0.60, 2: 0.10}}  # fmt: skip


def test_the_best_arms_and_the_control_are_confirmed_on_fresh_seeds(make) -> None:
    study = make()
    trials = confirm_trials(StudyResults(study, recorded(study, SEARCH)))
    assert [trial.name for trial in trials[:3]] == ["control-s1000", "k4-s1000", "k8-s1000"]
    assert [trial.seed for trial in trials] == [1000] * 3 + [1001] * 3 + [1002] * 3
    assert trials[1].config == planned_arms(study)[1].config.model_copy(update={"seed": 1000})


def test_arms_that_failed_or_were_stopped_are_not_confirmed(make) -> None:
    study = make()
    records = recorded(study, SEARCH, {"k4-s2": "failed", "k8-s1": "stopped"})
    assert [arm.name for arm in StudyResults(study, records).contenders] == ["control", "k16"]


def test_without_a_control_or_another_arm_there_is_nothing_to_confirm(make) -> None:
    study = make()
    assert StudyResults(study, recorded(study, {"control": SEARCH["control"]})).contenders == []
    assert StudyResults(study, recorded(study, {"k4": SEARCH["k4"]})).contenders == []
    assert StudyResults(study, {}).contenders == []


def test_the_best_of_several_controls_is_the_reference(make) -> None:
    study = StudyConfig(
        name="toy",
        train={"batch_size": 64, "proportion": 0.5, "epochs": 1, "cluster_size": 4},
        parameters={"learning_rate": {"values": [1e-5, 1e-4]}},
        confirm=Confirm(arms=1, seeds=3),
    )
    scores = {"control-lr1e-05": {1: 0.3}, "control-lr0.0001": {1: 0.4}, "lr1e-05": {1: 0.5}, "lr0.0001": {1: 0.2}}
    assert [arm.name for arm in StudyResults(study, recorded(study, scores)).contenders] == [
        "control-lr0.0001",
        "lr1e-05",
    ]


def test_test_sets_are_read_by_the_confirm_stage_alone(make, tmp_path) -> None:
    test = RetrievalSet(name="test", tsv=tmp_path / "test.tsv", image_dir=tmp_path)
    study = make(test=[test])
    assert all("test" not in [each.name for each in arm.config.evaluation_sets] for arm in planned_arms(study))
    trials = confirm_trials(StudyResults(study, recorded(study, SEARCH)))
    assert all(trial.config.evaluation_sets == [test] for trial in trials)
    assert study.confirmed_metric == "test/mean_r1"


def test_categories_are_confirmed_on_the_pairs_of_the_test_sets(tmp_path) -> None:
    pairs = [PairsSet(kind="pairs", name=name, files=[tmp_path], image_dir=tmp_path) for name in ("val", "test")]
    flags = ClassificationSet(kind="classification", name="flags", image_dir=tmp_path)

    def make(**fields) -> StudyConfig:
        parameters = {"cluster_size": {"values": [4, 8]}}
        return StudyConfig(name="toy", train={"evaluate": pairs[:1]}, parameters=parameters, **fields)

    for metric, confirmed in (
        ("val/swap_att", "test/swap_att"),
        ("val/accuracy", "test/accuracy"),
        ({"val/accuracy": 1.0, "val/swap_att": 3.0}, {"test/accuracy": 1.0, "test/swap_att": 3.0}),
    ):
        assert make(metric=metric, test=[flags, pairs[1]]).confirmed_metric == confirmed
    with pytest.raises(ValueError, match="test_metric: missing; no test set has a swap_att"):
        make(metric="val/swap_att", test=[flags])
    with pytest.raises(ValueError, match="metric: no evaluation set reports 'va/accuracy'; did you mean val/acc"):
        make(metric="va/accuracy", test=[flags])
    with pytest.raises(ValueError, match="test_metric: no test set reports 'flags/swap_att'"):
        make(metric="val/swap_att", test=[flags, pairs[1]], test_metric="flags/swap_att")


def confirmed(study: StudyConfig, **arms: list[float]) -> dict[str, Record]:
    scores = {name: dict(zip(study.confirm_seeds, values, strict=False)) for name, values in arms.items()}
    return {**recorded(study, SEARCH), **recorded(study, scores)}


def test_a_clear_gain_is_better_and_best(make) -> None:
    study = make()
    records = confirmed(study, control=[0.40, 0.42, 0.44], k4=[0.50, 0.521, 0.542], k8=[0.40, 0.43, 0.42])
    results = StudyResults(study, records)
    verdict, choice = results.verdict, results.best
    assert verdict is not None
    assert [(arm.name, arm.word) for arm in verdict.arms] == [
        ("k4", "better"), ("control", None), ("k8", "undecided"),
    ]  # fmt: skip
    assert (verdict.best, verdict.control, verdict.complete) == ("k4", "control", True)
    assert choice is not None
    assert (choice.record.trial, choice.stage) == ("k4-s1000", "confirm")
    assert verdict.arms[2].pairs_needed is not None


def test_lower_can_be_better(make) -> None:
    study = make(mode="min", confirm=(3, 3))
    scores = {"control": [0.50, 0.52, 0.54], "k4": [0.40, 0.421, 0.442], "k8": [0.60, 0.621, 0.642]}
    verdict = StudyResults(study, confirmed(study, **scores, k16=[0.49, 0.52, 0.54])).verdict
    assert verdict is not None
    words = [("k4", "better"), ("k16", "undecided"), ("control", None), ("k8", "worse")]
    assert [(arm.name, arm.word) for arm in verdict.arms] == words


def test_the_control_can_be_best(make) -> None:
    study = make()
    records = confirmed(study, control=[0.50, 0.52, 0.54], k4=[0.40, 0.421, 0.442], k8=[0.30, 0.31, 0.35])
    results = StudyResults(study, records)
    verdict, choice = results.verdict, results.best
    assert verdict is not None and choice is not None
    assert verdict.best == "control"
    assert choice.record.trial == "control-s1000"
    assert {arm.word for arm in verdict.arms} == {None, "worse"}


def test_the_verdict_is_about_the_test_set_where_there_is_one(make, tmp_path) -> None:
    study = make(test=[RetrievalSet(name="test", tsv=tmp_path / "test.tsv", image_dir=tmp_path)])
    verdict = StudyResults(
        study, confirmed(study, control=[0.4, 0.42, 0.44], k4=[0.5, 0.52, 0.55], k8=[0.4, 0.4, 0.4])
    ).verdict
    assert verdict is not None and verdict.on_test
    assert verdict.arms[0].spread.mean == pytest.approx((0.5 + 0.52 + 0.55) / 6)


def test_two_pairs_allow_no_verdict(make) -> None:
    study = make(confirm=(2, 2))
    verdict = StudyResults(study, confirmed(study, control=[0.4, 0.41], k4=[0.5, 0.55], k8=[0.3, 0.35])).verdict
    assert verdict is not None
    assert {arm.word for arm in verdict.arms} == {None}
    assert verdict.best == "k4"


def test_a_failed_trial_costs_its_own_score_alone(make) -> None:
    study = make(confirm=(2, 4))
    scores = {"control": [0.40, 0.42, 0.44, 0.43], "k4": [0.50, 0.521, 0.542, 0.5], "k8": [0.41, 0.42, 0.43, 0.43]}
    records = confirmed(study, **scores)
    records["k4-s1001"] = replace(records["k4-s1001"], outcome="failed")
    results = StudyResults(study, records)
    verdict = results.verdict
    assert verdict is not None and verdict.complete
    arm = verdict.arms[0]
    assert (arm.name, len(arm.scores), arm.complete, arm.word) == ("k4", 3, False, "better")
    assert arm.difference is not None and arm.difference.df == 11 - 3 - 4 + 1
    assert (verdict.best, results.best.record.trial) == ("k4", "k4-s1000")


def test_an_arm_whose_first_seed_failed_is_not_the_best(make) -> None:
    """Its model was not kept."""
    study = make(confirm=(1, 4))
    records = confirmed(study, control=[0.40, 0.42, 0.44, 0.43], k4=[0.50, 0.521, 0.542, 0.5])
    records["k4-s1000"] = replace(records["k4-s1000"], outcome="failed")
    assert StudyResults(study, records).verdict.best == "control"


def test_the_detectable_difference_comes_from_the_searchs_own_pairs(make) -> None:
    study = make(confirm=(2, 5))
    scores = {"control": {1: 0.40, 2: 0.42}, "k4": {1: 0.45, 2: 0.49}, "k8": {1: 0.40, 2: 0.40}}
    relative, absolute = detectable_difference(StudyResults(study, recorded(study, scores)))
    deviation = math.sqrt((np.std([0.05, 0.07], ddof=1) ** 2 + np.std([0.0, -0.02], ddof=1) ** 2) / 2)
    assert relative is not None
    assert absolute == pytest.approx(relative * deviation)
    assert 0.8 < power(relative, 5, 2, 0.05) < 0.9  # of equal noise; allowing for unequal noise costs some
    one = make(seeds=(1,))
    assert detectable_difference(StudyResults(one, recorded(one, {"control": {1: 0.4}, "k4": {1: 0.5}})))[1] is None


def test_looks_drop_decided_arms_and_are_kept(make) -> None:
    study = make(confirm=(2, [3, 5]))
    control, k8 = [0.40, 0.42, 0.44, 0.41, 0.43], [0.40, 0.43, 0.43, 0.42, 0.43]
    records = confirmed(study, control=control[:3], k4=[0.20, 0.221, 0.242], k8=k8[:3])
    results = StudyResults(study, records)
    assert results.looks is not None and results.looks.next == 5 and not results.verdict.complete
    assert {trial.name for trial in confirm_trials(results)} - {*records} == {
        f"{arm}-s{seed}" for arm in ("control", "k8") for seed in (1003, 1004)
    }
    records |= confirmed(study, control=control, k8=k8)
    verdict = StudyResults(study, records).verdict
    assert verdict is not None and verdict.complete
    assert [(arm.name, arm.word, arm.look, arm.complete) for arm in verdict.arms] == [
        ("k8", "undecided", 5, True), ("control", None, None, True), ("k4", "worse", 3, True),
    ]  # fmt: skip


def test_a_margin_makes_no_difference_a_verdict(make) -> None:
    study = make(confirm=(2, 5))
    study = study.model_copy(update={"confirm": Confirm(arms=2, seeds=5, margin="1%")})
    control = [0.40, 0.42, 0.44, 0.41, 0.43]
    near = [score + each for score, each in zip(control, [0.001, -0.001, 0.002, 0.0, -0.001], strict=True)]
    verdict = StudyResults(study, confirmed(study, control=control, k4=near, k8=[s - 0.1 for s in near])).verdict
    assert {arm.name: arm.word for arm in verdict.arms} == {"k4": "no different", "control": None, "k8": "worse"}


def test_stages_do_not_mix(make) -> None:
    study = make()
    results = StudyResults(study, confirmed(study, control=[0.4, 0.4, 0.4], k4=[0.1, 0.1, 0.1]))
    assert {record.seed for record in results.search.values()} == {1, 2}
    assert {record.seed for record in results.confirm.values()} == {1000, 1001, 1002}
    assert [arm.name for arm in results.contenders][:2] == ["control", "k4"]


def few(share: float, level: float, studies: int) -> bool:
    """Whether a share is at most a level, but for sampling error."""
    return share <= level + 3 * math.sqrt(level * (1 - level) / studies)


@pytest.mark.parametrize("seeds", [3, [3, 4]])
def test_without_an_effect_few_studies_say_better_or_worse(seeds) -> None:
    studies = 150
    words = whole_studies(Confirm(arms=3, seeds=seeds), studies, gain=0.0, key=7)
    assert few(sum(bool({"better", "worse"} & {*said}) for said in words) / studies, 0.05, studies)


def test_a_planted_effect_is_seen_as_often_as_theory_says() -> None:
    studies = 120
    words = whole_studies(Confirm(arms=1, seeds=5), studies, gain=2.0, key=8)
    seen, theory = sum("better" in said for said in words) / studies, power(2.0, 5, 1, 0.05)
    assert seen == pytest.approx(theory, abs=3.5 * math.sqrt(theory * (1 - theory) / studies) + 0.005)


def test_the_verdict_covers_other_test_items_where_they_were_kept(make, tmp_path: Path) -> None:
    study, rng = make(sizes=(4, 8), confirm=(1, 3)), np.random.default_rng(0)
    ease = {arm: rng.random(50) for arm in ("control", "k4")}
    records = recorded(study, {name: SEARCH[name] for name in ("control", "k4", "k8")})
    scores: dict[str, dict[int, float]] = {}
    for arm, own in ease.items():
        for seed in (1000, 1001, 1002):
            items = Items(rng.random(50) < own, np.arange(50))
            scores.setdefault(arm, {})[seed] = float(Share(items))
            (tmp_path / f"{arm}-s{seed}{layout.ITEMS}").write_bytes(items_bytes(1, {"val/mean_r1": [items]}))
    records |= recorded(study, scores)

    found = StudyResults(study, records, ItemFiles(tmp_path)).verdict
    (arm,) = (each for each in found.arms if not each.control)
    assert found.covers_items
    assert arm.difference.value == arm.on_these_items.value
    assert arm.difference.high - arm.difference.low > 1.2 * (arm.on_these_items.high - arm.on_these_items.low)

    (tmp_path / f"k4-s1001{layout.ITEMS}").write_bytes(b"spoilt")
    for items in (ItemFiles(tmp_path), None):
        found = StudyResults(study, records, items).verdict
        (arm,) = (each for each in found.arms if not each.control)
        assert not found.covers_items and arm.difference == arm.on_these_items
