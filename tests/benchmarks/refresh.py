"""Text refresh: embeddings of the 31,014 real captions with the present model, one caption per row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from simclip.data.tokens import tokenise
from simclip.models.tiny import make_tiny_clip
from simclip.train.config import TrainConfig
from tests.benchmarks import ours, reference
from tests.benchmarks.data import enlarged, photographs, real_captions
from tests.benchmarks.rows import Row, speedup
from tests.benchmarks.timing import elapsed, interleaved

TOWERS = {"width 96, 2 layers": (96, 2), "width 128, 4 layers": (128, 4)}
TOKENS = 77
SAMPLE = 256  # captions that the reference embeds: a batch, as ours has it


def rows(full: bool) -> Iterator[Row]:
    """A row for each tower: the smaller it is, the more of the reference's time is pictures."""
    captions = real_captions()
    with TemporaryDirectory() as scratch:
        paths = enlarged(Path(scratch) / "images", photographs()[:SAMPLE])
        for name, (width, layers) in TOWERS.items():
            yield measure(captions, paths, name, width, layers, repeats=5 if full else 2)


def measure(captions: Sequence[str], paths: Sequence[Path], name: str, width: int, layers: int, repeats: int) -> Row:
    """Ours on all captions, the reference on a sample."""
    clip = make_tiny_clip(captions[:5000], width=width, layers=layers, most_tokens=TOKENS)
    config = TrainConfig(val_batch_size=SAMPLE)
    encoder = ours.encoder(clip, config, torch.device("cpu"))
    tokens, everything = tokenise(clip.tokenizer, captions, TOKENS), np.arange(len(captions))
    random = np.random.default_rng(0)
    sample = list(random.permutation(captions)[:SAMPLE])

    def picture(row: int) -> torch.Tensor:
        return reference.training_item(paths[row], random, 256, 224, clip.mean, clip.std)

    model = clip.model.eval()
    mine, theirs, decoding = interleaved(
        repeats,
        lambda: encoder.texts(tokens, everything),
        lambda: reference.refresh(model, clip.tokenizer, sample, picture, SAMPLE),
        lambda: [picture(row) for row in range(SAMPLE)],
    )
    tokenising = elapsed(lambda: clip.tokenizer(list(captions), verbose=False))
    return speedup(
        f"text refresh, {name}", f"{len(captions):,} captions", theirs * len(captions) / SAMPLE, mine, 40,
        f"Flickr30k's captions, fp32, {TOKENS} tokens. Reference: {SAMPLE} drawn captions, extrapolated; "
        f"{decoding / SAMPLE * 1e3:.2g} ms per row for the picture (500 pixels, one process), "
        f"{(theirs - decoding) / SAMPLE * 1e3:.2g} ms for the caption. Ours: all of them, "
        f"{mine / len(captions) * 1e3:.2g} ms per row; tokenising, once per study, takes another {tokenising:.2g} s.",
    )  # fmt: skip
