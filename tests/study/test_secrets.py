"""Secrets of the environment are nowhere in what a study writes or submits; one in a URI is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from simclip.errors import InputError
from simclip.study.execution.job_bundle import bundle
from simclip.study.store.folder import StudyFolder
from simclip.train.config import TrainConfig
from tests.conftest import write_study
from tests.data.formats import rows_of, write_shards
from tune import main

ROOT = Path(__file__).parents[2]
MARKER = "planted7f3a91secret"
VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "RAY_AUTH_TOKEN", "WANDB_API_KEY",
    "SECRET_OF_ANOTHER_PROGRAM",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("without_ray")
def test_no_secret_of_the_environment_is_written(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(VARIABLES):
        monkeypatch.setenv(name, f"{MARKER}{number}")
    monkeypatch.setenv("WANDB_MODE", "offline")
    study = write_study(config, tmp_path / "tiny.yaml", train={"epochs": 1})
    results = tmp_path / "results"
    assert main(["run", str(study), "--results", str(results)]) == 0
    assert main(["report", str(results / "tiny")]) == 0
    bundle(study, tmp_path / "job")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in written) and any(path.name == "tune.py" for path in written)
    assert [path for path in written if MARKER.encode() in path.read_bytes()] == []
    assert MARKER not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_no_credentials_of_the_bucket_with_the_data_are_written(
    config: TrainConfig, pairs: Path, s3: dict[str, str], tmp_path: Path
) -> None:
    """The real command trains on shards in a bucket and writes its results there; copies lie in the cache."""
    place = f"s3://studies/{tmp_path.name}"
    files, root = fsspec.url_to_fs(place)
    for split in ("train", "val"):
        shards = write_shards(tmp_path / split, rows_of(pairs / f"{split}.tsv"), pairs / "images")
        for shard in shards.parent.iterdir():
            files.put_file(str(shard), f"{root}/{split}/{shard.name}")
    data = {f"{split}_tsv": f"{place}/{split}/*.tar" for split in ("train", "val")}
    no_images = {"train_image_dir": None, "val_image_dir": None}
    study = write_study(config, tmp_path / "tiny.yaml", train={"epochs": 1, **data, **no_images})
    cache = tmp_path / "cache"
    environment = {
        **os.environ, **s3, "AWS_ACCESS_KEY_ID": f"{MARKER}1", "AWS_SECRET_ACCESS_KEY": f"{MARKER}2",
        "SIMCLIP_CACHE": str(cache),
    }  # fmt: skip
    command = [sys.executable, "tune.py", "run", str(study), "--results", f"{place}/results"]
    end = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert end.returncode == 0, end.stdout[-2000:] + end.stderr[-2000:]
    assert [*cache.glob("copy-*.tar")]
    here = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    there = {path: files.cat_file(path) for path in files.find(f"{root}/results")}
    assert any("results.json" in path for path in there)
    assert [path for path, content in {**here, **there}.items() if MARKER.encode() in content] == []
    assert MARKER not in end.stdout + end.stderr


@pytest.mark.parametrize(
    "uri", [f"s3://user:{MARKER}@bucket/results", f"memory://bucket/results?access_key={MARKER}&region=eu"]
)
def test_a_secret_in_a_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InputError, match="set it in the environment") as error:
        StudyFolder.at(uri)
    assert MARKER not in str(error.value)
