"""The result files that are derived from trial records: results.json, trials.csv and best.yaml."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from simclip.runtime.files import write_atomically
from simclip.study.analysis.best import describe_trial
from simclip.study.analysis.ranking import mean_metrics
from simclip.study.analysis.results import Choice, StudyResults
from simclip.study.analysis.verdict import Verdict
from simclip.study.spec.portable_paths import PROJECT, portable
from simclip.study.store import layout
from simclip.study.store.records import CHECKSUM

PACKAGES = ("torch", "transformers", "peft", "ray", "numpy", "pillow", "optuna", "tokenizers", "scipy")


def write_results(folder: Path, results: StudyResults, hardware: dict[str, Any], redrawn: int = 0) -> Choice | None:
    """Write trials.csv, results.json and best.yaml.

    Args:
        folder: Folder of the results.
        results: The results.
        hardware: What the study ran on.
        redrawn: Number of settings that made no valid training run, so that others were drawn, in all runs.

    Returns:
        The best arm, if an arm has finished all of its seeds.
    """
    write_atomically(folder / layout.TABLE, trial_table(results).to_csv(index=False))
    study, best, verdict = results.study, results.best, results.verdict
    content: dict[str, Any] = {
        "study": study.name,
        "metric": study.metric,
        "mode": study.mode,
        "base_model": results.base_model,
        "search": {
            "seeds": study.seeds,
            "arms": [asdict(arm) for arm in results.ranking],
            "redrawn": redrawn,
        },
        "confirm": _confirmed(results, verdict) if verdict else None,
        "best": {"arm": best.arm.name, "trial": best.record.trial, "stage": best.stage} if best else None,
        "spent": asdict(results.spent),
        "versions": versions(),
        "git_commit": git_commit(),
        "hardware": hardware,
    }
    content[CHECKSUM] = _checksum(content)
    write_atomically(folder / layout.RESULTS, json.dumps(content, indent=2) + "\n")
    if best:
        described = describe_trial(study, best.record, best.stage, best.arm)
        text = yaml.safe_dump(portable(described.model_dump(mode="json")), sort_keys=False)
        write_atomically(folder / layout.BEST, text)
    return best


def _confirmed(results: StudyResults, verdict: Verdict) -> dict[str, Any]:
    """The verdict, the plan of its looks, and every look that was taken."""
    looks = results.looks
    return {
        "seeds": [*results.study.confirm_seeds],
        **asdict(verdict),
        "arms": [{**asdict(arm), "pairs_needed": arm.pairs_needed} for arm in verdict.arms],
        "looks": asdict(looks) if looks else None,
    }


def trial_table(results: StudyResults) -> pd.DataFrame:
    """A row per ended trial: outcome, score, every metric at the best epoch, configuration."""
    rows = []
    for record in results.ended.values():
        head = {"trial": record.trial, "arm": record.arm, "seed": record.seed, "stage": record.stage,
                "control": record.control, "outcome": record.outcome, "score": record.score,
                "best_epoch": record.best["epoch"] if record.best else None, "seconds": round(record.seconds, 3),
                "device": record.device, "error": record.error}  # fmt: skip
        config = {f"config/{name}": value for name, value in record.config.model_dump(mode="json").items()}
        rows.append({**head, **(mean_metrics([record.best]) if record.best else {}), **config})
    return pd.DataFrame(rows)


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that affect the numbers."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def git_commit() -> str | None:
    """The project's commit, followed by + if files differ from it; None outside a git checkout."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            cwd=PROJECT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def hardware(cluster: dict[str, Any]) -> dict[str, Any]:
    """The hardware that a study runs on, as the driver sees it.

    Args:
        cluster: CPUs, GPUs and nodes of the Ray cluster.
    """
    import torch

    names = sorted({torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())})
    return {**cluster, "gpu": names, "machine": platform.machine(), "system": platform.platform(),
            "driver_cores": os.cpu_count()}  # fmt: skip


def read_results(folder: Path) -> dict[str, Any]:
    """The content of results.json; empty if it is missing or damaged. Earlier versions wrote no checksum."""
    try:
        found = json.loads((folder / layout.RESULTS).read_text(encoding="utf-8"))
        whole = found.pop(CHECKSUM, None) in (None, _checksum(found))
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
    return dict(found) if whole else {}


def _checksum(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content).encode())


def recorded_hardware(folder: Path) -> dict[str, Any] | None:
    """What the last run of a study ran on; None if that is not known."""
    found = read_results(folder).get("hardware")
    return found if isinstance(found, dict) and _describes_a_cluster(found) else None


def _describes_a_cluster(found: dict[str, Any]) -> bool:
    """Whether the numbers of CPUs and GPUs are there; those of each node are missing in results of earlier versions."""
    nodes = found.get("nodes", [])
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        return False
    numbers = [found.get(name) for name in ("cluster_cpus", "cluster_gpus")]
    numbers += [node.get(name) for node in nodes for name in ("cpus", "gpus")]
    return all(isinstance(number, int | float) for number in numbers)
