"""One training item, from real photographs: squashed to 256 pixels, 224 after the crop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from simclip.models.tiny import make_tiny_clip
from simclip.train.config import TrainConfig
from simclip.train.load import load_data
from tests.benchmarks import ours, reference
from tests.benchmarks.data import enlarged, photographs
from tests.benchmarks.rows import Row, speedup
from tests.benchmarks.timing import interleaved

BATCH = 64
SOURCES = {"500 pixels": 500, "300 pixels": 300}  # the longer side; the photographs lie there with at most 300
GOALS = {"off": 2.5, "on": 9.0}
NAMES = {"off": "on the fly", "on": "image store"}


def rows(full: bool) -> Iterator[Row]:
    """On the fly and from the store, each as the host makes it and with what the device does to it."""
    originals = photographs()[: (8 if full else 3) * BATCH]
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_tiny_clip(["a photo"], image_size=224, patch_size=32, width=32, layers=1).save(folder / "clip")
        for source, side in SOURCES.items():
            paths = enlarged(folder / source, originals, side)
            (folder / f"{side}.tsv").write_text(
                "\n".join(["image\tcaption1", *(f"{path.name}\ta photo" for path in paths)]), encoding="utf-8"
            )
            for store in ("off", "on"):
                config = TrainConfig(
                    train_tsv=folder / f"{side}.tsv", train_image_dir=folder / source, batch_size=BATCH,
                    image_store=store, model=str(folder / "clip"),
                )  # fmt: skip
                yield from measure(config, paths, source)


def measure(config: TrainConfig, paths: Sequence[Path], source: str) -> Iterator[Row]:
    """Both rows of one setting."""
    clip = make_tiny_clip(["a photo"], image_size=224, patch_size=32, width=32, layers=1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plan = np.random.default_rng(0).permutation(len(paths)).reshape(-1, BATCH)
    random = np.random.default_rng(0)
    data = load_data(config, clip)

    def originals() -> None:
        for batch in plan:
            items = [reference.training_item(paths[row], random, 256, 224, clip.mean, clip.std) for row in batch]
            torch.stack(items).to(device)

    def host() -> None:
        for _ in ours.batches(data, plan):
            pass

    def host_and_device() -> None:
        for batch in ours.batches(data, plan):
            ours.pixels(batch, clip, device)
        if device.type == "cuda":
            torch.cuda.synchronize()

    host()  # decodes into the store, if there is one
    yield from _rows(config.image_store, source, plan.size, device.type, (originals, host, host_and_device))


def _rows(store: str, source: str, count: int, device: str, functions: Sequence[Callable[[], None]]) -> Iterator[Row]:
    theirs, host, whole = (seconds / count for seconds in interleaved(3, *functions))
    size = f"{count} photographs, {source}"
    yield speedup(
        f"training item, {NAMES[store]}", size, theirs, whole, GOALS[store],
        f"Batches of {BATCH}, one process. Ours: pixels and token ids as the training process receives them, then "
        f"crop, resize and normalisation of the whole batch on the device, here the {device.upper()}. The "
        "photographs have at most 300 pixels a side; for 500 they are enlarged to the size that Flickr serves.",
    )  # fmt: skip
    yield speedup(f"{NAMES[store]}, host's part alone", size, theirs, host,
                  note="The time that the training process waits; the device does the rest.")  # fmt: skip
