import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclip.errors import InputError
from simclip.study.search.plan import planned_arms, planned_trials, searcher_of
from simclip.study.search.space import corner_arms
from simclip.study.spec.arm_names import arm_name
from simclip.study.spec.arms import Arms, Trial, tune_config
from simclip.study.store.compatibility import under_recorded_names
from simclip.study.store.records import Record
from simclip.train.config import CLUSTER_FIELDS, TrainConfig, control_of
from tests.study.examples import study, trial_of


def names(study):
    return [arm.name for arm in planned_arms(study)]


def test_a_grid_has_the_control_first_and_every_combination_after_it():
    grid = study({"cluster_size": [4, 8], "proportion": ["1/2", 1]})
    assert names(grid) == ["control", "k4-p0.5", "k4-p1", "k8-p0.5", "k8-p1"]
    control, arm, *_ = planned_arms(grid)
    assert control.is_control and control.config == TrainConfig(batch_size=64, epochs=4)
    assert not arm.is_control
    assert arm.config == TrainConfig(batch_size=64, epochs=4, cluster_size=4, proportion=0.5)


def test_combinations_that_collapse_onto_the_control_are_the_control():
    assert names(study({"cluster_size": [1, 4, 8], "proportion": [0, 0.5], "neighborhood": [1, 3]})) == [
        "control",
        "k4-p0.5-nb1",
        "k4-p0.5-nb3",
        "k8-p0.5-nb1",
        "k8-p0.5-nb3",
    ]


def test_settings_that_train_alike_are_one_arm():
    assert names(study({"proportion": [0.5], "proportion_warmup": [False, True], "warmup_intervals": [2, 3]})) == [
        "control",
        "fixed-warmup_intervals=2",
        "warm-warmup_intervals=2",
        "warm-warmup_intervals=3",
    ]


def test_a_control_for_each_setting_of_the_ordinary_fields():
    arms = planned_arms(study({"learning_rate": ["1e-5", 3e-5], "cluster_size": [1, 4, 8]}, train={"proportion": 0.5}))
    assert [arm.name for arm in arms] == [
        "control-lr1e-05",
        "lr1e-05-k4",
        "lr1e-05-k8",
        "control-lr3e-05",
        "lr3e-05-k4",
        "lr3e-05-k8",
    ]
    assert [arm.config.learning_rate for arm in arms if arm.is_control] == [1e-5, 3e-5]
    frozen = planned_arms(study({"freeze": ["none", "image"], "cluster_size": [4]}, train={"proportion": 0.5}))
    controls = [arm.config for arm in frozen if arm.is_control]
    assert [each.freeze for each in controls] == ["none", "image"] and len(frozen) == 4


def test_linked_parameters_vary_together_and_constants_are_not_named():
    linked = [
        {"proportion": 1.0, "proportion_warmup": True, "learning_rate": 1e-4},
        {"proportion": "1/2", "proportion_warmup": False, "learning_rate": 1e-4},
    ]
    arms = planned_arms(study({"cluster_size": {"value": 4}, "p": linked}))
    assert [arm.name for arm in arms] == ["control", "p1-warm", "p0.5-fixed"]
    linked_fields = {"cluster_size": 4, "proportion": 1.0, "proportion_warmup": True, "learning_rate": 1e-4}
    assert linked_fields.items() <= arms[1].config.model_dump().items()
    assert all(arm.config.learning_rate == 1e-4 for arm in arms)


def test_searched_fields_override_the_shared_ones():
    arms = planned_arms(study({"cluster_size": [4]}, train={"cluster_size": 512, "proportion": 0.5}))
    assert [arm.config.cluster_size for arm in arms[1:]] == [4]


def test_a_study_of_nothing_has_the_control_and_its_one_arm():
    assert names(study({})) == ["control"]
    assert names(study({}, train={"cluster_size": 4, "proportion": 0.5})) == ["control", "k4-p0.5"]


def test_names_are_readable_and_safe():
    assert arm_name({"cluster_size": 16, "proportion": 0.5, "neighborhood": 3, "proportion_warmup": True}) == (
        "k16-p0.5-nb3-warm"
    )
    assert arm_name({"proportion_warmup": False, "similarity": "image", "embeddings": "offline"}) == (
        "fixed-image-offline"
    )
    assert arm_name({"learning_rate": 1e-5, "batch_size": 64, "pretrain": True}) == (
        "lr1e-05-batch_size=64-pretrain=True"
    )
    assert arm_name({"model": "openai/clip vit", "learning_rate": None}) == "model=clip_vit-lrdefault"
    assert arm_name({"crop_scale": [0.8, 1.0]}) == "crop_scale=0.8_1"


