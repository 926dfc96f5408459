"""How the batches of a run are made and how hard their negatives are; sizes and length."""

from __future__ import annotations

from typing import Any, Literal

from simclip.clusters.methods import MethodName
from simclip.config.proportion import clustered_rows, warmup_proportions
from simclip.config.schema import Proportion, field
from simclip.train.fields.group import FieldGroup


class BatchFields(FieldGroup):
    """The batches and their number; p = 0 or k = 1, without hardness, is plain fine-tuning, the control."""

    batching: MethodName = field(
        "clusters", treatment=True, reads_data=True, symbol="",
        description="how similar rows come together: clusters (Algorithm 1), partition or graph (each row once)",
    )  # fmt: skip
    cluster_size: int = field(
        16, ge=1, treatment=True, symbol="k", label="cluster size k", description="k: rows in a cluster"
    )
    proportion: Proportion = field(
        0.0, treatment=True, schedule=True, symbol="p", label="proportion p",
        description="p: share of a batch that comes in clusters",
    )  # fmt: skip
    neighborhood: int = field(
        1, ge=1, treatment=True, symbol="nb", label="neighbourhood s",
        description="s: neighbours are drawn from the s(k-1) most similar rows",
    )  # fmt: skip
    proportion_warmup: bool = field(
        False, treatment=True, schedule=True, symbol=("fixed", "warm"), label="warm-up of p",
        description="double p up to its final value over the epochs",
    )  # fmt: skip
    warmup_intervals: int = field(
        9, ge=1, treatment=True, schedule=True, description="I: intervals of equal p under proportion_warmup"
    )
    proportions: list[Proportion] | None = field(
        None, treatment=True, schedule=True, description="p of every epoch; replaces proportion and its warm-up"
    )
    similarity: Literal["text", "image"] = field(
        "text", treatment=True, symbol="", description="embeddings by which rows are similar"
    )
    embeddings: Literal["online", "offline"] = field(
        "online", treatment=True, symbol="", description="embed anew in every epoch, or once with the initial weights"
    )
    max_similarity: float | None = field(
        None, gt=-1, le=1, treatment=True, description="rows this similar or more are not neighbours (near-duplicates)"
    )
    skip_nearest: int = field(
        0, ge=0, treatment=True, reads_data=True, symbol="skip", label="skipped ranks r",
        description="r: the r most similar rows are not neighbours (likely false negatives)",
    )  # fmt: skip
    relative_margin: float | None = field(
        None, gt=0, treatment=True, symbol="margin", label="relative margin",
        description="rows are not neighbours if their caption is closer to the anchor's image than this share of its "
        "own caption's cosine, e.g. 0.95; embeds images and captions both",
    )  # fmt: skip
    hardness: float = field(
        0.0, ge=0, treatment=True, symbol="hard", label="hardness a",
        description="a: weight each negative of the loss by exp(a x its own logit); 0 weighs all alike",
    )  # fmt: skip

    # Length and batches.
    epochs: int = field(20, ge=1)
    iterations_per_epoch: int | None = field(None, ge=1, description="default: floor(rows / batch_size)")
    batch_size: int = field(1024, ge=2, reads_data=True, description="N: global batch, over all workers")
    val_batch_size: int = field(1024, ge=1, description="pairs in a batch of the evaluation's loss")

    def _check(self) -> None:
        super()._check()
        if self.proportions is not None and len(self.proportions) != self.epochs:
            raise ValueError(f"proportions has {len(self.proportions)} values for {self.epochs} epochs")
        clustered = clustered_rows(self.final_proportion, self.batch_size)
        if self.has_clusters and self.cluster_size > clustered:
            raise ValueError(
                f"cluster_size {self.cluster_size} is larger than the {clustered} clustered rows of a batch "
                f"(p = {self.final_proportion:g} of batch_size {self.batch_size}): lower k, or raise p or N"
            )

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
    def has_clusters(self) -> bool:
        """Whether rows of some batch come in clusters, by any method."""
        return self.cluster_size > 1 and any(self.proportion_by_epoch)

    @property
    def is_control(self) -> bool:
        """Whether this run is plain fine-tuning: no clusters, and all negatives weigh alike."""
        return not self.has_clusters and not self.hardness

    @property
    def limits(self) -> dict[str, Any]:
        """The fields that say which rows are no neighbours."""
        return {name: getattr(self, name) for name in ("max_similarity", "skip_nearest", "relative_margin")}
