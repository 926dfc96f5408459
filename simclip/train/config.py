"""TrainConfig: everything that decides the numbers of one training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import model_validator

from simclip.config.proportion import clustered_rows, warmup_proportions
from simclip.config.schema import DEFAULT_METRIC, Objective, Proportion, Strict, field, metric_weights
from simclip.data.table import Table
from simclip.evaluation.evaluation_set import EvaluationSet
from simclip.evaluation.kinds import AnySet
from simclip.evaluation.kinds.retrieval import RetrievalSet
from simclip.evaluation.objective import direction

DEFAULT_MODEL = "openai/clip-vit-base-patch32"


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

#: Prefixes of an epoch's other figures, which no evaluation set may have as its name.
RESERVED_NAMES = ("train", "share")


class TrainConfig(Strict):
    """The fields of one training run; a study can search any of them."""

    # Data. train_tsv and val_tsv are the usual one table each; the lists hold any further ones.
    train_tsv: Path | None = field(
        None, reads_data=True, description="training pairs: columns image, caption1, caption2, ..."
    )
    train_image_dir: Path | None = field(None, reads_data=True, description="folder of train_tsv's images")
    train_tables: list[Table] = field([], reads_data=True, description="further training tables")
    val_tsv: Path | None = field(
        None, reads_data=True, description="validation pairs, evaluated as the set named 'val'"
    )
    val_image_dir: Path | None = field(None, reads_data=True, description="folder of val_tsv's images")
    evaluate: list[AnySet] = field([], reads_data=True, description="further evaluation sets")
    caption_columns: list[str] | None = field(
        None, reads_data=True, min_length=1, description="default: every column whose name starts with 'caption'"
    )
    bad_images: Literal["error", "skip"] = field(
        "error", reads_data=True, description="skip leaves out images that do not decode; the results have a list"
    )
    exif: Literal["ignore", "apply"] = field(
        "ignore", reads_data=True,
        description="orientation in a picture's EXIF: ignored as in OpenCLIP's evaluation, or applied",
    )  # fmt: skip

    # Model.
    model: str = field(DEFAULT_MODEL, reads_data=True, description="hub name or local folder of a CLIP model")
    preprocessor: str | None = field(
        None, reads_data=True, description="hub name or folder of tokenizer and image processor; default: the model's"
    )
    pretrain: bool = field(False, reads_data=True, description="start from random weights, not from the model's own")
    freeze: Literal["none", "image", "text"] = field(
        "none", description="tower that keeps its weights, its projection included (image: LiT)"
    )

    # Similarity clusters (paper, Algorithm 1). p = 0 or k = 1 is plain fine-tuning, the control.
    cluster_size: int = field(
        16, ge=1, batching=True, symbol="k", label="cluster size k", description="k: rows in a cluster"
    )
    proportion: Proportion = field(
        0.0, batching=True, schedule=True, symbol="p", label="proportion p",
        description="p: share of a batch that comes in clusters",
    )  # fmt: skip
    neighborhood: int = field(
        1, ge=1, batching=True, symbol="nb", label="neighbourhood s",
        description="s: neighbours are drawn from the s(k-1) most similar rows",
    )  # fmt: skip
    proportion_warmup: bool = field(
        False, batching=True, schedule=True, symbol=("fixed", "warm"), label="warm-up of p",
        description="double p up to its final value over the epochs",
    )  # fmt: skip
    warmup_intervals: int = field(
        9, ge=1, batching=True, schedule=True, description="I: intervals of equal p under proportion_warmup"
    )
    proportions: list[Proportion] | None = field(
        None, batching=True, schedule=True, description="p of every epoch; replaces proportion and its warm-up"
    )
    similarity: Literal["text", "image"] = field(
        "text", batching=True, symbol="", description="embeddings by which rows are similar"
    )
    embeddings: Literal["online", "offline"] = field(
        "online", batching=True, symbol="", description="embed anew in every epoch, or once with the initial weights"
    )
    max_similarity: float | None = field(
        None, gt=-1, le=1, batching=True, description="rows this similar or more are not neighbours (near-duplicates)"
    )

    # Length and batches.
    epochs: int = field(20, ge=1)
    iterations_per_epoch: int | None = field(None, ge=1, description="default: floor(rows / batch_size)")
    batch_size: int = field(1024, ge=2, reads_data=True, description="N: global batch, over all workers")
    val_batch_size: int = field(1024, ge=1)

    # Optimisation (the original's; open_clip's AdamW). For the defaults of the first three, see LearningRateDefaults.
    learning_rate: float | None = field(
        None, gt=0, symbol="lr", label="learning rate",
        description=f"peak; default: {FINE_TUNING.learning_rate:g}, with pretrain {PRETRAINING.learning_rate:g}",
    )  # fmt: skip
    lr_warmup_steps: int | None = field(
        None, ge=0, description=f"default: {FINE_TUNING.lr_warmup_steps}, with pretrain {PRETRAINING.lr_warmup_steps}, "
        "at most a fifth of the run",
    )  # fmt: skip
    lr_schedule: Literal["constant", "cosine"] | None = field(
        None, description=f"default: {FINE_TUNING.lr_schedule}, with pretrain {PRETRAINING.lr_schedule}"
    )
    weight_decay: float = field(0.1, ge=0)
    beta1: float = field(0.9, ge=0, lt=1)
    beta2: float = field(0.98, ge=0, lt=1)
    epsilon: float = field(1e-6, gt=0)

    # Augmentation.
    crop_scale: tuple[float, float] = field((0.8, 1.0), description="area of RandomResizedCrop, as a share")
    flip: bool = field(False, description="mirror each image with probability 1/2; wrong where captions say left")

    # The objective, which decides which epoch is best. A mapping is a weighted mean of metrics.
    metric: Objective = field(DEFAULT_METRIC, reads_data=True)
    mode: Literal["max", "min"] = field(None, description="default: as the metric says, min for a loss")

    # Machine. These change results in the last bit at most; they are recorded and reproduced.
    seed: int = field(1, ge=0)
    precision: Literal["auto", "bf16", "fp32"] = field("auto", description="auto: bf16 on CUDA cards that support it")
    threads: int | None = field(None, ge=1, description="torch threads; default: the trial's CPUs")
    micro_batch_size: int | None = field(
        None, ge=1, description="rows of a worker's batch in memory at a time; same gradients"
    )
    compile: bool = field(False, description="torch.compile the towers: slower to start, faster steps")
    image_store: Literal["auto", "on", "off"] = field(
        "auto", reads_data=True,
        description="decode every image once, into a file; auto: if it takes at most half of the free disk",
    )  # fmt: skip
    store_size: int | None = field(
        None, ge=8, reads_data=True, description="side of stored training images; default 8/7 of the model's: 256"
    )
    data_workers: int = field(0, ge=0, description="image decoding processes; 0 decodes in the training process")
    log_every: int = field(10, ge=1, description="steps from one log line to the next")

    @model_validator(mode="before")
    @classmethod
    def _with_mode(cls, content: Any) -> Any:
        return with_mode(content)

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        for tsv, folder in (("train_tsv", "train_image_dir"), ("val_tsv", "val_image_dir")):
            if (getattr(self, tsv) is None) != (getattr(self, folder) is None):
                raise ValueError(f"{tsv} and {folder} go together: give both or neither")
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale {low}, {high}: expected 0 < low <= high <= 1")
        if self.proportions is not None and len(self.proportions) != self.epochs:
            raise ValueError(f"proportions has {len(self.proportions)} values for {self.epochs} epochs")
        clustered = clustered_rows(self.final_proportion, self.batch_size)
        if not self.is_control and self.cluster_size > clustered:
            raise ValueError(
                f"cluster_size {self.cluster_size} is larger than the {clustered} clustered rows of a batch "
                f"(p = {self.final_proportion:g} of batch_size {self.batch_size}): lower k, or raise p or N"
            )
        if self.pretrain and self.freeze != "none":
            raise ValueError(f"freeze {self.freeze} with pretrain: the tower would keep random weights; drop either")
        names = [each.name for each in self.evaluation_sets]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"evaluation sets need different names; {', '.join(sorted(doubled))} is used twice")
        if taken := [name for name in names if name in RESERVED_NAMES]:
            raise ValueError(
                f"no evaluation set can be named {taken[0]!r}: the name is reserved for figures of training"
            )
        for each in self.evaluation_sets:
            needed = [name for name in metric_weights(self.metric) if name.rpartition("/")[0] == each.name]
            if needed and each.every > 1:
                raise ValueError(
                    f"evaluate: the metric {needed[0]} is needed after each epoch, but {each.name} is evaluated every "
                    f"{each.every}: leave out its `every`, or choose another metric"
                )
        return self

    @property
    def tables(self) -> list[Table]:
        """Every training table, the main one first."""
        if self.train_tsv is None or self.train_image_dir is None:
            return list(self.train_tables)
        return [Table(tsv=self.train_tsv, image_dir=self.train_image_dir), *self.train_tables]

    @property
    def evaluation_sets(self) -> list[EvaluationSet]:
        """Every evaluation set, `val` first."""
        if self.val_tsv is None or self.val_image_dir is None:
            return list(self.evaluate)
        return [RetrievalSet(name="val", tsv=self.val_tsv, image_dir=self.val_image_dir), *self.evaluate]

    @property
    def lr_defaults(self) -> LearningRateDefaults:
        """The defaults of the learning-rate fields in this run."""
        return PRETRAINING if self.pretrain else FINE_TUNING

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

    @property
    def proportion_by_epoch(self) -> list[float]:
        """p of every epoch."""
        if self.proportions is not None:
            return list(self.proportions)
        intervals = self.warmup_intervals if self.proportion_warmup else 1
        return warmup_proportions(self.proportion, self.epochs, intervals)

    @property
    def final_proportion(self) -> float:
        """p in the last epoch."""
        return self.proportion_by_epoch[-1]

    @property
    def warm_after(self) -> int:
        """Number of epochs after which p has its final value; 1 if p never changes."""
        schedule = self.proportion_by_epoch
        return 1 + max(
            (epoch for epoch in range(1, len(schedule)) if schedule[epoch] != schedule[epoch - 1]), default=0
        )

    @property
    def warms_up(self) -> bool:
        """Whether p changes over the epochs."""
        return self.warm_after > 1

    @property
    def is_control(self) -> bool:
        """Whether no batch of this run has a cluster: plain fine-tuning."""
        return self.cluster_size == 1 or not any(self.proportion_by_epoch)

    @property
    def run_key(self) -> str:
        """A key that is equal for two configurations if they train alike on one seed, whichever fields say so."""
        return f"{self.proportion_by_epoch} {self.model_dump_json(exclude={'seed', *self.fields_with('schedule')})}"

    @property
    def similarity_stays(self) -> bool:
        """Whether similarities are the same in every epoch: computed once, or of images with a frozen image tower."""
        return self.embeddings == "offline" or self.similarity == self.freeze == "image"


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


#: The fields of similarity clusters, in which a control has the defaults.
CLUSTER_FIELDS = TrainConfig.fields_with("batching")


def control_of(config: TrainConfig) -> TrainConfig:
    """The control of a run: p = 0 and every other cluster field at its default."""
    defaults = {name: TrainConfig.model_fields[name].default for name in CLUSTER_FIELDS}
    return config.model_copy(update=defaults)
