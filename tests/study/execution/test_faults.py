"""What goes wrong outside of the program: memory, disk, numbers, and a tracker that does not answer."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError

from simclip.errors import ArmError, InputError, full_disk_error, input_error
from simclip.study.execution.ray_executor import is_lost_process, is_out_of_memory, without_ray_frames
from simclip.study.execution.trial import Placement, train_trial
from simclip.study.search.plan import planned_trials
from simclip.study.spec.arms import tune_config
from simclip.study.spec.study import StudyConfig
from simclip.study.store.storage import Disk
from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from simclip.train.memory import memory_advice
from tests.conftest import write_study

ROOT = Path(__file__).parents[3]


def caused(cause: Exception) -> RayTaskError:
    """The error as Ray hands it to the driver."""
    return RayTaskError("run", "Traceback ...", cause).as_instanceof_cause()


def test_only_the_loss_of_a_process_deserves_another_try() -> None:
    assert is_lost_process(ActorDiedError())
    assert is_lost_process(caused(ActorDiedError()))
    for error in (ValueError("a bug"), torch.OutOfMemoryError("CUDA out of memory"), InputError("a bad image")):
        assert not is_lost_process(caused(error))
    assert str(input_error(caused(InputError("a bad image")))) == "a bad image"  # not Ray's traceback


def test_the_log_of_a_failed_trial_holds_no_frames_of_ray() -> None:
    text = """Failure # 1 (occurred at 2026-11-24_20-40-04)
