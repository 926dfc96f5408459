"""Results of a study, derived from its trial records alone."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

import simclip
from simclip.checkpoint import Row
from simclip.study.config import StudyConfig
from simclip.study.records import Record, write_atomically

PACKAGES = ("torch", "transformers", "ray", "numpy", "pillow", "optuna", "tokenizers")
NOT_METRICS = ("epoch", "seconds", "pairs_per_second", "mfu")


@dataclass(frozen=True)
class ArmResult:
    """One arm over its seeds.

    Attributes:
        scores: The objective at the best epoch, by seed, of the trials that have one and did not fail.
        mean: Of the scores; None where there are none.
        std: Sample standard deviation of the scores; None below two.
        difference: Mean difference to the best control on the seeds that both have.
        metrics: Mean of every metric at the best epoch.
        complete: Whether every trial of the arm that has ended was finished, none failed or stopped.
    """

    name: str
    control: bool
    scores: dict[int, float]
    mean: float | None
    std: float | None
    difference: float | None
    metrics: dict[str, float]
    complete: bool


def rank_arms(records: Mapping[str, Record]) -> list[ArmResult]:
    """All arms that have an ended trial, the best mean first; arms without a score come last."""
    if not records:
        return []
    sign = 1 if next(iter(records.values())).config.mode == "max" else -1
    by_arm: dict[str, list[Record]] = {}
    for record in records.values():
        by_arm.setdefault(record.arm, []).append(record)
    means = {name: _mean(list(_scores(those).values())) for name, those in by_arm.items()}

    def place(name: str) -> tuple[bool, float]:
        mean = means[name]
        return mean is None, -sign * (mean or 0.0)

    order = sorted(by_arm, key=place)
    control = next((name for name in order if by_arm[name][0].control and means[name] is not None), None)
    return [_arm_result(name, by_arm[name], by_arm.get(control or "", [])) for name in order]


def _arm_result(name: str, records: list[Record], control: list[Record]) -> ArmResult:
    scores, reference = _scores(records), _scores(control)
    shared = [scores[seed] - reference[seed] for seed in scores if seed in reference]
    return ArmResult(
        name,
        records[0].control,
        scores,
        _mean(list(scores.values())),
        statistics.stdev(scores.values()) if len(scores) > 1 else None,
        _mean(shared),
        mean_metrics([record.best for record in records if record.best and record.seed in scores]),
        all(record.outcome == "finished" for record in records),
    )


def _scores(records: list[Record]) -> dict[int, float]:
    """By seed, of the trials that have one; what a failed trial had reached is no score."""
    ended = sorted((r for r in records if r.outcome != "failed"), key=lambda r: r.seed)
    return {r.seed: r.score for r in ended if r.score is not None}


def mean_metrics(rows: list[Row]) -> dict[str, float]:
    """The mean of every evaluation metric over some rows."""
    names = [name for name in (rows[0] if rows else {}) if name not in NOT_METRICS and not _is_clock(name)]
    return {name: statistics.fmean(row[name] for row in rows) for name in names}


def untouched_metrics(records: Mapping[str, Record]) -> dict[str, float]:
    """What the model scored before any training, as the first record has it."""
    rows = [record.history[0] for record in records.values() if record.history]
    return mean_metrics(rows[:1])


def best_arm(records: Mapping[str, Record], seeds: int) -> ArmResult | None:
    """The arm with the best mean among those that finished all of their seeds."""
    whole = [arm for arm in rank_arms(records) if arm.complete and len(arm.scores) >= seeds]
    return whole[0] if whole else None


def write_results(folder: Path, study: StudyConfig, records: Mapping[str, Record], hardware: dict[str, Any]) -> None:
    """Write trials.csv, results.json and best.yaml anew from the records.

    Args:
        folder: Of the study's results.
        study: The study as it ran.
        records: Of its ended trials.
        hardware: What it ran on.
    """
    write_atomically(folder / "trials.csv", trial_table(records).to_csv(index=False))
    best = best_arm(records, len(study.seeds))
    content = {
        "study": study.name,
        "metric": study.metric,
        "mode": study.mode,
        "seeds": study.seeds,
        "untouched": untouched_metrics(records),
        "arms": [asdict(arm) for arm in rank_arms(records)],
        "best": best.name if best else None,
        "cost": cost(study, records),
        "versions": versions(),
        "git_commit": git_commit(),
        "hardware": hardware,
    }
    write_atomically(folder / "results.json", json.dumps(content, indent=2) + "\n")
    if best:
        record = records[f"{best.name}-s{study.seeds[0]}"]
        write_atomically(folder / "best.yaml", yaml.safe_dump(_best(study, record), sort_keys=False))


def _best(study: StudyConfig, record: Record) -> dict[str, Any]:
    assert record.best is not None
    return {
        "trial": record.trial,
        "study": study.name,
        "train": record.config.model_dump(mode="json"),
        "resources": study.resources.model_dump(mode="json"),
        "expect": {"epoch": record.best["epoch"], **mean_metrics([record.best])},
    }


def trial_table(records: Mapping[str, Record]) -> pd.DataFrame:
    """A row per ended trial: outcome, score, every metric at the best epoch, configuration."""
    rows = []
    for record in records.values():
        head = {"trial": record.trial, "arm": record.arm, "seed": record.seed, "control": record.control,
                "outcome": record.outcome, "score": record.score,
                "best_epoch": record.best["epoch"] if record.best else None, "seconds": round(record.seconds, 3),
                "error": record.error}  # fmt: skip
        config = {f"config/{name}": value for name, value in record.config.model_dump(mode="json").items()}
        rows.append({**head, **(mean_metrics([record.best]) if record.best else {}), **config})
    return pd.DataFrame(rows)


def cost(study: StudyConfig, records: Mapping[str, Record]) -> dict[str, dict[str, float]]:
    """Wall, CPU and GPU hours of the trials, by how they ended."""
    workers = study.resources.workers
    spent: dict[str, dict[str, float]] = {}
    for outcome in ("finished", "stopped", "failed"):
        hours = sum(record.seconds for record in records.values() if record.outcome == outcome) / 3600
        spent[outcome] = {
            "trials": sum(record.outcome == outcome for record in records.values()),
            "trial_hours": hours,
            "cpu_hours": hours * workers * (study.resources.cpus or 1),
            "gpu_hours": hours * workers * (study.resources.gpus or 0),
        }
    return spent


def versions() -> dict[str, str]:
    """Of Python and of the packages that the numbers depend on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def git_commit() -> str | None:
    """The project's commit, with a + where files differ from it; None outside of a checkout."""
    root = Path(simclip.__file__).parents[1]
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            cwd=root, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def hardware(cpus: float, gpus: float) -> dict[str, Any]:
    """What a study runs on, as the driver sees it."""
    names = sorted({torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())})
    return {"cluster_cpus": cpus, "cluster_gpus": gpus, "gpu": names, "machine": platform.machine(),
            "system": platform.platform(), "driver_cores": os.cpu_count()}  # fmt: skip


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _is_clock(name: str) -> bool:
    return name.startswith("share/")
