"""Evaluation: 500 real photographs with five captions each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from simclip.evaluation.sets import load_sets
from simclip.models.clip import Clip
from simclip.models.tiny import make_tiny_clip
from simclip.train.config import TrainConfig
from tests.benchmarks import ours, reference
from tests.benchmarks.data import photographs, read_columns, real_photographs
from tests.benchmarks.rows import Row, speedup
from tests.benchmarks.timing import interleaved

BATCH = 128


def rows(full: bool) -> Iterator[Row]:
    """With the store and without; the reference always decodes."""
    folder, paths = real_photographs(), photographs("val")
    _, columns = read_columns(folder / "val.tsv")
    clip = make_tiny_clip([c for column in columns for c in column], image_size=224, patch_size=32, most_tokens=77)
    model, tokenizer = clip.model.eval(), clip.tokenizer

    def theirs() -> dict[str, float]:
        return reference.evaluate(
            model,
            tokenizer,
            columns,
            lambda row: reference.evaluation_item(paths[row], 224, clip.mean, clip.std),
            BATCH,
        )

    with TemporaryDirectory() as scratch:
        clip.save(Path(scratch) / "clip")
        for store in ("off", "on"):
            config = TrainConfig(
                val_tsv=folder / "val.tsv", val_image_dir=folder / "images", val_batch_size=BATCH,
                model=str(Path(scratch) / "clip"), image_store=store,
            )  # fmt: skip
            yield _compare(config, clip, theirs, "image store" if store == "on" else "on the fly", full)


def _compare(config: TrainConfig, clip: Clip, theirs: Callable[[], object], name: str, full: bool) -> Row:
    (val,) = load_sets(config.evaluation_sets, clip.input_format, config.reading, config.image_store)
    encoder = ours.encoder(clip, config, torch.device("cpu"))
    val.score(encoder)  # decodes into the store, if there is one
    mine, other = interleaved(3 if full else 2, lambda: val.score(encoder), theirs)
    return speedup(
        f"evaluation, {name}", "500 photographs, 2,500 captions", other, mine, 2,
        "A CLIP of width 96, 2 layers, 224 pixels in patches of 32, 77 tokens, fp32. Reference: pictures decoded and "
        "encoded once for the loss and once for recall, captions padded, column by column.",
    )  # fmt: skip
