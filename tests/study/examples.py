"""Studies that no file holds, scores for them, and trials that do not train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from simclip.runtime.randomness import generator
from simclip.study.spec.arms import Arm, Trial, unseeded
from simclip.study.spec.study import StudyConfig
from simclip.train.config import TrainConfig


def study(parameters: dict[str, Any], **fields: Any) -> StudyConfig:
    """A study of four epochs; a list of values stands for a parameter."""
    parameters = {name: each if isinstance(each, dict) else {"values": each} for name, each in parameters.items()}
    train = {"batch_size": 64, "epochs": 4, **fields.pop("train", {})}
    return StudyConfig(name="s", train=train, parameters=parameters, **fields)


def trial_of(config: dict[str, Any]) -> Trial:
    """The trial of a dictionary that tune_config made."""
    train = TrainConfig(**config["train"])
    return Trial(Arm(config["arm"], unseeded(train), config["control"]), train.seed)


def noise(config: TrainConfig) -> list[float]:
    """A score of its own for every trial."""
    return [float(generator(config.seed, config.model_dump_json()).random())]


def tuned(
    folder: Path, searcher: Searcher, stopper: TrialScheduler | None = None, failing: str = ""
) -> list[tune.Result]:
    """Tune with a trainable that has p * k for its metric, less 0.1 an epoch, and one arm that fails."""

    def trainable(config: dict[str, Any]) -> None:
        train = config["train"]
        if config["arm"] == failing:
            raise RuntimeError("on purpose")
        score = 0 if config["control"] else train["proportion"] * train["cluster_size"]
        for epoch in range(train["epochs"] + 1):
            tune.report({"metric": 99.0 if epoch == 0 else score - 0.1 * epoch, "epoch": epoch})

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=stopper, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(folder), name="run", verbose=0),
    )
    return list(tuner.fit())
