"""A field, a kind of evaluation set, a method of batches and a searcher are each added in one place, and used."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from simclip.train.config import TrainConfig
from tests.conftest import write_study

ROOT = Path(__file__).parents[1]

#: A line of OptimizerFields.
FIELD = '    temper: float = field(1.0, gt=0, symbol="t", label="temper of the model", description="how hot")\n'
#: simclip/evaluation/kinds/alike.py
KIND = '''
"""Images that resemble each other."""

from typing import ClassVar, Literal

from simclip.evaluation.evaluation_set import EvaluationSet, SetContents


class AlikeSet(EvaluationSet):
    """Images in one folder, scored by how similar they are to their mean."""

    metrics: ClassVar[tuple[str, ...]] = ("alike",)

    kind: Literal["alike"] = "alike"

    def read(self, reading=None):
        import numpy as np

        images = sorted(self.image_dir.glob("*.png"))[:8]
        return SetContents(images, ["a picture"], np.zeros(len(images), dtype=np.int64), self.metrics)

    def scores(self, embeddings):
        return {"alike": (embeddings.images @ embeddings.images.mean(0)).mean().item()}
'''
#: simclip/study/search/searchers/backwards.py
SEARCHER = '''
"""Backwards search: every arm, the last one first."""

from simclip.study.search.searcher import Searcher
from simclip.study.search.space import corner_arms


class Backwards(Searcher):
    name = "backwards"

    def check(self, study):
        pass

    def planned(self, study):
        return corner_arms(study)[::-1]
'''
#: simclip/clusters/methods/in_order.py
METHOD = '''
"""Batches of the rows in their order."""

import numpy as np

from simclip.clusters.method import Method


class InOrder(Method):
    """Every row once, from the first to the last."""

    def batches(self, recipe, neighbours, iterations, seed, epoch):
        return iter(np.arange(len(neighbours))[: iterations * recipe.batch_size].reshape(iterations, -1))
'''
#: tune.py, with trials in its own process.
PROGRAM = """
import sys
import tune
from simclip.cli import session
from tests.study.in_process import ONE_CPU, InProcess
session.connect = lambda address: ONE_CPU
session.prepare_nodes = lambda study, storage: []
session.RayExecutor = lambda study, cluster, folder: InProcess(folder)
sys.exit(tune.main(sys.argv[1:]))
"""


def test_a_field_a_kind_of_set_a_method_and_a_searcher_are_one_place_each(config: TrainConfig, tmp_path: Path) -> None:
    code, results = tmp_path / "code", tmp_path / "results" / "study"
    package = shutil.copytree(ROOT / "simclip", code / "simclip", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tune.py", code)
    schema = package / "train" / "fields" / "optimizer.py"
    before, mark, after = schema.read_text().partition("    weight_decay: float")
    schema.write_text(before + FIELD + mark + after)
    (package / "evaluation" / "kinds" / "alike.py").write_text(KIND)
    (package / "clusters" / "methods" / "in_order.py").write_text(METHOD)
    (package / "study" / "search" / "searchers" / "backwards.py").write_text(SEARCHER)

    def tune(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM, *words]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}  # for tests; simclip itself is found in the folder of the copy
        return subprocess.run(command, cwd=code, env=env, capture_output=True, text=True, check=False)

    study = write_study(
        config,
        tmp_path / "study.yaml",
        train={
            "epochs": 1,
            "cluster_size": 2,
            "proportion": 0.5,
            "batching": "in_order",
            "evaluate": [{"kind": "alike", "name": "mine", "image_dir": str(config.val_image_dir)}],
        },
        parameters={"temper": {"values": [0.5, 2]}},
        metric="mine/alike",
        searcher="backwards",
    )
    done = tune("run", str(study), "--results", str(results.parent))
    assert done.returncode == 0, done.stderr
    with (results / "trials.csv").open() as table:
        trials = {row["trial"]: row for row in csv.DictReader(table)}
    order = sorted(trials, key=lambda name: (results / "trials" / f"{name}.jsonl").stat().st_mtime_ns)
    assert order == ["t2-s1", "control-t2-s1", "t0.5-s1", "control-t0.5-s1"]
    for row in trials.values():
        assert float(row["score"]) == float(row["mine/alike"])
    for name in ("t2-s1", "t0.5-s1"):  # without the method, anchors would miss some rows
        epoch = json.loads((results / "trials" / f"{name}.jsonl").read_text().splitlines()[2])
        assert epoch["train/rows_seen"] == epoch["train/largest_count"] == 1
    content = yaml.safe_load((results / "study.yaml").read_text())
    assert (content["searcher"], content["parameters"]) == ("backwards", {"temper": {"values": [0.5, 2.0]}})
    assert "temper" in tune("fields").stdout
    unknown = tune("run", str(study), "train.batching=reversed")
    assert "train.batching: should be clusters, graph, in_order or partition; got 'reversed'" in unknown.stderr
    unknown = tune("run", str(study), "searcher=forwards")
    assert unknown.returncode == 2
    assert "searcher: should be 'backwards', 'grid', 'optuna' or 'random'; got 'forwards'" in unknown.stderr
