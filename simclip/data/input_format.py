"""What a model takes as input; data are read and tokenised for it without knowing the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from simclip.data.images import Transform
from simclip.data.tokens import Tokens, tokenise


@dataclass(frozen=True)
class InputFormat:
    """A model's tokenizer and the shape of its pictures.

    Attributes:
        tokenizer: The model's, from transformers.
        max_tokens: Tokens of the longest caption that the model takes, special ones included.
        image_size: Side of the model's square input, pixels.
        transform: Makes such a square of a picture that is not augmented.
    """

    tokenizer: PreTrainedTokenizerBase
    max_tokens: int
    image_size: int
    transform: Transform

    def tokens(self, captions: Sequence[str]) -> Tokens:
        """Token ids of captions; longer ones than `max_tokens` lose their end."""
        return tokenise(self.tokenizer, captions, self.max_tokens)
