"""TrainConfig: everything that decides the numbers of one training run."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from simclip.config.proportion import clustered_rows, warmup_proportions

DEFAULT_MODEL = "openai/clip-vit-base-patch32"
DEFAULT_METRIC = "val/mean_r1"


def parse_fraction(value: object) -> object:
    """Turn '1/512' into 0.001953125; leave every other value to pydantic."""
    if not isinstance(value, str):
        return value
    try:
        return float(Fraction(value.strip()))
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{value!r} is no number or fraction such as 0.5 or 1/512") from error


def one_or_several(value: object) -> object:
    """A list of what is given alone."""
    return value if isinstance(value, list) else [value]


def weights_count(value: object, schema: ValidatorFunctionWrapHandler) -> object:
    """Refuse what is neither a metric's name nor weights, in one complaint, and weights that have no mean."""
    try:
        metric = schema(value)
    except ValidationError:
        raise ValueError(
            f"expected a metric such as {DEFAULT_METRIC}, or weights such as {{val/mean_r1: 0.7, rare/top1: 0.3}}; "
            f"got {value!r}"
        ) from None
    if isinstance(metric, dict) and not sum(metric.values()) > 0:
        raise ValueError(f"the weights add up to {sum(metric.values()):g}: expected more than 0")
    return metric


Proportion = Annotated[float, BeforeValidator(parse_fraction), Field(ge=0, le=1)]
#: A metric, or the weights of several.
Objective = Annotated[str | dict[str, float], WrapValidator(weights_count)]


