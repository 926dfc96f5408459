"""CLIP (Radford et al. 2021)."""

from __future__ import annotations

from typing import Any

from simclip.models.family import Family, check_end

#: eos_token_id of old folders, which means that the end-of-text token is the one with the highest id.
HIGHEST = 2


class ClipFamily(Family):
    """CLIP, which takes a caption's embedding from its end-of-text token: no token sees the padding after it."""

    name = "clip"
    masked = False
    exported = True

    def check_tokenizer(self, tokenizer: Any, config: Any) -> None:
        """The end-of-text token is the one of eos_token_id, or the highest."""
        end = config.text_config.eos_token_id
        if end == HIGHEST:
            check_end(tokenizer, end, max(tokenizer("a")["input_ids"]), "the highest token")
        else:
            check_end(tokenizer, end, end, f"token {end}")
