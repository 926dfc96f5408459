"""Real photographs through the documented commands: a tiny CLIP of their captions, then a short study."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "real"


def run(*words: str) -> str:
    process = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no photographs at {REAL}")
def test_a_short_study_of_real_photographs(tmp_path: Path) -> None:
    for name, rows in (("train", 96), ("val", 48)):
        lines = (REAL / f"{name}.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / f"{name}.tsv").write_text("".join(lines[: rows + 1]), encoding="utf-8")
    run("-m", "simclip.tiny", "--tsv", str(tmp_path / "train.tsv"), "--to", str(tmp_path / "tiny"), "--width", "32")
    out = run(
        "tune.py", "run", "studies/pairs.yaml", "--results", str(tmp_path / "results"), "name=real",
        f"train.train_tsv={tmp_path / 'train.tsv'}", f"train.train_image_dir={REAL / 'images'}",
        f"train.val_tsv={tmp_path / 'val.tsv'}", f"train.val_image_dir={REAL / 'images'}",
        f"train.model={tmp_path / 'tiny'}", "train.pretrain=true", "train.batch_size=32", "train.epochs=2",
        "train.proportion=1/2", "parameters={cluster_size: {values: [4, 8]}}", "seeds=[1]", "confirm=null",
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "results" / "real" / "trials.csv")
    assert sorted(table["trial"]) == ["control-s1", "k4-s1", "k8-s1"]
    assert set(table["outcome"]) == {"finished"}
    assert table["val/t2i_r200"].eq(1).all()  # 48 images
    assert "Best arm" in out
