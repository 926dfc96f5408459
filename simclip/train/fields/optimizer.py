"""How a run updates the weights: the original's settings, with open_clip's AdamW."""

from __future__ import annotations

from typing import Literal, NamedTuple

from simclip.config.schema import field
from simclip.train.fields.model import ModelFields


class LearningRateDefaults(NamedTuple):
    """The defaults of the learning-rate fields.

    Attributes:
        learning_rate: Peak learning rate.
        lr_warmup_steps: Steps of the linear warm-up, limited to a fifth of the run.
        lr_schedule: What follows the warm-up.
    """

    learning_rate: float
    lr_warmup_steps: int
    lr_schedule: Literal["constant", "cosine"]


FINE_TUNING = LearningRateDefaults(1e-5, 200, "constant")
PRETRAINING = LearningRateDefaults(5e-4, 2000, "cosine")
#: Adapters start from zero and are few: they take about ten times the rate of whole matrices. Weight decay, which pulls
#: them towards the base model, stays as it is.
LORA = LearningRateDefaults(1e-4, 200, "constant")


class OptimizerFields(ModelFields):
    """The optimizer and its schedule; the defaults of the learning-rate fields depend on `pretrain` and `lora_rank`."""

    learning_rate: float | None = field(
        None, gt=0, symbol="lr", label="learning rate",
        description=f"peak; default: {FINE_TUNING.learning_rate:g}, with pretrain {PRETRAINING.learning_rate:g}, with "
        f"lora_rank {LORA.learning_rate:g}",
    )  # fmt: skip
    lr_warmup_steps: int | None = field(
        None, ge=0, description=f"default: {FINE_TUNING.lr_warmup_steps}, with pretrain {PRETRAINING.lr_warmup_steps}, "
        "at most a fifth of the run",
    )  # fmt: skip
    lr_schedule: Literal["constant", "cosine"] | None = field(
        None, description=f"default: {FINE_TUNING.lr_schedule}, with pretrain {PRETRAINING.lr_schedule}"
    )
    weight_decay: float = field(0.1, ge=0)
    layer_decay: float = field(
        1.0, gt=0, le=1, symbol="ld", label="layer decay",
        description="factor of the learning rate per layer from the top of each tower to its input",
    )  # fmt: skip
    beta1: float = field(0.9, ge=0, lt=1)
    beta2: float = field(0.98, ge=0, lt=1)
    epsilon: float = field(1e-6, gt=0)

    @property
    def lr_defaults(self) -> LearningRateDefaults:
        """The defaults of the learning-rate fields in this run."""
        return PRETRAINING if self.pretrain else LORA if self.lora_rank else FINE_TUNING

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after the warm-up."""
        return self.learning_rate or self.lr_defaults.learning_rate

    @property
    def schedule_name(self) -> Literal["constant", "cosine"]:
        """The schedule of the learning rate after the warm-up."""
        return self.lr_schedule or self.lr_defaults.lr_schedule

    def warmup_steps(self, steps: int) -> int:
        """Steps of the learning rate's warm-up in a run of this many steps; by default at most a fifth of them."""
        if self.lr_warmup_steps is not None:
            return self.lr_warmup_steps
        return min(self.lr_defaults.lr_warmup_steps, steps // 5)
