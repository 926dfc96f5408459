"""Studies on the demo's data, as their demo blocks say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from simclip.config.proportion import clustered_rows
from simclip.demo import ensure_dataset
from simclip.errors import InputError
from simclip.study.execution.preflight import check_study
from simclip.study.search.plan import planned_arms
from simclip.study.search.space import corner_arms
from simclip.study.spec.overrides import read_mapping
from simclip.study.spec.portable_paths import local
from simclip.study.spec.study import StudyConfig
from simclip.study.store.compatibility import flat, refused_changes
from simclip.study.store.study_file import dump, load_study
from simclip.train.config import TrainConfig

STUDIES = Path(__file__).parents[3] / "studies"
DEMO = read_mapping(STUDIES / "demo.yaml")
SHIPPED = sorted(path for path in STUDIES.glob("*.yaml") if path.name != "demo.yaml")


@pytest.fixture
def small(tmp_path: Path):
    """A study on the demo's data."""

    def load(block: Any = None, overrides: tuple[str, ...] = (), **content: Any) -> StudyConfig:
        path = tmp_path / "asked.yaml"
        path.write_text(yaml.safe_dump({"name": "asked", "demo": block or {}, **content}))
        return load_study(path, overrides, DEMO)

    return load


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_load_and_plan_arms_on_the_demo(path: Path) -> None:
    study = load_study(path, (), DEMO)
    assert study.name == f"{path.stem}-demo"
    train = study.train
    assert (train.batch_size, train.epochs, train.learning_rate, train.warmup_intervals) == (64, 5, 1e-3, 3)
    assert train.iterations_per_epoch is None and train.data_workers == 0
    assert train.train_tsv == Path(STUDIES.parent, "datasets/demo/train.tsv")
    assert {each.name for each in train.evaluation_sets} == {"val", "rare", "swapped"}
    assert study.confirm is not None and (study.confirm.arms, study.confirm.looks) == (2, (4, 6))
    assert study.resources == StudyConfig.model_fields["resources"].default

    full = load_study(path)
    assert study.seeds == full.seeds
    control, *arms = planned_arms(study)
    assert control.is_control and not any(arm.is_control for arm in arms)
    for arm in (arm for arm in arms if arm.config.final_proportion):  # hardness alone makes no clusters
        assert 2 <= arm.config.cluster_size <= clustered_rows(arm.config.proportion_by_epoch[-1], 64)


