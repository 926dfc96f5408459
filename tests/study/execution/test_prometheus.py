"""Prometheus reads the figures of a study from the metrics endpoint of its Ray node."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from simclip.study.execution.resources import Cluster
from simclip.study.execution.trackers import Prometheus
from simclip.study.search.plan import planned_trials
from simclip.study.spec.study import StudyConfig
from tests.study.in_process import run_here

SECONDS = 60  # Ray hands metrics on every ten


def exported(study: str) -> dict[str, dict[str, float]]:
    """A study's figures at the node's endpoint: by name, then by trial ("" for the study as a whole)."""
    node = ray.nodes()[0]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, dict[str, float]] = {}
    for line in lines:
        if line.startswith("ray_simclip_"):
            name, tags, value = re.fullmatch(r"ray_(\w+)\{(.*)\} (\S+)", line).groups()
            read = dict(re.findall(r'(\w+)="([^"]*)"', tags))
            if read["study"] == study:
                found.setdefault(name, {})[read.get("trial", "")] = float(value)
    return found


def test_prometheus_reads_the_studys_figures(
    cluster: Cluster, make_study: Callable[..., StudyConfig], tmp_path: Path
) -> None:
    study = make_study(name="measured")
    records = run_here(study, tmp_path, [Prometheus(study, {})])[0].records
    best = max(record.score for record in records.values())

    # A study that goes on with one trial, two being known from a run before.
    trial = next(each for each in planned_trials(study) if each.name == "control-s1")
    row = records[trial.name].history[1]
    earlier = {name: record for name, record in records.items() if name != trial.name}
    Prometheus(study.model_copy(update={"name": "resumed"}), earlier).epoch_ended(trial, row)

    until = time.monotonic() + SECONDS
    while exported("resumed").get("simclip_trials_finished") is None and time.monotonic() < until:
        time.sleep(1)
    ended, running = exported("measured"), exported("resumed")
    assert ended["simclip_trials_finished"] == {"": 3}
    assert ended["simclip_trials_failed"] == ended["simclip_trials_stopped"] == {"": 0}
    assert ended["simclip_best_so_far"][""] == pytest.approx(best)
    assert ended["simclip_epoch"] == dict.fromkeys(records, 2)
    assert ended["simclip_pairs_per_second"] == dict.fromkeys(records, 0)  # no trial runs any more

    assert running["simclip_pairs_per_second"] == {trial.name: pytest.approx(row["pairs_per_second"])}
    assert running["simclip_data_wait_share"] == {trial.name: pytest.approx(row["share/data"])}
    assert running["simclip_epoch"] == {trial.name: 1}
    assert running["simclip_trials_finished"] == {"": 2}
    assert running["simclip_best_so_far"][""] == pytest.approx(
        max(row["metric"], *(record.score for record in earlier.values()))
    )
