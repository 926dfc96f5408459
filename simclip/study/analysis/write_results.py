"""The files of a study's results, derived from its trial records alone."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from simclip.runtime.files import write_atomically
from simclip.study.analysis.best import Choice, choose, describe_trial
from simclip.study.analysis.confirm import confirm_records, confirm_seeds, search_records
from simclip.study.analysis.ranking import mean_metrics, rank_arms, untouched_metrics
from simclip.study.analysis.spent import cost
from simclip.study.analysis.verdict import judge
from simclip.study.spec.portable_paths import PROJECT, portable
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record

PACKAGES = ("torch", "transformers", "ray", "numpy", "pillow", "optuna", "tokenizers", "scipy")


def write_results(
    folder: Path, study: StudyConfig, records: Mapping[str, Record], hardware: dict[str, Any]
) -> Choice | None:
    """Write trials.csv, results.json and best.yaml anew from the records.

    Args:
        folder: Of the study's results.
        study: The study as it ran.
        records: Of its ended trials.
        hardware: What it ran on.

    Returns:
        The best configuration, if there is one yet.
    """
    write_atomically(folder / "trials.csv", trial_table(records).to_csv(index=False))
    best, verdict = choose(study, records), judge(study, records)
    content = {
        "study": study.name,
        "metric": study.metric,
        "mode": study.mode,
        "untouched": untouched_metrics(search_records(study, records))
        | untouched_metrics(confirm_records(study, records)),
        "search": {
            "seeds": study.seeds,
            "arms": [asdict(arm) for arm in rank_arms(search_records(study, records))],
        },
        "confirm": {"seeds": [*confirm_seeds(study)], **asdict(verdict)} if verdict else None,
        "best": {"arm": best.arm.name, "trial": best.record.trial, "stage": best.stage} if best else None,
        "cost": asdict(cost(study, records)),
        "versions": versions(),
        "git_commit": git_commit(),
        "hardware": hardware,
    }
    write_atomically(folder / "results.json", json.dumps(content, indent=2) + "\n")
    if best:
        described = describe_trial(study, best.record, best.stage, best.arm)
        text = yaml.safe_dump(portable(described.model_dump(mode="json")), sort_keys=False)
        write_atomically(folder / "best.yaml", text)
    return best


def trial_table(records: Mapping[str, Record]) -> pd.DataFrame:
    """A row per trial: outcome, score, every metric at the best epoch, configuration."""
    rows = []
    for record in records.values():
        head = {"trial": record.trial, "arm": record.arm, "seed": record.seed, "stage": record.stage,
                "control": record.control, "outcome": record.outcome, "score": record.score,
                "best_epoch": record.best["epoch"] if record.best else None, "seconds": round(record.seconds, 3),
                "error": record.error}  # fmt: skip
        config = {f"config/{name}": value for name, value in record.config.model_dump(mode="json").items()}
        rows.append({**head, **(mean_metrics([record.best]) if record.best else {}), **config})
    return pd.DataFrame(rows)


def versions() -> dict[str, str]:
    """Of Python and of the packages that the numbers depend on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def git_commit() -> str | None:
    """The project's commit, with a + where files differ from it; None outside of a checkout."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            cwd=PROJECT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def hardware(cpus: float, gpus: float) -> dict[str, Any]:
    """What a study runs on, as the driver sees it."""
    names = sorted({torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())})
    return {"cluster_cpus": cpus, "cluster_gpus": gpus, "gpu": names, "machine": platform.machine(),
            "system": platform.platform(), "driver_cores": os.cpu_count()}  # fmt: skip
