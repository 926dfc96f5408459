"""OpenCLIP's own trainer beside ours: the same photographs, model, batch size and threads, each in its own process.

It needs OpenCLIP: run it in an environment of requirements-evaluation.txt.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch

from simclip.models.open_clip.export import write_both
from simclip.models.tiny import make_tiny_clip
from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from tests.benchmarks.data import read_columns, real_photographs
from tests.benchmarks.rows import Row, Skipped
from tests.benchmarks.timing import printed_by

BATCH = 64
#: Our variants, by name.
VARIANTS: dict[str, dict[str, Any]] = {
    "control": {"image_store": "on"},
    "control, on the fly": {"image_store": "off"},
    "k = 8, p = 1": {"image_store": "on", "cluster_size": 8, "proportion": 1.0},
}


def rows(full: bool) -> Iterator[Row]:
    """CPU seconds of an epoch of training."""
    if find_spec("open_clip_train") is None:
        raise Skipped("OpenCLIP is not installed: run it in an environment of requirements-evaluation.txt")
    photographs = real_photographs()
    names, captions = read_columns(photographs / "train.tsv")
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        every = [caption for column in captions for caption in column]
        clip = make_tiny_clip(every, image_size=224, patch_size=32, width=128, layers=3)
        write_both(clip, folder / "clip")
        images = [str(photographs / "images" / name) for name in names]
        with (folder / "train.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t").writerows([("image", "caption"), *zip(images, captions[0], strict=True)])
        lines = (photographs / "val.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / "val.tsv").write_text("".join(lines[:9]), encoding="utf-8")  # evaluation counts for next to nothing
        words = str(folder), str(3 if full else 1), str(torch.get_num_threads())
        theirs = printed_by("peers.open_clip", "OpenCLIP", *words)
        size = f"{len(names):,} photographs, batches of {BATCH}"
        for variant in VARIANTS:
            ours = printed_by("peers.open_clip", variant, *words)
            yield Row(
                f"an epoch of training, {variant}", size, theirs / ours, "x", theirs, ours, goal=1,
                note="CPU seconds, the least of the epochs, after one that warms up; data, steps and our checkpoint "
                "included. Reference: OpenCLIP's train_one_epoch with its own loader, in one process; it draws no "
                "captions. A CLIP of width 128, 3 layers, 224 pixels in patches of 32, 32 tokens, fp32.",
            )  # fmt: skip


def theirs(folder: Path, epochs: int) -> list[float]:
    """CPU seconds of each epoch of OpenCLIP's trainer, set up as its command line does it."""
    import open_clip
    from open_clip_train.data import get_csv_dataset
    from open_clip_train.train import train_one_epoch

    place = f"local-dir:{folder / 'clip'}"
    model, preprocess, _ = open_clip.create_model_and_transforms(place, output_dict=True)
    args = SimpleNamespace(
        train_data=str(folder / "train.csv"), csv_img_key="image", csv_caption_key="caption", csv_separator="\t",
        batch_size=BATCH, workers=0, distributed=False, device="cpu", precision="fp32", distill=False, accum_freq=1,
        skip_scheduler=True, horovod=False, grad_clip_norm=None, rank=0, world_size=1, log_every_n_steps=100,
        wandb=False,
    )  # fmt: skip
    data = get_csv_dataset(args, preprocess, is_train=True, tokenizer=open_clip.get_tokenizer(place))
    named = list(model.named_parameters())
    small = [weight for name, weight in named if weight.ndim < 2 or "logit_scale" in name]
    others = [weight for name, weight in named if not (weight.ndim < 2 or "logit_scale" in name)]
    groups = [{"params": small, "weight_decay": 0.0}, {"params": others, "weight_decay": 0.1}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.98), eps=1e-6)
    marks = [time.process_time()]
    for epoch in range(epochs):
        train_one_epoch(model, {"train": data}, open_clip.ClipLoss(), epoch, optimizer, None, None, None, args)
        marks.append(time.process_time())
    return [after - before for before, after in pairwise(marks)]


def ours(folder: Path, epochs: int, fields: dict[str, Any]) -> list[float]:
    """CPU seconds of each epoch of our loop; the store of pictures is made before."""
    photographs = real_photographs()
    config = TrainConfig(
        train_tsv=photographs / "train.tsv", train_image_dir=photographs / "images", val_tsv=folder / "val.tsv",
        val_image_dir=photographs / "images", model=str(folder / "clip"), batch_size=BATCH, epochs=epochs,
        learning_rate=1e-4, threads=torch.get_num_threads(), precision="fp32", **fields,
    )  # fmt: skip
    marks: list[float] = []
    Training(config, folder / "epochs").run(lambda history, checkpoint: marks.append(time.process_time()))
    return [after - before for before, after in pairwise(marks)]  # the first mark is the base model's


if __name__ == "__main__":
    name, place, epochs, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    asked = Path(place), int(epochs) + 1
    seconds = theirs(*asked) if name == "OpenCLIP" else ours(*asked, VARIANTS[name])
    print(min(seconds[1:]))
