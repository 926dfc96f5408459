"""InputFormat: what a model takes as input. Data are read and tokenised for it without the model itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from simclip.data.images import Transform
from simclip.data.tokens import Tokens, tokenise


@dataclass(frozen=True)
class InputFormat:
    """A model's tokenizer and image size.

    Attributes:
        tokenizer: The model's tokenizer, from transformers.
        max_tokens: Maximum number of tokens in a caption, special tokens included.
        image_size: Side of the model's square input, in pixels.
        transform: Makes such a square from an image, without augmentation.
        lower_case: Whether captions are put in lower case.
        padded: Whether every caption is padded to `max_tokens`, instead of the longest in its batch.
    """

    tokenizer: PreTrainedTokenizerBase
    max_tokens: int
    image_size: int
    transform: Transform
    lower_case: bool = False
    padded: bool = False

    def tokens(self, captions: Sequence[str]) -> Tokens:
        """Tokenise captions; those longer than `max_tokens` are truncated."""
        tokens = tokenise(self.tokenizer, captions, self.max_tokens, self.lower_case)
        return replace(tokens, width=self.max_tokens) if self.padded else tokens
