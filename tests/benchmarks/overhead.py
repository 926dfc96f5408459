"""From the end of one one-worker trial to the first step of the next, under a real local Ray that reuses actors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from simclip.demo.dataset import ensure_dataset
from simclip.models.tiny import make_tiny_clip
from tests.benchmarks.data import ROOT, write_pairs
from tests.benchmarks.peers.plain_tune import trial_to_trial
from tests.benchmarks.rows import Row, Skipped

TRIALS = 8
POLL = 0.004  # seconds


def rows(full: bool) -> Iterator[Row]:
    """Empty trials (one step on tiny pairs), and one-epoch trials of the demo."""
    if find_spec("ray") is None:
        raise Skipped("Ray is not installed")
    import ray

    from simclip.study.execution.cluster import connect

    ensure_dataset()
    cluster = connect("local")
    try:
        with TemporaryDirectory() as scratch:
            folder = Path(scratch)
            demo = yaml.safe_load((ROOT / "studies" / "demo.yaml").read_text(encoding="utf-8"))["train"]
            for name, train, goal in (("empty trials", tiny_train(folder), 0.3), ("the demo", demo, None)):
                yield measure(name, cluster, folder / name.replace(" ", "-"), train, goal)
    finally:
        ray.shutdown()


def tiny_train(folder: Path) -> dict[str, Any]:
    """Training fields of a run that takes no time."""
    make_tiny_clip(["red on blue"], image_size=32, width=32, layers=1).save(folder / "clip")
    return {
        "train_tsv": str(write_pairs(folder, "train", 32)), "train_image_dir": str(folder / "images"),
        "val_tsv": str(write_pairs(folder, "val", 8)), "val_image_dir": str(folder / "images"),
        "model": str(folder / "clip"), "batch_size": 8,
    }  # fmt: skip


class LogWatch:
    """When each trial's log first told of a step, and when it was last written, read off the files every few ms."""

    def __init__(self, logs: Path) -> None:
        self.first_step: dict[str, float] = {}
        self.last_line: dict[str, float] = {}
        self._logs, self._ended = logs, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read the files for the last time."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(POLL):
            for path in self._logs.glob("*.log"):
                self.last_line[path.stem] = path.stat().st_mtime
                if path.stem not in self.first_step and "step 1/" in path.read_text(encoding="utf-8"):
                    self.first_step[path.stem] = time.time()


def measure(name: str, cluster: Any, folder: Path, train: dict[str, Any], goal: float | None) -> Row:
    """Run a study of trials one after the other."""
    from simclip.study.execution.events import Listener
    from simclip.study.execution.ray_executor import RayExecutor
    from simclip.study.execution.resources import resolved
    from simclip.study.execution.run import run_study
    from simclip.study.search.plan import planned_trials
    from simclip.study.spec.arms import Trial
    from simclip.study.store.folder import StudyFolder
    from simclip.study.store.study_file import load_study

    class Events(Listener):
        """The times of what the driver is told."""

        def __init__(self) -> None:
            self.at: dict[str, dict[str, float]] = {}

        def trial_started(self, trial: Trial) -> None:
            self.at[trial.name] = {"started": time.time()}

        def epoch_ended(self, trial: Trial, row: dict[str, Any]) -> None:
            self.at[trial.name][f"epoch {row['epoch']}"] = time.time()
            if row["epoch"] == 0:
                self.at[trial.name]["untouched"] = row["seconds"]

    folder.mkdir()
    train = {**train, "epochs": 1, "iterations_per_epoch": 2, "log_every": 1, "learning_rate": 1e-3, "threads": 1}
    content = {
        "name": "overhead",
        "train": train,
        "parameters": {"cluster_size": {"value": 4}, "proportion": {"value": 0.5}},
        "seeds": list(range(1, TRIALS // 2 + 1)),
        "confirm": None,
        "max_concurrent": 1,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    study = resolved(load_study(folder / "study.yaml"), cluster)
    results, events = StudyFolder(folder / "results"), Events()
    results.claim(study)
    watch = LogWatch(results.logs)
    run_study(study, RayExecutor(study, cluster, results), results, [events])
    watch.stop()
    plain = trial_to_trial(folder / "plain", planned_trials(study)[-1].config, TRIALS)
    return _row(name, list(events.at), events.at, watch, goal, plain)


def _row(
    name: str, order: Sequence[str], at: dict[str, dict[str, float]], watch: LogWatch, goal: float | None, plain: float
) -> Row:
    """Medians over the gaps between trials; the first trial, which starts the actor, only ends one."""
    gaps = list(pairwise(order))
    gap = median(watch.first_step[after] - watch.last_line[before] for before, after in gaps)
    saved = median(at[before]["epoch 1"] - watch.last_line[before] for before, _ in gaps)
    started = median(at[after]["started"] - at[before]["epoch 1"] for before, after in gaps)
    untouched = median(at[after]["untouched"] for _, after in gaps)
    step = median(watch.first_step[after] - at[after]["epoch 0"] for _, after in gaps)
    return Row(
        f"from one trial to the next, {name}", f"{len(order)} trials, one worker", gap, "s", plain, gap, goal,
        at_most=True,
        note=f"From the last log line of a trial to the end of the next one's first step, median of {len(gaps)}. "
        f"Parts: checkpoint and report {saved:.2g} s, record and start {started:.2g} s, loading "
        f"{gap - saved - started - untouched - step:.2g} s, evaluating the base model {untouched:.2g} s, planning "
        f"and the first step {step:.2g} s. Reference: a plain Ray Tune function around the same loop, with Tune's "
        "defaults: a new process for each trial, all checkpoints kept.",
    )  # fmt: skip
