"""`python -m simclip.tiny --tsv pairs.tsv --to models/tiny`: make a tiny CLIP, for trying things out on a CPU."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from simclip.data.pair_table import read_captions
from simclip.errors import InputError
from simclip.models.tiny import make_tiny_clip


def main(tsv: Path, to: Path, vocabulary: int = 4000, image_size: int = 64, width: int = 96, seed: int = 0) -> None:
    """Make a tiny CLIP from scratch into a local folder.

    Args:
        tsv: Pairs whose captions the tokenizer is trained on.
        to: Folder to write.
        vocabulary: Most tokens of the tokenizer.
        image_size: Side of the input, pixels.
        width: Of both towers.
        seed: Of the weights.
    """
    clip = make_tiny_clip(read_captions(tsv), vocabulary=vocabulary, image_size=image_size, width=width, seed=seed)
    clip.save(to)
    print(f"{to}: a CLIP of {clip.model.num_parameters():,} parameters, untrained: use it with pretrain=true")


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
