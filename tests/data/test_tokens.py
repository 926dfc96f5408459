"""Captions as token ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simclip.data.tokens import ALIGNED, clean_caption, tokenise
from simclip.models.clip import Clip, embed_texts, load_clip


@pytest.fixture(scope="module")
def clip(tiny_model: Path) -> Clip:
    return load_clip(str(tiny_model))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a dog", "a dog"),
        ("  a dog \n", "a dog"),
        ("cats &amp; dogs", "cats & dogs"),
        ("cats &amp;amp; dogs", "cats & dogs"),  # unescaped twice
        ("<3 cats &amp;amp;amp; dogs", "<3 cats &amp; dogs"),  # and no further (ftfy may, where there is no <)
        ("&lt;b&gt;", "<b>"),
        ("the dogâ€™s ball", "the dog's ball"),  # mended by ftfy, then its quote straightened
        ("cafÃ©", "café"),
        ("&nbsp;dog&nbsp;", "dog"),
        ("ﬁsh", "fish"),
        ("狗", "狗"),
    ],
)
def test_captions_are_cleaned_as_openclip_does(text: str, clean: str) -> None:
    assert clean_caption(text) == clean


CAPTIONS = ["red left on blue", "green", "", "white above on red " * 9, "blue &amp;amp; green"]


def test_each_caption_is_what_the_tokenizer_makes_of_it(clip: Clip) -> None:
    tokens = tokenise(clip.tokenizer, CAPTIONS, clip.max_tokens)
    assert len(tokens) == 5 and tokens.shortened == 1
    for number, caption in enumerate(CAPTIONS):
        ids = tokens.ids[tokens.starts[number] : tokens.starts[number + 1]].tolist()
        text = clean_caption(caption)
        assert ids == clip.tokenizer(text, truncation=True, max_length=clip.max_tokens)["input_ids"]
        assert ids[0] == clip.tokenizer.bos_token_id and ids[-1] == clip.tokenizer.eos_token_id
    assert tokens.lengths.max() == clip.max_tokens == 16


def test_a_caption_that_is_too_long_loses_its_end_but_not_the_end_token(clip: Clip) -> None:
    words = "red left on blue " * 30
    whole = clip.tokenizer(words, verbose=False)["input_ids"]
    tokens = tokenise(clip.tokenizer, [words], 16)
    assert tokens.ids.tolist() == [*whole[:15], clip.tokenizer.eos_token_id]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_a_batch_is_as_wide_as_its_longest_caption(clip: Clip, chosen: list[int]) -> None:
    tokens = tokenise(clip.tokenizer, CAPTIONS, clip.max_tokens)
    ids, mask = tokens.batch(np.array(chosen))
    assert ids.dtype == mask.dtype == torch.int64
    assert ids.shape == mask.shape == (len(chosen), max(tokens.lengths[c] for c in chosen))
    for row, caption in enumerate(chosen):
        own = tokens.ids[tokens.starts[caption] : tokens.starts[caption + 1]].tolist()
        assert ids[row].tolist() == own + [tokens.pad_id] * (ids.shape[1] - len(own))
        assert mask[row].tolist() == [1] * len(own) + [0] * (ids.shape[1] - len(own))


@pytest.mark.parametrize(("chosen", "width"), [([1], 8), ([0, 1, 2], 8), ([3], 16), ([3, 1], 16)])
def test_lengths_of_few_multiples(clip: Clip, chosen: list[int], width: int) -> None:
    tokens = tokenise(clip.tokenizer, CAPTIONS, clip.max_tokens)
    plain, rounded = tokens.batch(np.array(chosen)), tokens.batch(np.array(chosen), ALIGNED)
    assert rounded[0].shape == rounded[1].shape == (len(chosen), width)
    for before, after, padding in zip(plain, rounded, (tokens.pad_id, 0), strict=True):
        assert torch.equal(after[:, : before.shape[1]], before)
        assert (after[:, before.shape[1] :] == padding).all()


def test_no_length_beyond_the_models_maximum(clip: Clip) -> None:
    tokens = tokenise(clip.tokenizer, CAPTIONS, 13)
    assert tokens.batch(np.array([3]), ALIGNED)[0].shape == (1, 13)


@torch.inference_mode()
def test_padding_does_not_change_an_embedding(clip: Clip) -> None:
    tokens = tokenise(clip.tokenizer, CAPTIONS, clip.max_tokens)
    together = embed_texts(clip.model, *tokens.batch(np.arange(5)))
    alone = torch.cat([embed_texts(clip.model, *tokens.batch(np.array([c]))) for c in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    aligned = embed_texts(clip.model, *tokens.batch(np.array([1]), ALIGNED))
    torch.testing.assert_close(aligned, alone[1:2], atol=1e-6, rtol=0)