\x1b[36mray::ImplicitFunc.train()\x1b[39m (pid=20279, ip=192.0.2.2, repr=func)
           ^^^^^^^^^^^^^^^
  File "/v/lib/python3.11/site-packages/ray/tune/trainable/trainable.py", line 329, in train
    raise skipped from exception_cause(skipped)
  File "/home/ray/simclip/train/loop.py", line 120, in run
    self.history.append(self._epoch(epoch))
                        ^^^^^^^^^^^^^^^^^^
  File "/v/lib/python3.11/site-packages/ray/train/v2/_internal/util.py", line 89, in train_fn
    return train_func(config)
  File "/v/lib/python3.11/site-packages/torch/nn/module.py", line 7, in call
FloatingPointError: epoch 1: the loss is nan
"""
    assert without_ray_frames(text).splitlines() == [
        '  File "/home/ray/simclip/train/loop.py", line 120, in run',
        "    self.history.append(self._epoch(epoch))",
        "                        ^^^^^^^^^^^^^^^^^^",
        '  File "/v/lib/python3.11/site-packages/torch/nn/module.py", line 7, in call',
        "FloatingPointError: epoch 1: the loss is nan",
    ]


def test_when_one_of_several_workers_dies_the_others_errors_do_not_hide_it() -> None:
    from ray.train import WorkerGroupError

    group = WorkerGroupError("two", {0: RuntimeError("connection reset by peer"), 1: ActorDiedError()})
    assert is_lost_process(caused(group))
    assert not is_lost_process(caused(WorkerGroupError("two", {0: RuntimeError("a bug"), 1: RuntimeError("a bug")})))


def test_a_process_killed_for_memory_is_not_tried_again() -> None:
    assert is_out_of_memory(caused(OutOfMemoryError("Task was killed due to the node running low on memory")))
    assert not is_lost_process(OutOfMemoryError("Task was killed due to the node running low on memory"))


def test_a_full_disk_is_known_for_what_it_is() -> None:
    assert full_disk_error(caused(OSError(errno.ENOSPC, "No space left on device", "/results/x")))
    assert not full_disk_error(caused(FileNotFoundError(errno.ENOENT, "no such file", "/results/x")))


MICRO, EMBEDDED = "train.micro_batch_size=4 (the same gradients", "train.embed_batch_size=4 (items"
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")
CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
HOST = RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried")
PHASES = {
    "step": ("loop.augment", {}, CUDA, "in training (CUDA out of memory.", MICRO, EMBEDDED),
    "evaluation": ("loop.evaluate", {}, HOST, "in evaluation ([enforce", EMBEDDED, MICRO),
    "refresh": ("planning.online_neighbours", {}, MemoryError(), "in refresh (MemoryError)", EMBEDDED, MICRO),
    "offline": ("planning.offline_neighbours", {"embeddings": "offline"}, CUDA, "in refresh (CUDA", EMBEDDED, MICRO),
    "cublas": ("loop.augment", {}, CUBLAS, "in training (CUDA error: CUBLAS", MICRO, EMBEDDED),
    "loading": ("loop.load_model", {}, CUDA, "out of memory (CUDA", f"{MICRO}, in parts), or {EMBEDDED}", "in refresh"),
}


@pytest.mark.parametrize(("place", "train", "error", "where", "advice", "useless"), PHASES.values(), ids=PHASES)
def test_too_little_memory_says_where_and_what_to_try(
    make_study: Callable[..., StudyConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    place: str, train: dict[str, str], error: Exception, where: str, advice: str, useless: str,
) -> None:  # fmt: skip
    def run_out(*args: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(f"simclip.train.{place}", run_out)
    study = make_study(train=train)
    trial = next(trial for trial in planned_trials(study) if not trial.arm.is_control)
    placement = Placement(1, {"CPU": 1}, Disk(str(tmp_path)))
    with pytest.raises(ArmError) as said:
        train_trial(tune_config(trial), placement, "attempt", lambda history, folder: None, device=torch.device("cpu"))
    assert where in str(said.value) and advice in str(said.value) and useless not in str(said.value)
    assert "fewer trials at a time" in str(said.value) and "\n" not in str(said.value)


def test_advice_on_memory_knows_workers_parts_and_devices(config: TrainConfig) -> None:
    large = config.model_copy(update={"batch_size": 1024, "val_batch_size": 1024})
    assert "train.micro_batch_size=128 " in memory_advice(large, 4)  # half of a worker's share
    assert "train.micro_batch_size=8 " in memory_advice(large.model_copy(update={"micro_batch_size": 16}), 4)
    assert "train.embed_batch_size=512 " in memory_advice(large, 4, "evaluation", torch.device("cuda"))
    assert "train.embed_batch_size=64 " in memory_advice(
        large, 4, "evaluation", torch.device("cpu")
    )  # embeds 128 at once
    alone = large.model_copy(update={"micro_batch_size": 1})
    assert "batch" not in memory_advice(alone, 1, "training")


def test_a_loss_that_is_no_number_ends_the_trial(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Training, "step", lambda self, batch: torch.tensor(float("nan")))
    with pytest.raises(FloatingPointError, match=r"epoch 1: the loss is nan; lower train.learning_rate"):
        Training(config, tmp_path).run(lambda history, folder: None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 700 kB: room for some checkpoints of the tiny model, not for all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def tune(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "tune.py", *words], cwd=ROOT, env={**os.environ, **environment}, capture_output=True,
        text=True, timeout=240, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_full_disk_stops_the_study_and_leaves_what_was_done(
    config: TrainConfig, tmp_path: Path, small_disk: Path
) -> None:
    study = write_study(config, tmp_path / "tiny.yaml", train={"epochs": 3}, max_concurrent=1)
    end = tune("run", str(study), "--results", str(small_disk))
    assert end.returncode == 1, end.stderr
    assert end.stderr.count("\n") == 1, end.stderr
    assert "no space left" in end.stderr
    assert "run the same command to resume" in end.stderr
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    end = tune("run", str(study), "--results", str(small_disk))
    assert end.returncode == 0, end.stderr
    assert len(list((small_disk / "tiny" / "trials").glob("*.jsonl"))) == 3


@pytest.mark.slow
def test_a_tracker_that_does_not_answer_stops_nothing(config: TrainConfig, tmp_path: Path) -> None:
    study = write_study(config, tmp_path / "tiny.yaml", train={"epochs": 3}, max_concurrent=1)
    end = tune(
        "run", str(study), "--results", str(tmp_path / "results"), "parameters.cluster_size.values=[2]",
        WANDB_MODE="online", WANDB_BASE_URL="http://127.0.0.1:9", WANDB_API_KEY="x" * 40, WANDB_INIT_TIMEOUT="3",
    )  # fmt: skip
    assert end.returncode == 0, end.stderr
    assert "Weights & Biases does not answer" in end.stdout
    assert "wandb sync" in end.stdout
    assert list((tmp_path / "results" / "tiny" / "wandb").glob("offline-run-*"))
