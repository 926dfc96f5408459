"""A study of seconds: three arms on two seeds, then the best one and the control on three fresh seeds."""

from __future__ import annotations

from pathlib import Path

import yaml

from simclip.models.tiny import make_tiny_clip
from tests.conftest import draw_pair, write_pairs

NAME = "chaos"
EPOCHS = 4
#: Of the search, and of the confirm stage.
TRIALS = 3 * 2 + 2 * 3


def write_study(folder: Path) -> Path:
    """Draw its pairs, make its model, write its file."""
    write_pairs(folder, "train", range(40))
    write_pairs(folder, "val", range(40, 52))
    captions = [caption for number in range(64) for caption in draw_pair(number)[1]]
    make_tiny_clip(captions, vocabulary=200, image_size=32, width=32, layers=1, most_tokens=16).save(folder / "clip")
    content = {
        "name": NAME,
        "train": {
            "train_tsv": str(folder / "train.tsv"),
            "train_image_dir": str(folder / "images"),
            "val_tsv": str(folder / "val.tsv"),
            "val_image_dir": str(folder / "images"),
            "model": str(folder / "clip"),
            "batch_size": 8,
            "val_batch_size": 8,
            "epochs": EPOCHS,
            "iterations_per_epoch": 30,  # some tenths of a second: most moments fall into an epoch
            "proportion": 0.5,
            "learning_rate": 1e-3,
            "threads": 1,
        },
        "parameters": {"cluster_size": {"values": [2, 4]}},
        "seeds": [1, 2],
        "resources": {"cpus": 0.5},
        "max_concurrent": 2,
        "confirm": {"arms": 1, "seeds": 3},
    }
    path = folder / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
