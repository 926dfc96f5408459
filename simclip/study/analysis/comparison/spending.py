"""How the level is spent over planned looks.

Up to a look with a share t of the last look's seeds, a share t squared of the level may be spent (the power family of
Kim and DeMets, Biometrika 74, 1987, with exponent 2; alpha spending is due to Lan and DeMets, Biometrika 70, 1983).
Each look is tested at its own part. The parts add up, so all looks together keep the level, whatever they have in
common. Exact bounds would use that, too; they would gain little, since most of what looks cost is the early part of
the level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spent_per_look(looks: Sequence[int], level: float) -> dict[int, float]:
    """The part of the level that each look is tested at; a single look has all of it.

    Args:
        looks: Numbers of seeds, growing.
        level: Probability of a false verdict in any look.
    """
    parts = np.diff(np.array([0, *looks]) ** 2) / looks[-1] ** 2
    return {seeds: level * float(part) for seeds, part in zip(looks, parts, strict=True)}
