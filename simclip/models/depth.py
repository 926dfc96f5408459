"""The depth of a model's weights in their tower, for learning rates that fall towards the input."""

from __future__ import annotations

import re

from torch import nn

from simclip.models.families import family_of
from simclip.models.family import TOWERS

#: A layer's number in the name of a weight.
NUMBER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")


def depth_below_top(model: nn.Module) -> dict[nn.Parameter, int]:
    """How many steps each weight is below the top of its tower.

    What comes after the last layer is at 0, as are weights outside of the towers; the last layer is at 1, and what
    comes before the first layer, such as embeddings, is one step below it (as in BEiT and timm).
    """
    depths = dict.fromkeys(model.parameters(), 0)
    for tower in TOWERS:
        for part in family_of(model.config).parts(model, tower):
            named = list(part.named_parameters())
            numbers = [int(found[1]) if (found := NUMBER.search(name)) else None for name, _ in named]
            layers = [number for number in numbers if number is not None]
            begun = False
            for (_, parameter), number in zip(named, numbers, strict=True):
                begun = begun or number is not None
                if number is not None:
                    depths[parameter] = max(layers) + 1 - number
                elif layers and not begun:
                    depths[parameter] = max(layers) + 2
    return depths
