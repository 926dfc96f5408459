"""MetaCLIP 2, CLIP in many languages."""

from __future__ import annotations

from typing import Any

from simclip.models.family import Family, check_end


class MetaClip2Family(Family):
    """CLIP's towers with XLM-RoBERTa's tokens; an eos_token_id of 2 means the token 2."""

    name = "metaclip_2"
    masked = False
    exported = True

    def check_tokenizer(self, tokenizer: Any, config: Any) -> None:
        """The end-of-text token is the one of eos_token_id."""
        end = config.text_config.eos_token_id
        check_end(tokenizer, end, end, f"token {end}")
