"""A study of very many trials with almost no training: what a trial costs at its start and at its end.

`python tune.py run`, `report` and `status` run as a person runs them, in processes of their own.

python -m tests.benchmarks.trials [--trials 1000] [--searcher random]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import tyro
import yaml

from tests.benchmarks.data import ROOT
from tests.benchmarks.overhead import tiny_train
from tests.benchmarks.processes import Sample, Sampler
from tests.benchmarks.rows import Row, Skipped

#: The confirm stage: two arms on this number of fresh seeds.
CONFIRM_SEEDS = 3
PART = 100  # trials that are compared
MB = 1e6


def rows(full: bool) -> Iterator[Row]:
    """Of 1,000 trials; of 300 in a short run."""
    if not Path("/proc/self/stat").exists():
        raise Skipped("CPU seconds of other processes are read from /proc, which only Linux has")
    with TemporaryDirectory() as scratch:
        yield from measure(Path(scratch), 1000 if full else 300, "random")


def content(folder: Path, trials: int, searcher: str) -> dict[str, Any]:
    """A study file whose search and confirm stage have so many trials together."""
    seeds = [1] if searcher == "optuna" else [1, 2]
    return {
        "name": "many",
        "train": {**tiny_train(folder), "epochs": 1, "iterations_per_epoch": 2},
        "parameters": {
            "cluster_size": {"values": [2, 4]},
            "proportion": {"values": [0.5, 1.0]},
            "learning_rate": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2},
        },
        "searcher": searcher,
        "trials": (trials - 2 * CONFIRM_SEEDS) // len(seeds),
        "seeds": seeds,
        "confirm": {"arms": 1, "seeds": CONFIRM_SEEDS},
        "max_concurrent": 1,
    }


@dataclass(frozen=True)
class Command:
    """How a command ran.

    Attributes:
        seconds: Seconds by the clock.
        cpu: CPU seconds.
    """

    seconds: float
    cpu: float


def timed(*words: str) -> Command:
    """Run a command of tune.py."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "tune.py", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Command(time.perf_counter() - begin, cpu)


def measure(scratch: Path, trials: int, searcher: str) -> Iterator[Row]:
    """Run the study, then its report and its status."""
    (scratch / "study.yaml").write_text(yaml.safe_dump(content(scratch, trials, searcher)), encoding="utf-8")
    command = [sys.executable, "tune.py", "run", str(scratch / "study.yaml"), "--results", str(scratch / "results")]
    with (scratch / "output").open("w", encoding="utf-8") as output:
        run = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        sampler = Sampler(run.pid)
        run.wait()
        sampler.stop()
    results = scratch / "results" / "many"
    starts = sorted(_starts(results / "trials"))
    if len(starts) < trials - 2 * CONFIRM_SEEDS - 4:
        print((scratch / "output").read_text(encoding="utf-8")[-2000:], file=sys.stderr)
        raise RuntimeError(f"only {len(starts)} of {trials} trials have run")
    yield from _overhead(sampler, starts, searcher)
    report, status = timed("report", str(results)), timed("status", str(results))
    size = f"{len(starts) + 2 * CONFIRM_SEEDS:,} trials"
    yield Row("report.html", size, (results / "report.html").stat().st_size / MB, "MB", ours=report.seconds, goal=1,
              at_most=True, note=f"Written in {report.cpu:.3g} CPU seconds, imports included.")  # fmt: skip
    yield Row("status of a study", size, status.cpu, "CPU s", ours=status.seconds, goal=1, at_most=True,
              note="A process of its own, imports included.")  # fmt: skip


def _starts(folder: Path) -> Iterator[float]:
    """When each trial of the search started, in seconds since 1970."""
    for path in folder.glob("*.jsonl"):
        with path.open(encoding="utf-8") as lines:
            head = json.loads(next(lines))
        if head["stage"] == "search":
            yield head["started"]


def _overhead(sampler: Sampler, starts: list[float], searcher: str) -> Iterator[Row]:
    """What the first and the last trials of the search cost; the very first, which starts Ray's actor, is left out."""
    part = min(PART, (len(starts) - 2) // 2)
    gaps = [after - before for before, after in pairwise(starts)][1:]
    clock = median(gaps[:part]), median(gaps[-part:])
    marks = [sampler.at(starts[place]) for place in (1, 1 + part, -1 - part, -1)]
    trees, drivers = _each(marks, "tree", part), _each(marks, "driver", part)
    size = f"last {part} of {len(starts):,} trials, {searcher}"
    yield Row(
        "a trial at the end, relative to the start", size, trees[1] / trees[0], "x", trees[0], trees[1], 1.2, True,
        note=f"CPU seconds per trial of all processes, trials one at a time: the first {part} (as reference) and the "
        f"last {part} (as ours). By the clock {clock[0]:.3g} s and {clock[1]:.3g} s, median. The driver alone "
        f"{drivers[0]:.3g} and {drivers[1]:.3g} CPU seconds.",
    )  # fmt: skip
    memory = [mark.memory / MB for mark in marks]
    yield Row(
        "driver's memory at the end", size, memory[3], "MB", goal=memory[1] * 1.2, at_most=True,
        note=f"Resident; {memory[0]:.0f} MB at the first trial, {memory[1]:.0f} MB after {part}, {memory[2]:.0f} MB "
        f"before the last {part}. The goal is 1.2 times that after {part}.",
    )  # fmt: skip


def _each(marks: list[Sample], name: str, part: int) -> tuple[float, float]:
    """CPU seconds per trial in the first and in the last part."""
    first, after_first, before_last, last = (getattr(mark, name) for mark in marks)
    return (after_first - first) / part, (last - before_last) / part


def main(trials: int = 1000, searcher: str = "random", keep: Path | None = None) -> None:
    """Measure, and print a JSON line per row.

    Args:
        trials: number of trials of both stages.
        searcher: random or optuna.
        keep: folder to keep the results in.
    """
    with TemporaryDirectory() as scratch:
        os.environ["SIMCLIP_CACHE"] = f"{scratch}/cache"
        for each in measure(keep or Path(scratch), trials, searcher):
            print(json.dumps({**vars(each), "reached": each.reached}), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
