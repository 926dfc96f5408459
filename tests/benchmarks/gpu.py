"""A GPU's share: ViT-B/32 steps at batch 1024 in bf16, plans of 118,287 and 3,000,000 rows, the paper's run projected.

Runs by itself, and prints a JSON line per row, where only what the training core imports is installed: torch, numpy,
transformers (with tokenizers and safetensors), pillow, pandas, pydantic, ftfy, rich. Ray, tyro, Optuna, W&B and
TensorBoard may be missing. 32 GB of main memory are wanted for the 3,000,000 rows.

python -m tests.benchmarks.gpu [--full]
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessorPil, CLIPModel

from simclip.data.image_store import ImageStore
from simclip.data.pair_table import offsets
from simclip.data.table import Table
from simclip.data.tokens import Tokens
from simclip.data.training_set import Batch
from simclip.evaluation.kinds.retrieval import mean_loss, recall_metrics
from simclip.models.clip import Clip
from simclip.models.flops import FlopCounter, peak_flops
from simclip.models.loss import clip_loss
from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from tests.benchmarks import ours
from tests.benchmarks.data import ROOT, unit_vectors, write_pairs
from tests.benchmarks.rows import Row, Skipped
from tests.benchmarks.selection import RECIPE

GIB = 2**30
STEPS, REFRESHES = 2320, 20  # of the paper's run on COCO


@dataclass(frozen=True)
class Case:
    """Sizes of what is measured; by default the paper's run on COCO."""

    model: CLIPConfig = field(default_factory=CLIPConfig)  # the defaults are ViT-B/32
    batch: int = 1024
    micro_batch: int = 256
    rows: int = 118_287
    many_rows: int = 3_000_000
    val_images: int = 5000
    steps: int = 20


def rows(full: bool) -> Iterator[Row]:
    """Of the card at hand."""
    if not torch.cuda.is_available():
        raise Skipped("no CUDA device")
    yield from measure(Case(steps=60 if full else 20), torch.device("cuda"), full)


def measure(case: Case, device: torch.device, full: bool) -> Iterator[Row]:
    """Steps, plans, refresh and evaluation, and what they come to."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_model(case.model, folder / "clip")
        write_pairs(folder, "train", case.batch)
        training = make_training(case, folder, device)
        yield from step_rows(case, training, "")
        parts = Parts(case, training)
        parts.loop = loop_seconds(training, case)
        parts.refresh, parts.evaluation = refresh_seconds(training, case), evaluation_seconds(training, case)
        del training
        yield from step_rows(case, make_training(case, folder, device, micro_batch_size=case.micro_batch), ", micro")
    parts.plan, row = plan_row(case.rows, case.rows // RECIPE.batch_size, device)
    yield row
    yield plan_row(case.many_rows, case.many_rows // RECIPE.batch_size if full else 116, device)[1]
    yield parts.projection()


def write_model(config: CLIPConfig, folder: Path) -> None:
    """A CLIP of random weights, with the demo's small tokenizer."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "datasets" / "demo-base")
    config.text_config.eos_token_id = tokenizer.eos_token_id
    model = CLIPModel(config)
    size = model.vision_model.config.image_size
    processor = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    Clip(model, tokenizer, processor).save(folder)


def make_training(case: Case, folder: Path, device: torch.device, **fields: Any) -> Training:
    """A run of small pictures from the store, with made-up captions of COCO's length."""
    config = TrainConfig(
        train_tables=[Table(tsv=folder / "train.tsv", image_dir=folder / "images")], model=str(folder / "clip"),
        batch_size=case.batch, val_batch_size=case.batch, iterations_per_epoch=case.steps, image_store="on",
        precision="bf16", **fields,
    )  # fmt: skip
    training = Training(config, folder / "run", device)
    training.data = replace(training.data, tokens=made_up_tokens(len(training.data.tokens), training.clip))
    return training


def made_up_tokens(captions: int, clip: Clip) -> Tokens:
    """Random ids, 13 a caption on average and 10 at least, with a tail such that the longest of 1024 has about 31."""
    random = np.random.default_rng(0)
    text = clip.model.text_model.config
    lengths = np.minimum(10 + random.exponential(3, captions).astype(int), text.max_position_embeddings)
    starts = offsets(lengths)
    ids = random.integers(text.eos_token_id + 1, text.vocab_size, starts[-1]).astype(np.int32)
    ids[starts[1:] - 1] = text.eos_token_id
    return Tokens(ids, starts, 0, 0)


def step_rows(case: Case, training: Training, suffix: str) -> Iterator[Row]:
    """Pairs per second, memory and model FLOPs utilisation of steps on batches that lie ready in pinned memory."""
    device, tokens = training.compute.device, training.data.tokens
    side = round(training.clip.image_size * 8 / 7)
    batches = [made_up_batch(case.batch, side, tokens, number, pin=device.type == "cuda") for number in range(4)]
    _reset_peak(device)
    seconds = _per_item(training.step, [batches[number % 4] for number in range(case.steps)], device)
    longest = [batch.ids.shape[1] for batch in batches]
    size = f"{case.batch} pairs" + (f" in parts of {case.micro_batch}" if suffix else "")
    note = (
        f"Whole training step, bf16 autocast: copy of uint8 pixels, crop, towers, loss, update; captions padded to the "
        f"longest of the batch ({min(longest)} to {max(longest)} tokens). Peak device memory {_peak(device):.3g} GiB."
    )
    yield Row(f"step, ViT-B/32{suffix}", size, case.batch / seconds, "pairs/s", ours=seconds, note=note)
    if peak := peak_flops(device, torch.bfloat16):
        counter = FlopCounter(training.clip.model)
        flops = sum(counter.step(case.batch, tokens) for tokens in longest) / len(longest)
        yield Row(f"step, ViT-B/32{suffix}: MFU", size, 100 * flops / seconds / peak, "%", ours=seconds,
                  goal=None if suffix else 40, note=f"Of {peak / 1e12:.0f} TFLOP/s; {flops / 1e12:.3g} TFLOP a step, "
                  "of the tokens that are computed.")  # fmt: skip


