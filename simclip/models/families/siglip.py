"""SigLIP (Zhai et al. 2023), and SigLIP 2 of fixed resolution, which has the same towers and other tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from simclip.models.family import Family, Tower

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Logit scale and bias at the start of pre-training (section 3.2 of the paper).
START = math.log(10), -10.0


class SiglipFamily(Family):
    """Towers without projections, and a bias of the logits.

    The text tower reads the last position and has no mask: captions are padded to its length. SigLIP's own tokenizer
    puts them in lower case; SigLIP 2 was trained on lower case too, but Gemma's tokenizer keeps capitals.
    """

    name = "siglip"
    losses = ("sigmoid", "infonce")
    masked = False
    padded = True
    lower_case = True

    def check(self, config: Any) -> None:
        """The images are squares, and the image tower has the head that makes an embedding."""
        super().check(config)
        if not config.vision_config.vision_use_head:
            raise ValueError(
                "its config.json says vision_use_head false, but without its head images have no embedding"
            )

    def check_tokenizer(self, tokenizer: Any, config: Any) -> None:
        """There is a token to pad captions with."""
        if tokenizer.pad_token_id is None:
            raise ValueError(
                "its tokenizer has no padding token, but its text tower reads the last position of captions"
            )

    def dimension(self, config: Any) -> int:
        """Length of an embedding: the width of the image tower."""
        return int(config.vision_config.hidden_size)

    def initialise(self, model: Any) -> None:
        """Begin with the paper's scale and bias; transformers begins with zeros, for which the loss is huge."""
        for parameter, value in zip((model.logit_scale, model.logit_bias), START, strict=True):
            parameter.data.fill_(value)

    def parts(self, model: Any, tower: Tower) -> tuple[nn.Module, ...]:
        """A tower, which includes its head."""
        return (model.vision_model if tower == "image" else model.text_model,)

    def logit_parameters(self, model: Any) -> Tensor:
        """The factor of the cosines and the bias, [2]."""
        from torch import cat

        return cat([model.logit_scale.exp(), model.logit_bias])
