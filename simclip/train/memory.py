"""What to change when a run needs more memory than there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import torch

from simclip.errors import ArmError
from simclip.models.encoder import CPU_BLOCK
from simclip.train.config import TrainConfig

#: What a run does when its memory runs out; None if that is not known, or it was loading.
Phase: TypeAlias = Literal["training", "evaluation", "refresh"]

#: How errors without a type of their own say that memory ran out: the host's allocator, CUDA's and cuBLAS's.
SIGNS = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
FEWER = "fewer trials at a time (max_concurrent, or more resources per trial)"


@contextmanager
def memory_checked(
    config: TrainConfig, workers: int, phase: Phase | None = None, device: torch.device | None = None
) -> Iterator[None]:
    """Say what to change if the block runs out of memory, on a GPU or on the host.

    Args:
        config: The run.
        workers: Number of workers that share its batch.
        phase: What the block does.
        device: Where it computes.

    Raises:
        ArmError: The memory was too little.
    """
    try:
        yield
    except ArmError:  # says already what to change
        raise
    except Exception as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and not any(sign in str(error) for sign in SIGNS):
            raise
        said = " ".join((str(error) or type(error).__name__).splitlines()[0].split())
        where = f" in {phase}" if phase else ""
        raise ArmError(f"out of memory{where} ({said}); try {memory_advice(config, workers, phase, device)}") from error


def memory_advice(
    config: TrainConfig, workers: int, phase: Phase | None = None, device: torch.device | None = None
) -> str:
    """What to change for a run that ran out of memory; the arguments are those of `memory_checked`."""
    trained = config.micro_batch_size or -(-config.batch_size // workers)
    embedded = config.embed_batch_size or config.val_batch_size
    embedded = embedded if device and device.type != "cpu" else min(embedded, CPU_BLOCK)
    training = f"train.micro_batch_size={trained // 2} (the same gradients, in parts)" if trained > 1 else ""
    embedding = f"train.embed_batch_size={embedded // 2} (items embedded at a time)" if embedded > 1 else ""
    choices = {"training": [training], None: [training, embedding]}.get(phase, [embedding])
    return ", or ".join([*filter(None, choices), FEWER])
