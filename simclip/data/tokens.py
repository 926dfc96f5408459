"""Tokens: captions as token ids, tokenised once and padded per batch."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import ftfy
import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from simclip.data.pair_table import offsets
from simclip.runtime.cache import cached_array, fingerprint

#: The lengths of batches on a card, or for compiled towers, are multiples of this: few shapes, and aligned masks.
ALIGNED = 8


def clean_caption(text: str) -> str:
    """Clean a text as OpenCLIP does before tokenising: fix mojibake and HTML entities, collapse white space."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


@dataclass(frozen=True)
class Tokens:
    """Token ids of many captions, without padding.

    Attributes:
        ids: int32 [total], caption after caption.
        starts: int64 [captions + 1], where each caption starts, and the end.
        pad_id: Padding token of shorter captions in a batch.
        shortened: Number of captions that were truncated to the model's maximum.
        width: Number of tokens that a batch is padded to; None for its longest caption's.
        most: The model's maximum of tokens, which no batch exceeds; None if there is none.
    """

    ids: np.ndarray
    starts: np.ndarray
    pad_id: int
    shortened: int
    width: int | None = None
    most: int | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens in each caption, int64 [captions]."""
        return np.diff(self.starts)

    def batch(self, captions: np.ndarray, multiple: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask of several captions, both int64 [n, longest] or [n, width].

        Args:
            captions: The captions, int [n].
            multiple: The longest is rounded up to a multiple of this, but not beyond the model's maximum.
        """
        lengths = self.lengths[captions]
        longest = int(lengths.max())
        rounded = -(-longest // multiple) * multiple
        length = self.width or (rounded if self.most is None else max(longest, min(rounded, self.most)))
        mask = np.arange(length) < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask] = np.concatenate([self.ids[self.starts[c] : self.starts[c + 1]] for c in captions])
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def tokenise(
    tokenizer: PreTrainedTokenizerBase, captions: Sequence[str], most: int, lower_case: bool = False
) -> Tokens:
    """Tokenise captions, special tokens included; longer ones are truncated but keep the end-of-text token.

    The ids are cached on disk, per captions and tokenizer, and mapped into memory.

    Args:
        tokenizer: A tokenizer from transformers.
        captions: Texts.
        most: Maximum number of tokens per caption.
        lower_case: Whether to put the cleaned captions in lower case.
    """
    how = f"{most} lower" if lower_case else str(most)
    key = fingerprint(_identity(tokenizer), how.encode(), "\0".join(captions).encode())
    packed = cached_array("tokens", key, lambda: _packed(tokenizer, captions, most, lower_case))
    shortened, lengths, ids = packed[0], packed[1 : len(captions) + 1], packed[len(captions) + 1 :]
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    return Tokens(ids, offsets(lengths), pad_id, int(shortened), most=most)


def _identity(tokenizer: PreTrainedTokenizerBase) -> bytes:
    """Everything that the ids depend on: the whole of a fast tokenizer or of SentencePiece's, else the vocabulary."""
    if tokenizer.is_fast:
        return str(tokenizer.backend_tokenizer.to_str()).encode()
    if hasattr(tokenizer, "sp_model"):
        keeps_case = not getattr(tokenizer, "do_lower_case", False)
        return bytes([keeps_case]) + tokenizer.sp_model.serialized_model_proto()
    return repr((type(tokenizer).__name__, sorted(tokenizer.get_vocab().items()))).encode()


def _packed(tokenizer: PreTrainedTokenizerBase, captions: Sequence[str], most: int, lower_case: bool) -> np.ndarray:
    """The cached array, int32: number of truncated captions, number of tokens of each caption, all ids."""
    texts = [clean_caption(caption) for caption in captions]
    texts = [text.lower() for text in texts] if lower_case else texts
    ids: list[list[int]] = []
    for begin in range(0, len(texts), 10_000):
        ids += tokenizer(texts[begin : begin + 10_000], verbose=False)["input_ids"]
    long = [number for number, caption in enumerate(ids) if len(caption) > most]
    for number in long:
        ids[number] = tokenizer(texts[number], truncation=True, max_length=most)["input_ids"]
    flat = np.fromiter((token for caption in ids for token in caption), dtype=np.int32)
    return np.concatenate([[len(long)], [len(caption) for caption in ids], flat]).astype(np.int32)
