"""The confirm stage as a study file describes it: arms, seeds in one or several looks, and the margin."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from simclip.config.schema import Strict, metric_weights
from simclip.evaluation.kinds import is_share

#: Fewest seeds of a look, and most.
FIRST_LOOK, MOST_SEEDS = 3, 1000


class Confirm(Strict):
    """The confirm stage: the best arms and the control run again, at full length on fresh seeds."""

    arms: int = Field(3, ge=1, description="number of arms to confirm, the best ones of the search")
    seeds: int | list[int] = Field(
        5, description="fresh seeds per arm, at least 3 for a verdict; [3, 5, 8] looks at 3, 5 and 8 of them"
    )
    keep_models: Literal["first", "all"] = Field(
        "first", description="models that are kept of each arm: that of its first seed, or all, for interpolate"
    )
    margin: float | str | None = Field(
        None, description="the largest difference that does not matter, in the metric's unit, e.g. 0.005 or 0.5%"
    )

    @field_validator("seeds", mode="before")
    @classmethod
    def _looks(cls, seeds: Any) -> Any:
        numbers = seeds if isinstance(seeds, list) else [seeds]
        if not numbers or not all(isinstance(each, int) and not isinstance(each, bool) for each in numbers):
            raise ValueError(f"{seeds!r} is not a number of seeds or a list of them, e.g. 5 or [3, 5, 8]")
        if not all(1 <= each <= MOST_SEEDS for each in numbers):
            raise ValueError(f"{seeds!r}: expected 1 to {MOST_SEEDS} seeds")
        if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
            raise ValueError(f"{seeds!r}: each look takes more seeds than the one before, e.g. [3, 5, 8]")
        if isinstance(seeds, list) and seeds[0] < FIRST_LOOK:
            raise ValueError(f"{seeds!r}: the first look needs at least {FIRST_LOOK} seeds for a verdict")
        return seeds

    @field_validator("margin", mode="before")
    @classmethod
    def _positive(cls, margin: Any) -> Any:
        if margin is None:
            return None
        number = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*%\s*", margin) if isinstance(margin, str) else None
        if isinstance(margin, bool) or not (number or isinstance(margin, int | float)):
            raise ValueError(f"{margin!r} is not a difference of the metric, e.g. 0.005, or 0.5% of a share")
        if (float(number[1]) if number else margin) <= 0:
            raise ValueError(f"{margin!r}: expected a difference above 0; leave the margin out if every one matters")
        return margin

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of seeds after which the arms are judged, in growing order."""
        return tuple(self.seeds) if isinstance(self.seeds, list) else (self.seeds,)

    @property
    def most_seeds(self) -> int:
        """The seeds of an arm that no look but the last decides."""
        return self.looks[-1]

    def margin_of(self, metric: str | Mapping[str, float]) -> float | None:
        """The margin as a difference of a metric; None if there is none.

        Raises:
            ValueError: The margin is in percent and the metric is not, or it is as large as a share can be.
        """
        margin, share = self.margin, all(map(is_share, metric_weights(metric)))
        if isinstance(margin, str):
            if not share:
                raise ValueError(
                    f"confirm.margin: {margin} is in percent, but {metric} is not; give a difference of its values, "
                    "e.g. 0.05"
                )
            margin = float(margin.strip(" %")) / 100
        if margin is not None and share and margin >= 1:
            raise ValueError(f"confirm.margin: {margin:g} is more than {metric} can differ; half a point is 0.5%")
        return margin