class Strict(BaseModel):
    """A schema that refuses unknown fields and does not change once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Table(Strict):
    """A TSV of image-caption pairs and the folder that its images lie in."""

    tsv: Path
    image_dir: Path
    repeat: int = Field(1, ge=1, description="times each row stands in the training set")
    limit: int | None = Field(None, ge=1, description="only the first rows of the table")


SetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Every = Annotated[int, Field(ge=1, description="epochs from one evaluation to the next; the best and last have one")]


class RetrievalSet(Strict):
    """Image-caption pairs scored by recall@k in both directions and by the loss."""

    kind: Literal["retrieval"] = "retrieval"
    name: SetName
    tsv: Path
    image_dir: Path
    every: Every = 1


class ClassificationSet(Strict):
    """Images in one folder per class, scored zero-shot by top-1 and top-5 accuracy."""

    kind: Literal["classification"]
    name: SetName
    image_dir: Path
    every: Every = 1
    templates: list[str] = Field(["a photo of a {}."], min_length=1)
    class_names: dict[str, str] = Field(
        {}, description="what to call a class in prompts, by folder; else the folder's name with spaces for _"
    )


class PairsSet(Strict):
    """Images with a true and a false caption each, scored by how often the true one is the more similar."""

    kind: Literal["pairs"]
    name: SetName
    files: Annotated[list[Path], BeforeValidator(one_or_several)] = Field(
        min_length=1, description="TSVs (image, caption, negative_caption, category), SugarCrepe's JSON, or its folder"
    )
    image_dir: Path
    every: Every = 1


EvaluationSet = Annotated[RetrievalSet | ClassificationSet | PairsSet, Field(discriminator="kind")]
#: First parts of the names of other figures of an epoch.
RESERVED_NAMES = ("train", "share")


def metric_weights(metric: str | Mapping[str, float]) -> Mapping[str, float]:
    """The weight of every metric in an objective."""
    return {metric: 1.0} if isinstance(metric, str) else metric


class TrainConfig(Strict):
    """The fields of one training run. Every one of them can be searched by a study."""

    # Data. train_tsv and val_tsv are the usual one table each; the lists hold any further ones.
    train_tsv: Path | None = Field(None, description="training pairs: columns image, caption1, caption2, ...")
    train_image_dir: Path | None = Field(None, description="folder that train_tsv's images lie in")
    train_tables: list[Table] = Field([], description="further training tables")
    val_tsv: Path | None = Field(None, description="validation pairs, evaluated as the set named 'val'")
    val_image_dir: Path | None = Field(None, description="folder that val_tsv's images lie in")
    evaluate: list[EvaluationSet] = Field([], description="further evaluation sets")
    caption_columns: list[str] | None = Field(
        None, min_length=1, description="default: every column that starts with 'caption'"
    )
    bad_images: Literal["error", "skip"] = Field("error", description="skip drops unreadable rows and counts them")

    # Model.
    model: str = Field(DEFAULT_MODEL, description="hub name or local folder of a CLIP model")
    preprocessor: str | None = Field(None, description="hub name or folder of tokenizer and image processor")
    pretrain: bool = Field(False, description="start from random weights instead of the model's own")
    freeze: Literal["none", "image", "text"] = Field(
        "none", description="tower that keeps its weights, its projection too (image: LiT)"
    )

    # Similarity clusters (paper, Algorithm 1). p = 0 or k = 1 is plain fine-tuning, the control.
    cluster_size: int = Field(16, ge=1, description="k: rows in a cluster")
    proportion: Proportion = Field(0.0, description="p: share of a batch that comes in clusters")
    neighborhood: int = Field(1, ge=1, description="s: neighbours are drawn from the s(k-1) most similar rows")
    proportion_warmup: bool = Field(False, description="double p up to its final value over the epochs")
    warmup_intervals: int = Field(9, ge=1, description="I: intervals of equal p under proportion_warmup")
    proportions: list[Proportion] | None = Field(None, description="p of every epoch, given outright")
    similarity: Literal["text", "image"] = Field("text", description="embeddings that similarity is measured on")
    embeddings: Literal["online", "offline"] = Field("online", description="refreshed each epoch, or made once")
    max_similarity: float | None = Field(None, gt=-1, le=1, description="rows at or above it are no neighbours")

    # Length and batches.
    epochs: int = Field(20, ge=1)
    iterations_per_epoch: int | None = Field(None, ge=1, description="default: floor(rows / batch_size)")
    batch_size: int = Field(1024, ge=2, description="N: global batch, over all workers")
    val_batch_size: int = Field(1024, ge=1)

    # Optimisation (the original's; open_clip's AdamW). None: 1e-5, 200, constant; with pretrain 5e-4, 2000, cosine.
    learning_rate: float | None = Field(None, gt=0)
    lr_warmup_steps: int | None = Field(None, ge=0, description="default: at most a fifth of the run")
    lr_schedule: Literal["constant", "cosine"] | None = None
    weight_decay: float = Field(0.1, ge=0)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.98, ge=0, lt=1)
    epsilon: float = Field(1e-6, gt=0)

    # Augmentation.
    crop_scale: tuple[float, float] = Field((0.8, 1.0), description="area of RandomResizedCrop, as a share")
    flip: bool = Field(False, description="mirror each picture with probability 1/2; wrong where captions say left")

    # What decides which epoch is best. A dict is a weighted mean of metrics.
    metric: Objective = DEFAULT_METRIC
    mode: Literal["max", "min"] = "max"

    # Machine. These change sums in the last bit at most; they are recorded, and a rerun uses them.
    seed: int = Field(1, ge=0)
    precision: Literal["auto", "bf16", "fp32"] = Field("auto", description="auto: bf16 on CUDA where it has it")
    threads: int | None = Field(None, ge=1, description="torch threads; default: the trial's CPUs")
    micro_batch_size: int | None = Field(None, ge=1, description="rows of a worker's batch in memory at a time; exact")
    compile: bool = Field(False, description="torch.compile the towers: slower to start, faster steps")
    image_store: Literal["auto", "on", "off"] = Field(
        "auto", description="decode every image once, into a file; auto: where it takes at most half of the free disk"
    )
    store_size: int | None = Field(None, ge=8, description="side of training pictures; default 8/7 of the model's: 256")
    data_workers: int = Field(0, ge=0, description="image decoding processes; 0 decodes in the training process")
    log_every: int = Field(10, ge=1, description="steps from one log line to the next")

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
            raise ValueError(f"evaluation sets need different names; {', '.join(sorted(doubled))} stands twice")
        if taken := [name for name in names if name in RESERVED_NAMES]:
            raise ValueError(f"no evaluation set can be named {taken[0]!r}: figures of training are")
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
        """Number of epochs after which p has its final value; 1 where p never changes."""
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
        """Whether no batch of this run holds a cluster: plain fine-tuning."""
        return self.cluster_size == 1 or not any(self.proportion_by_epoch)

    @property
    def similarity_stays(self) -> bool:
        """Whether every epoch has the same similarities: made once, or of pictures by a tower that does not change."""
        return self.embeddings == "offline" or self.similarity == self.freeze == "image"


#: The fields of similarity clusters: what a control differs in from its arm.
CLUSTER_FIELDS = (
    "cluster_size",
    "proportion",
    "neighborhood",
    "proportion_warmup",
    "warmup_intervals",
    "proportions",
    "similarity",
    "embeddings",
    "max_similarity",
)


def control_of(config: TrainConfig) -> TrainConfig:
    """The same run without clusters: p = 0 and every other cluster field at its default."""
    defaults = {name: TrainConfig.model_fields[name].default for name in CLUSTER_FIELDS}
    return config.model_copy(update=defaults)
