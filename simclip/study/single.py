"""One training run by itself, as a study of a single trial: no control beside it, any seed, any name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simclip.config import TrainConfig
from simclip.study.arms import Arm, Trial
from simclip.study.config import Resources, SharedConfig, StudyConfig
from simclip.study.names import arm_name


class SingleRun(StudyConfig):
    """A study file's fields around one configuration."""

    name: str
    arm: str = Field(description="name of the one arm")
    seeds: list[Annotated[int, Field(ge=0)]] = Field([1], min_length=1, max_length=1)

    @property
    def trial(self) -> Trial:
        """The one trial."""
        config = TrainConfig(**self.train.model_dump(exclude_unset=True))
        return Trial(Arm(self.arm, {}, config, config.is_control), self.seeds[0])


def single_run(name: str, config: TrainConfig, resources: Resources, arm: str | None = None) -> SingleRun:
    """A study of one trial.

    Args:
        name: Of the study.
        config: What is trained.
        resources: Of the trial.
        arm: Name of the trial's arm; by default made of k and p.
    """
    clusters = {"cluster_size": config.cluster_size, "proportion": config.proportion_by_epoch[-1]}
    return SingleRun(
        name=name,
        arm=arm or ("control" if config.is_control else arm_name(clusters)),
        metric=config.metric,
        mode=config.mode,
        train=SharedConfig(**config.model_dump(exclude_unset=True, exclude={"seed", "metric", "mode"})),
        seeds=[config.seed],
        resources=resources,
        keep_models=1,
    )
