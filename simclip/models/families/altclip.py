"""AltCLIP."""

from __future__ import annotations

from typing import Any

from simclip.models.family import Family


class AltClipFamily(Family):
    """CLIP's image tower with XLM-RoBERTa, read at the first token."""

    name = "altclip"

    def most_positions(self, config: Any) -> int:
        """As in RoBERTa, positions start after the padding's id."""
        text = config.text_config
        return int(text.max_position_embeddings - text.pad_token_id - 1)