@given(st.dictionaries(st.sampled_from(sorted(TrainConfig.model_fields)), st.text() | st.floats() | st.none()))
def test_names_can_name_files(settings):
    assert re.fullmatch(r"[A-Za-z0-9_.+=-]{0,150}", arm_name(settings))


def test_different_arms_never_share_a_name():
    close = study({"learning_rate": [1e-5, 1.00000001e-5], "model": ["a/x", "b/x", "b/X"]})
    found = [name.casefold() for name in names(close)]
    assert len(set(found)) == len(found) == 6
    assert all(name.startswith("control-lr1e-05-model=x") for name in found)


def test_trials_go_arm_by_arm():
    trials = planned_trials(study({"cluster_size": [4], "proportion": [0.5]}, seeds=[3, 1]))
    assert [trial.name for trial in trials] == ["control-s3", "control-s1", "k4-p0.5-s3", "k4-p0.5-s1"]
    assert [trial.config.seed for trial in trials] == [3, 1, 3, 1]


def test_a_trial_goes_through_tune_unchanged():
    for trial in planned_trials(
        study({"crop_scale": [[0.5, 1]], "learning_rate": [None, 1e-5], "proportion": [0, 1]}, seeds=[0, 7])
    ):
        config = json.loads(json.dumps(tune_config(trial)))
        assert trial_of(config) == trial
        assert (config["trial"], config["control"]) == (trial.name, trial.arm.is_control)


def random_study(trials, seed=1, **parameters):
    space = {
        "cluster_size": {"min": 2, "max": 8},
        "proportion": {"min": 0.25, "max": 1.0},
        "learning_rate": {"min": 1e-6, "max": 1e-3, "distribution": "log_uniform_values"},
        **parameters,
    }
    return study(space, searcher="random", trials=trials, seeds=[seed])


def test_random_search_is_the_same_each_time_and_longer_ones_begin_alike():
    arms = planned_arms(random_study(6))
    assert arms == planned_arms(random_study(6))
    found = {arm.name: arm for arm in arms}
    assert sorted(found) == ["arm-01", "arm-02", "arm-03", "arm-04", "control-01", "control-02"]
    assert [arm.is_control for arm in arms] == [True, False, False, True, False, False]
    assert len({arm.config.learning_rate for arm in arms}) == 6
    assert found.items() < {arm.name: arm for arm in planned_arms(random_study(20))}.items()
    keys = {arm.config.run_key for arm in arms}
    assert keys.isdisjoint(arm.config.run_key for arm in planned_arms(random_study(6, seed=2)))
    assert {arm.config.cluster_size for arm in arms if not arm.is_control} <= set(range(2, 9))


def test_random_search_counts_different_arms_and_ends_where_there_are_no_more():
    small = {"cluster_size": [1, 2, 4], "proportion": [0.5, 1]}
    assert len(planned_arms(study(small, searcher="random", trials=3))) == 3
    assert sorted(names(study(small, searcher="random", trials=500))) == sorted(names(study(small)))


def test_a_quarter_of_a_random_search_is_plain_fine_tuning_spread_evenly():
    arms = planned_arms(random_study(20))
    assert [number for number, arm in enumerate(arms) if arm.is_control] == [0, 4, 8, 12, 16]
    rates = sorted(arm.config.learning_rate for arm in arms if arm.is_control)
    assert rates[0] < 1e-5 and rates[-1] > 1e-4
    assert sum(arm.is_control for arm in planned_arms(random_study(4))) == 2
    assert sum(arm.is_control for arm in planned_arms(random_study(2))) == 1


def test_without_ordinary_fields_one_setting_is_the_control():
    space = {"cluster_size": {"min": 2, "max": 8}, "proportion": {"min": 0.25, "max": 1.0}}
    assert [arm.name for arm in planned_arms(study(space, searcher="random", trials=3))] == [
        "control", "arm-01", "arm-02"
    ]  # fmt: skip
    whole = planned_arms(study({"cluster_size": [2, 3, 4]}, train={"proportion": 1}, searcher="random", trials=2))
    assert [arm.name[0] for arm in whole] == ["c", "k"]


