"""`python -m simclip.tiny --tsv pairs.tsv --to models/tiny`: make a tiny CLIP, for trying things out on a CPU."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from simclip.data.pair_table import read_captions
from simclip.errors import InputError
from simclip.models.model_folder import check_target
from simclip.models.tiny import make_tiny_clip


def main(
    tsv: Path,
    to: Path,
    vocabulary: int = 4000,
    image_size: int = 64,
    patch_size: int = 16,
    width: int = 96,
    layers: int = 2,
    most_tokens: int = 32,
    seed: int = 0,
) -> None:
    """Make a tiny CLIP from scratch into a local folder.

    Args:
        tsv: Pairs whose captions the tokenizer is trained on.
        to: Folder to write; new or empty.
        vocabulary: Maximum number of tokens in the vocabulary.
        image_size: Side of the input in pixels, a multiple of the patch size.
        patch_size: Side of a patch in pixels.
        width: Width of both towers, a multiple of 32.
        layers: Number of layers in each tower.
        most_tokens: Maximum number of tokens in a caption.
        seed: Seed of the weights.
    """
    check_target(to)
    if image_size % patch_size or width % 32:
        raise InputError(
            f"--image-size {image_size} --patch-size {patch_size} --width {width}: expected an image size that the "
            "patch size divides, and a width that is a multiple of 32"
        )
    clip = make_tiny_clip(
        read_captions(tsv), vocabulary=vocabulary, image_size=image_size, patch_size=patch_size, width=width,
        layers=layers, most_tokens=most_tokens, seed=seed,
    )  # fmt: skip
    clip.save(to)
    sizes = f"{image_size} pixels, {layers} layers of width {width} in each tower, {most_tokens} tokens"
    print(f"{to}: a CLIP of {clip.model.num_parameters():,} parameters ({sizes}), untrained: use train.pretrain=true")


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
