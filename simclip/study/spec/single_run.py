"""A single run: one configuration as a study of one arm, without a control, with any seed and any name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from simclip.study.spec.arm_names import arm_name
from simclip.study.spec.arms import Arm, Trial
from simclip.study.spec.study import Confirm, Resources, SharedConfig, StudyConfig
from simclip.train.config import TrainConfig


class SingleRun(StudyConfig):
    """A study of one configuration."""

    name: str
    arm: str = Field(description="name of the only arm")
    seeds: list[Annotated[int, Field(ge=0)]] = Field([1], min_length=1)
    confirm: Confirm | None = None

    @property
    def replicates(self) -> list[Trial]:
        """The trials: the arm on each seed."""
        config = TrainConfig(**self.train.model_dump(exclude_unset=True))
        return [Trial(Arm(self.arm, config, config.is_control), seed) for seed in self.seeds]


def single_run(
    name: str, config: TrainConfig, resources: Resources, arm: str | None = None, seeds: Sequence[int] = ()
) -> SingleRun:
    """A study of one arm.

    Args:
        name: Name of the study.
        config: The configuration to train.
        resources: Resources of the trial.
        arm: Name of the arm; by default made from k and p.
        seeds: Seeds to run; by default the configuration's own.
    """
    clusters = {"cluster_size": config.cluster_size, "proportion": config.proportion_by_epoch[-1]}
    return SingleRun(
        name=name,
        arm=arm or ("control" if config.is_control else arm_name(clusters)),
        metric=config.metric,
        mode=config.mode,
        train=SharedConfig(**config.model_dump(exclude_unset=True, exclude={"seed", "metric", "mode"})),
        seeds=[*seeds] or [config.seed],
        resources=resources,
        keep_models=1,
    )