def made_up_batch(size: int, side: int, tokens: Tokens, number: int, pin: bool) -> Batch:
    """Random pixels, with captions from the tokens given."""
    random = np.random.default_rng(number)
    pixels = torch.from_numpy(random.integers(0, 256, (size, 3, side, side), dtype=np.uint8))
    boxes = torch.tensor([0.05, 0.05, 0.9, 0.9]).repeat(size, 1)
    parts = (pixels, boxes, *tokens.batch(random.integers(0, len(tokens), size)))
    return Batch(*(part.pin_memory() if pin else part for part in parts))


def loop_seconds(training: Training, case: Case) -> float:
    """Seconds per step with the batches from the image store, as an epoch has them."""
    plan = [np.random.default_rng(number).permutation(case.batch) for number in range(case.steps)]
    batches = ours.batches(training.data, np.stack(plan), pin=training.compute.device.type == "cuda")
    return _per_item(training.step, batches, training.compute.device)


def refresh_seconds(training: Training, case: Case) -> float:
    """Of the text embeddings of as many captions as there are rows."""
    tokens = made_up_tokens(case.rows, training.clip)
    return _twice(lambda: training.encoder.texts(tokens, np.arange(case.rows)))


def evaluation_seconds(training: Training, case: Case) -> float:
    """Of recall and loss on pictures from the store, with five captions each."""
    tokens = made_up_tokens(5 * case.val_images, training.clip)
    owner = torch.arange(len(tokens)) // 5
    side = training.clip.image_size
    with NamedTemporaryFile(suffix=".u8") as file:
        np.random.default_rng(0).integers(0, 256, (case.val_images, side, side, 3), dtype=np.uint8).tofile(file.name)
        pictures = ImageStore(Path(file.name), [], side, np.arange(case.val_images))

    def score() -> None:
        images = training.encoder.images(pictures, case.val_images)
        captions = training.encoder.texts(tokens, np.arange(len(tokens)))
        mean_loss(images, captions, owner, partial(clip_loss, logit_scale=50.0), case.batch)
        recall_metrics(images, captions, owner)

    return _twice(score)


def plan_row(size: int, iterations: int, device: torch.device) -> tuple[float, Row]:
    """Seconds of an epoch's plan, and a row of the memory it took on the device."""
    embeddings = unit_vectors(size)
    _reset_peak(device)
    begin = time.perf_counter()
    ours.plan(RECIPE, embeddings, iterations, device)
    seconds = time.perf_counter() - begin
    whole = size // RECIPE.batch_size
    note = f"N = 1024, 64 clusters of 16, 512-d: {iterations} of {whole} batches, {seconds / iterations:.3g} s each."
    row = Row("plan on the GPU, peak device memory", f"{size:,} rows, {iterations} batches", _peak(device), "GiB",
              ours=seconds, goal=8, at_most=True, note=note)  # fmt: skip
    return seconds * whole / iterations, row


class Parts:
    """Seconds of what a run consists of: a step in the loop, a refresh, an epoch's plan, an evaluation."""

    def __init__(self, case: Case, training: Training) -> None:
        self.case, self.device = case, str(training.compute)
        self.loop = self.refresh = self.plan = self.evaluation = 0.0

    def projection(self) -> Row:
        """Minutes of the paper's run on COCO, nothing of it hidden behind anything else."""
        seconds = STEPS * self.loop + REFRESHES * (self.refresh + self.plan + self.evaluation)
        return Row(
            "the paper's COCO run, projected", f"{STEPS:,} steps, {REFRESHES} epochs", seconds / 60, "min",
            ours=seconds, goal=7, at_most=True,
            note=f"{self.device}. A step with its batch from the image store {self.loop:.3g} s; an epoch's refresh "
            f"of {self.case.rows:,} captions {self.refresh:.3g} s, plan {self.plan:.3g} s (counted whole, though it "
            f"streams), evaluation of {self.case.val_images:,} pictures and {5 * self.case.val_images:,} captions "
            f"{self.evaluation:.3g} s. Checkpoints and start are left out.",
        )  # fmt: skip


def _per_item(step: Callable[[Batch], Any], batches: Iterable[Batch], device: torch.device) -> float:
    """Seconds per batch; the first five warm up."""
    count, begin = 0, 0.0
    for number, batch in enumerate(batches):
        if number == 5:
            _synchronise(device)
            begin = time.perf_counter()
        step(batch)
        count = number - 4
    _synchronise(device)
    return (time.perf_counter() - begin) / count


def _twice(function: Callable[[], Any]) -> float:
    """Seconds of the second call."""
    function()
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: torch.device) -> float:
    """GiB that tensors have taken at most."""
    return torch.cuda.max_memory_allocated() / GIB if device.type == "cuda" else 0.0


if __name__ == "__main__":
    with TemporaryDirectory() as cache:
        os.environ["SIMCLIP_CACHE"] = cache
        for each in rows("--full" in sys.argv):
            print(json.dumps({**asdict(each), "reached": each.reached}), flush=True)
