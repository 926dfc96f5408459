"""Secrets of the environment are nowhere in what a study writes or submits; one in a URI is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from simclip.errors import InputError
from simclip.study.execution.job_bundle import bundle
from simclip.study.store.folder import StudyFolder
from simclip.train.config import TrainConfig
from tests.conftest import write_study
from tune import main

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


@pytest.mark.parametrize(
    "uri", [f"s3://user:{MARKER}@bucket/results", f"memory://bucket/results?access_key={MARKER}&region=eu"]
)
def test_a_secret_in_a_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InputError, match="set it in the environment") as error:
        StudyFolder.at(uri)
    assert MARKER not in str(error.value)