def test_a_range_is_of_its_fields_numbers():
    space = study({"proportion": {"min": 0, "max": 1}, "cluster_size": {"min": 2.0, "max": 8.0}}, searcher="random")
    assert [each.kind for each in space.parameters.values()] == ["uniform", "int_uniform"]
    drawn = planned_arms(space.model_copy(update={"trials": 9}))
    assert all(0 < arm.config.proportion < 1 for arm in drawn if not arm.is_control)
    assert space.parameters["cluster_size"].choices == [*range(2, 9)]
    named = study({"proportion": {"min": 0, "max": 1, "distribution": "int_uniform"}}, searcher="random")
    assert named.parameters["proportion"].choices == [0, 1]


def test_draws_that_make_no_training_run_are_drawn_again_and_counted():
    space = {"cluster_size": {"min": 2, "max": 64}, "proportion": {"min": 0, "max": 1}}
    sampled = study(space, searcher="random", trials=30)
    assert len(planned_arms(sampled)) == 30
    assert searcher_of(sampled).redrawn(sampled) > 0
    assert searcher_of(sampled).start(sampled, planned_trials(sampled), {}, None).redrawn > 0


def test_arms_of_earlier_versions_count_and_only_the_rest_is_drawn():
    """A random search had a control for each setting, under a name that told its fields."""
    space = random_study(8)
    begun = {}
    for arm in [arm for arm in planned_arms(space) if not arm.is_control][:3]:
        old = Arms(space).add(arm.config.model_dump(include=set(space.parameters)))
        begun |= {each.name: Record.of(Trial(each, 1), [], outcome="finished") for each in old}
    trials = under_recorded_names(space, planned_trials(space, begun), begun)
    assert len(trials) == 9  # two were wanted of plain fine-tuning, and three have run
    assert sum(trial.arm.is_control for trial in trials) == 3
    assert sum(trial.arm.name in begun for trial in trials) == 6
    assert planned_trials(random_study(5), {}) == planned_trials(random_study(5))


def test_an_arm_that_cannot_be_trained_refuses_the_study():
    with pytest.raises(InputError, match=r"^arm k64-p0.5: cluster_size 64 is larger than the 32 clustered rows"):
        planned_arms(study({"cluster_size": [4, 64], "proportion": [0.5, 1]}))
    with pytest.raises(InputError, match=r"^arm .*train_image_dir is the folder of train_tsv's images"):
        planned_arms(study({"cluster_size": [4]}, train={"train_image_dir": "x"}))


def test_corners_are_every_arm_of_a_small_space_and_the_extremes_of_a_large_one():
    finite = study({"cluster_size": [2, 4, 8], "proportion": [0.5, 1]})
    optuna = finite.model_copy(update={"searcher": "optuna", "trials": 4})
    assert corner_arms(optuna) == planned_arms(finite) and planned_arms(optuna) == []
    found = {(arm.config.cluster_size, arm.config.proportion) for arm in corner_arms(random_study(1))}
    assert {(2, 0.25), (2, 1.0), (8, 0.25), (8, 1.0)} < found


choices = {
    "cluster_size": [1, 2, 4],
    "proportion": [0, 0.25, 1],
    "neighborhood": [1, 2],
    "proportion_warmup": [False, True],
    "similarity": ["text", "image"],
    "learning_rate": [1e-5, 1e-4],
    "weight_decay": [0.0, 0.1],
}


@given(st.sets(st.sampled_from(sorted(choices)), max_size=4), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_grid_holds_each_different_run_once(fields, clustered):
    """Against what the definition of the control says, written out."""
    train = {"cluster_size": 2, "proportion": 0.5} if clustered else {}
    grid = study({field: choices[field] for field in fields}, train=train)
    expected = set()
    for values in itertools.product(*(choices[field] for field in grid.parameters)):
        run = {"cluster_size": 16, "proportion": 0, "proportion_warmup": False}
        run |= train | dict(zip(grid.parameters, values, strict=True))
        ordinary = tuple(sorted((field, run[field]) for field in fields if field not in CLUSTER_FIELDS))
        expected.add(ordinary)
        if run["cluster_size"] > 1 and run["proportion"] > 0:
            expected.add((*ordinary, *sorted((field, run[field]) for field in run if field in CLUSTER_FIELDS)))
    arms = planned_arms(grid)
    assert len(arms) == len(expected) == len({arm.name for arm in arms})
    names = [arm.name for arm in arms]
    for arm in (each for each in arms if not each.is_control):
        own = next(each.name for each in arms if each.config == control_of(arm.config))
        assert names.index(own) < names.index(arm.name)
    assert all(arm.config.is_control == arm.is_control for arm in arms)
    for arm in arms:
        assert any(control_of(arm.config) == other.config for other in arms if other.is_control)