# Two rows are the share of 16 in 1024, and would not tell the methods of methods.yaml apart.
@pytest.mark.parametrize("path", [path for path in SHIPPED if path.stem != "methods"], ids=lambda path: path.stem)
def test_shipped_studies_ask_the_same_with_the_share_of_a_cluster_in_the_batch(path: Path) -> None:
    full = load_study(path)

    def asked(config: TrainConfig, batch: int) -> tuple[Any, ...]:
        k = max(config.cluster_size * 64 // batch, 2)
        return k, config.final_proportion, config.warms_up, config.neighborhood, config.similarity, config.embeddings

    there = {asked(arm.config, full.train.batch_size) for arm in planned_arms(full) if not arm.is_control}
    here = [asked(arm.config, 64) for arm in planned_arms(load_study(path, (), DEMO)) if not arm.is_control]
    assert set(here) == there and len(here) == len(there)


def test_the_block_is_no_part_of_the_recorded_study(small) -> None:
    study = small({"description": "small"})
    assert (study.description, study.name) == ("small", "asked-demo")
    assert "demo" not in yaml.safe_load(dump(study))


def test_a_study_without_a_block_says_how_to_add_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\n")
    with pytest.raises(InputError, match=r"mine.yaml: --demo needs a demo block .* of 64: add e.g. demo: \{par"):
        load_study(path, (), DEMO)
    path.write_text("name: mine\ndemo: true\n")
    with pytest.raises(InputError, match=r"mine.yaml: demo: expected a mapping such as .*, not True"):
        load_study(path, (), DEMO)
    assert load_study(path).name == "mine"
    with pytest.raises(InputError, match="unknown key"):
        load_study(path, ["demo.train.epochs=2"])


def test_the_demos_margin_is_for_the_demos_metric(small) -> None:
    assert small().margin == small(metric="val/mean_r1").margin == 0.02
    assert small({"metric": "val/loss"}).margin is None
    for metric in ("val/loss", "rare/top1"):
        study = small(metric=metric)
        assert study.margin is None and study.confirm is not None and study.confirm.looks == (4, 6)
    assert small({"confirm": {"margin": 0.05}}, metric="val/loss").margin == 0.05


def test_a_wrong_study_is_refused_before_its_block(small) -> None:
    with pytest.raises(InputError, match="seeds"):
        small({"seeds": [1]}, seeds=[])


def test_the_demos_data_and_machine_replace_the_studys(small) -> None:
    test = [{"kind": "retrieval", "name": "flickr30k", "tsv": "f.tsv", "image_dir": "f"}]
    own = {"resources": {"gpus": 8}, "max_concurrent": 9, "test": test, "confirm": {"arms": 9, "seeds": 9}}
    study = small(train={"train_tsv": "mine.tsv", "train_image_dir": "i", "weight_decay": 0.5, "epochs": 20}, **own)
    plain = small()
    assert study == plain
    assert (study.train.weight_decay, study.train.epochs) == (0.1, 5)
    assert [each.name for each in study.test] == [each["name"] for each in DEMO["test"]]
    assert study.confirm is not None and study.confirm.model_dump(exclude_unset=True) == DEMO["confirm"]


def test_the_rest_of_the_study_stays(small) -> None:
    rest = {"description": "what", "seeds": [4, 5], "keep_models": 1, "searcher": "random", "trials": 3}
    study = small(parameters={"cluster_size": {"values": [2, 4, 8]}}, **rest)
    assert {key: getattr(study, key) for key in rest} == rest


def test_the_block_is_merged_over_the_study(small) -> None:
    parameters = {"cluster_size": {"min": 16, "max": 256}, "proportion": {"values": ["1/2", 1]}}
    study = small(
        {
            "train": {"neighborhood": 2, "epochs": 4},
            "parameters": {"cluster_size": {"values": [2, 4]}},
            "asha": {"grace_period": 1},
            "confirm": None,
            "test": [],
        },
        ("train.epochs=3",),
        parameters=parameters,
        scheduler="asha",
        asha={"grace_period": 8, "reduction_factor": 2},
    )
    assert (study.train.neighborhood, study.train.batch_size, study.train.epochs) == (2, 64, 3)
    assert study.parameters["cluster_size"].choices == [2, 4]  # replaced as a whole
    assert study.parameters["proportion"].choices == [0.5, 1]
    assert (study.asha.grace_period, study.asha.reduction_factor) == (1, 2)
    assert study.confirm is None


@pytest.mark.parametrize("searcher", ["random", "optuna"])
def test_sampled_studies_run_on_the_demo(small, searcher: str) -> None:
    parameters = {"cluster_size": {"min": 2, "max": 256}, "proportion": {"min": 0.5, "max": 1}}
    block = {"parameters": {"cluster_size": {"min": 2, "max": 16}}}
    study = small(block, parameters=parameters, searcher=searcher, trials=7)
    assert study.trials == 7
    assert study.parameters["cluster_size"].limits == (2, 16)
    assert len(planned_arms(study) or corner_arms(study)) >= 5


def test_a_study_without_a_confirm_stage_gets_none(small) -> None:
    study = small(confirm=None)
    assert (study.confirm, study.test) == (None, [])


def test_metrics_of_sets_that_the_demo_has_stay(small) -> None:
    mixed = {"val/mean_r1": 0.7, "rare/top1": 0.3}
    study = small({"test_metric": "test/t2i_r5"}, metric="val/mean_r1")
    assert study.confirmed_metric == "test/t2i_r5"
    assert small({"metric": mixed}).metric == mixed


def test_metrics_of_other_sets_are_refused(small) -> None:
    imagenet = {"kind": "classification", "name": "imagenet", "image_dir": "i"}
    study = small(metric="imagenet/top1", train={"evaluate": [imagenet]})
    ensure_dataset()
    with pytest.raises(InputError, match="metric 'imagenet/top1': no evaluation set has it"):
        check_study(study)
    with pytest.raises(InputError, match="test_metric: no test set reports 'val/mean_r1'"):
        small({"test_metric": "val/mean_r1"})


def test_results_of_earlier_versions_on_the_demo_go_on() -> None:
    """Earlier versions recorded a shared cluster size beside a searched one."""
    study = load_study(STUDIES / "cluster_size.yaml", (), DEMO)
    earlier = flat(local(yaml.safe_load(dump(study))))
    earlier["train.cluster_size"] = 2
    assert refused_changes(earlier, study, {}) == {}
    earlier["train.batch_size"] = 32
    assert set(refused_changes(earlier, study, {})) >= {"train.batch_size"}
