"""A whole epoch loop: the demo's data and model; the share of time that is not forward, backward and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import yaml

from simclip.data.training_set import Batch
from simclip.demo.dataset import ensure_dataset
from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from tests.benchmarks import ours, reference
from tests.benchmarks.data import ROOT, unit_vectors
from tests.benchmarks.rows import Row
from tests.benchmarks.timing import elapsed, interleaved

ARMS = {"control": {}, "k = 8, p = 1": {"cluster_size": 8, "proportion": 1.0}}
SAMPLE = 256  # rows that the reference's items and refresh are measured on


def rows(full: bool) -> Iterator[Row]:
    """Two rows for each arm: the training loop with the reference beside it, and all of the epoch, evaluation too."""
    ensure_dataset()
    for name, fields in ARMS.items():
        with TemporaryDirectory() as scratch:
            training = Training(config(10 if full else 5, **fields), Path(scratch))
            yield from measure(name, training)


def config(epochs: int, **fields: object) -> TrainConfig:
    """The demo study's run with one arm's fields."""
    train = yaml.safe_load((ROOT / "studies" / "demo.yaml").read_text(encoding="utf-8"))["train"]
    return TrainConfig(**{**train, "epochs": epochs, "threads": torch.get_num_threads(), **fields})


def measure(name: str, training: Training) -> Iterator[Row]:
    """Train, then lay what the reference would have taken around the same steps beside the quickest epoch."""
    history = training.run(lambda history, checkpoint: None)[1:]
    row = min(history, key=lambda row: row["seconds"])
    epoch, step, evaluating = row["seconds"], row["share/step"], row["share/evaluate"]
    on_pixels = step * pixels_share(training)
    model, loop = step - on_pixels, 1 - evaluating  # shares of the epoch
    theirs = reference_seconds(training)
    share = sum(theirs.values()) / (sum(theirs.values()) + model * epoch)
    device = training.compute.device.type
    goal = 10 if device == "cpu" else 5
    yield Row(
        f"loop outside the model, {name}", f"{training.iterations} batches of {training.config.batch_size}",
        100 * (loop - model) / loop, "%", sum(theirs.values()), epoch * (loop - model), goal, at_most=True,
        note=f"The demo's data and model on the {device.upper()}; fastest of {len(history)} epochs. The time outside "
        f"of forward, backward and update, without evaluation; crop and normalisation are {on_pixels:.1%} of the "
        "epoch. Other threads slow the steps, which is not measured separately. Reference, extrapolated: "
        f"{', '.join(f'{part} {s:.2g} s' for part, s in theirs.items())}, {share:.0%} of its loop.",
    )  # fmt: skip
    split = ", ".join(f"{part.removeprefix('share/')} {row[part]:.1%}" for part in row if part.startswith("share/"))
    yield Row(
        f"epoch outside the model, {name}", f"{training.iterations} batches and evaluation",
        100 * (1 - model), "%", None, epoch * (1 - model), None, at_most=True,
        note=f"The same, with evaluation counted as outside; it has a third as many pictures as the epoch. Shares: "
        f"{split}. Planning runs during the steps or is part of data.",
    )  # fmt: skip


def pixels_share(training: Training) -> float:
    """What part of a step is crop, resize and normalisation, on batches that lie ready."""
    device = training.compute.device
    plan = np.stack([rows for rows, _ in zip(training.planner.plan(0), range(4), strict=False)])
    batches = list(ours.batches(training.data, plan))
    training.clip.model.train()

    def finished(work: Callable[[Batch], object]) -> None:
        for batch in batches:
            work(batch)
        if device.type == "cuda":
            torch.cuda.synchronize()

    step, pixels = interleaved(
        5, lambda: finished(training.step), lambda: finished(lambda batch: ours.pixels(batch, training.clip, device))
    )
    return pixels / step


def reference_seconds(training: Training) -> dict[str, float]:
    """Seconds per epoch of the reference's loader, refresh and selection, by name."""
    data, clip, config = training.data, training.clip, training.config
    random, size = np.random.default_rng(0), clip.image_size
    captions = [data.table.captions[start] for start in data.table.starts[:SAMPLE]]

    def picture(row: int) -> torch.Tensor:
        return reference.training_item(data.table.images[row], random, size * 8 // 7, size, clip.mean, clip.std)

    def load() -> None:
        torch.stack([picture(row) for row in range(SAMPLE)])
        reference.padded(clip.tokenizer, captions, clip.max_tokens)

    pairs = training.iterations * config.batch_size
    seconds = {"data": min(elapsed(load) for _ in range(3)) * pairs / SAMPLE}
    if not config.is_control:
        model, anchors = clip.model.eval(), range(0, len(data), len(data) // 8)
        refresh = elapsed(lambda: reference.refresh(model, clip.tokenizer, captions, picture, SAMPLE, clip.max_tokens))
        embeddings = torch.from_numpy(unit_vectors(len(data), 64))
        grow = elapsed(lambda: reference.grow_clusters(embeddings, list(anchors)[:8], config.cluster_size))
        seconds["refresh"] = refresh * len(data) / SAMPLE
        seconds["selection"] = grow / 8 * pairs / config.cluster_size
    return seconds
