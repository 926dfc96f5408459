"""A new kind of evaluation set is one new module."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import simclip
from simclip.train.config import TrainConfig
from tests.conftest import write_study

MODULE = '''
"""Are all images alike?"""

from __future__ import annotations

from typing import ClassVar, Literal

from simclip.evaluation.evaluation_set import EvaluationSet, SetContents


class AlikeSet(EvaluationSet):
    """Pictures of a folder, scored by how similar they are to their mean."""

    metrics: ClassVar[tuple[str, ...]] = ("alike", "spread")
    losses: ClassVar[tuple[str, ...]] = ("spread",)

    kind: Literal["alike"] = "alike"

    def read(self, reading=None):
        import numpy as np

        images = sorted(self.image_dir.glob("*.png"))[:8]
        return SetContents(images, ["a picture"], np.zeros(len(images), dtype=np.int64), self.metrics)

    def scores(self, embeddings):
        alike = (embeddings.images @ embeddings.images.mean(0)).mean().item()
        return {"alike": alike, "spread": 1 - alike}
'''
PROGRAM = """
import json, sys
from pathlib import Path
from simclip.cli.wording.formatting import Metric, main_metrics
from simclip.study.store.study_file import load_study
from simclip.study.search.plan import planned_arms
from simclip.train.loop import Training
from simclip.train.preflight import check_inputs
study = load_study(Path(sys.argv[1]))
config = planned_arms(study)[0].config
check_inputs(config)
history = Training(config, Path(sys.argv[2])).run(lambda history, checkpoint: None)
units = [Metric.of(f"mine/{name}").percent for name in ("alike", "spread")]
print(json.dumps([history, [each.name for each in main_metrics(config.evaluation_sets)], units]))
"""


def test_a_new_kind_of_evaluation_set_is_one_module(config: TrainConfig, tmp_path: Path) -> None:
    package = shutil.copytree(Path(simclip.__file__).parent, tmp_path / "code" / "simclip")
    (package / "evaluation" / "kinds" / "alike.py").write_text(MODULE)
    mine = {"kind": "alike", "name": "mine", "image_dir": str(config.val_image_dir)}
    study = write_study(config, tmp_path / "study.yaml", train={"epochs": 1, "evaluate": [mine]}, metric="mine/alike")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(study), str(tmp_path)],
        cwd=tmp_path / "code", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    history, main, units = json.loads(done.stdout)
    for row in history:
        assert row["metric"] == row["mine/alike"] and row["mine/spread"] == 1 - row["mine/alike"]
    assert main == ["val/mean_r1", "mine/alike"]
    assert units == [True, False]
