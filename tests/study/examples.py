"""Studies that no file holds and no trial runs, and scores for them."""

from __future__ import annotations

from typing import Any

from simclip.config import TrainConfig
from simclip.randomness import generator
from simclip.study.config import StudyConfig


def study(parameters: dict[str, Any], **fields: Any) -> StudyConfig:
    """A study of four epochs; a list of values stands for a parameter."""
    parameters = {name: each if isinstance(each, dict) else {"values": each} for name, each in parameters.items()}
    train = {"batch_size": 64, "epochs": 4, **fields.pop("train", {})}
    return StudyConfig(name="s", train=train, parameters=parameters, **fields)


def noise(config: TrainConfig) -> list[float]:
    """A score of its own for every trial."""
    return [float(generator(config.seed, config.model_dump_json()).random())]
