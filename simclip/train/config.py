"""TrainConfig: everything that decides the numbers of one training run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from simclip.config.schema import DEFAULT_METRIC, Objective, field, metric_weights
from simclip.evaluation.objective import direction
from simclip.train.fields.batches import BatchFields
from simclip.train.fields.data import DataFields
from simclip.train.fields.model import ModelFields
from simclip.train.fields.optimizer import OptimizerFields


# Pydantic lists the fields of the last base first.
class TrainConfig(OptimizerFields, BatchFields, ModelFields, DataFields):
    """The fields of one training run; a study can search any of them."""

    # Augmentation.
    crop_scale: tuple[float, float] = field((0.8, 1.0), description="area of RandomResizedCrop, as a share")
    flip: bool = field(False, description="mirror each image with probability 1/2; wrong where captions say left")

    # The objective, which decides which epoch is best. A mapping is a weighted mean of metrics.
    metric: Objective = field(DEFAULT_METRIC, reads_data=True)
    mode: Literal["max", "min"] = field(None, description="default: as the metric says, min for a loss")

    # Machine. These change results in the last bit at most; they are recorded and reproduced.
    seed: int = field(1, ge=0)
    precision: Literal["auto", "bf16", "fp16", "fp32"] = field(
        "auto", description="auto: bf16 on CUDA cards that support it, else fp32; fp16, with a scaled loss, for others"
    )
    threads: int | None = field(None, ge=1, machine=True, description="torch threads; default: the trial's CPUs")
    micro_batch_size: int | None = field(
        None, ge=1, machine=True, description="rows of a worker's batch in memory at a time; same gradients"
    )
    embed_batch_size: int | None = field(
        None, ge=1, machine=True,
        description="items embedded at a time, in evaluation and refresh; default val_batch_size, on CPUs at most 128",
    )  # fmt: skip
    gradient_checkpointing: bool = field(
        False, machine=True, description="compute activations twice instead of keeping them; same gradients"
    )
    compile: bool = field(False, machine=True, description="torch.compile the towers: slower to start, faster steps")
    image_store: Literal["auto", "on", "off"] = field(
        "auto", reads_data=True, machine=True,
        description="decode every image once, into a file; auto: if it takes at most half of the free disk",
    )  # fmt: skip
    store_size: int | None = field(
        None, ge=8, reads_data=True, description="side of stored training images; default 8/7 of the model's: 256"
    )
    data_workers: int = field(
        0, ge=0, machine=True, description="image decoding processes; 0 decodes in the training process"
    )
    checkpoint_every: int = field(
        1,
        ge=1,
        machine=True,
        description="epochs from one state to resume from to the next; the best model is always kept",
    )
    log_every: int = field(10, ge=1, machine=True, description="steps from one log line to the next")

    @model_validator(mode="before")
    @classmethod
    def _with_mode(cls, content: Any) -> Any:
        return with_mode(content)

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        self._check()
        return self

    def _check(self) -> None:
        super()._check()
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale {low}, {high}: expected 0 < low <= high <= 1")
        for each in self.evaluation_sets:
            needed = [name for name in metric_weights(self.metric) if name.rpartition("/")[0] == each.name]
            if needed and each.every > 1:
                raise ValueError(
                    f"evaluate: the metric {needed[0]} is needed after each epoch, but {each.name} is evaluated every "
                    f"{each.every}: leave out its `every`, or choose another metric"
                )

    @property
    def run_key(self) -> str:
        """A key that is equal for two configurations if they train alike on one seed, whichever fields say so."""
        schedule = self.proportion_by_epoch if self.has_clusters else [0.0] * self.epochs
        idle = {*self.fields_with("treatment")} - {"hardness"} if not self.has_clusters else set()
        idle |= set() if self.lora_rank else {"lora_alpha", "lora_targets"}
        return f"{schedule} {self.model_dump_json(exclude={'seed', *self.fields_with('schedule'), *idle})}"

    @property
    def similarity_stays(self) -> bool:
        """Whether similarities are the same in every epoch: computed once, or of images with a frozen image tower."""
        frozen = self.similarity == self.freeze == "image" and self.relative_margin is None
        return self.embeddings == "offline" or frozen


def with_mode(content: Any) -> Any:
    """The raw fields of a run or a study with their mode, which follows from the metric if it is not given."""
    if not isinstance(content, dict) or content.get("mode") is not None:
        return content
    metric = content.get("metric", DEFAULT_METRIC)
    weights = metric.values() if isinstance(metric, dict) else []
    if not isinstance(metric, str | dict) or not all(isinstance(each, int | float) for each in weights):
        return content | {"mode": "max"}  # the type of the field refuses the metric
    try:
        return content | {"mode": direction(metric) or "max"}
    except ValueError as error:
        raise ValueError(f"metric: {error}") from None


#: The fields of clusters and of hardness, in which a control has the defaults.
CLUSTER_FIELDS = TrainConfig.fields_with("treatment")


def control_of(config: TrainConfig) -> TrainConfig:
    """The control of a run: p = 0, and every other field of clusters and hardness at its default."""
    defaults = {name: TrainConfig.model_fields[name].default for name in CLUSTER_FIELDS}
    return config.model_copy(update=defaults)
