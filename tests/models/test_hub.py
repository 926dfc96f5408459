"""A hub that cannot be reached."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from simclip.errors import InputError
from simclip.models.hub import check_reachable
from simclip.train.config import TrainConfig
from simclip.train.load import load_model


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The hub's cache, beside a hub at an address where nothing listens."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("role", ["model", "preprocessor"])
def test_nobody_waits_for_retries(
    role: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    given = {"model": str(tiny_model)} | {role: "nobody/no-such-clip"}
    with pytest.raises(InputError, match=r"no connection to the hub, .*, and no copy on this machine") as caught:
        load_model(TrainConfig(**given))
    assert "'nobody/no-such-clip'" in str(caught.value) and "\n" not in str(caught.value)
    assert "Retrying" not in caplog.text


def test_a_copy_in_the_cache_is_enough(cache: Path) -> None:
    commit, copy = "0" * 40, cache / "models--somebody--a-clip"
    for place, content in ((f"snapshots/{commit}/config.json", "{}"), ("refs/main", commit)):
        (copy / place).parent.mkdir(parents=True)
        (copy / place).write_text(content)
    check_reachable("somebody/a-clip")
    with pytest.raises(ConnectionError):
        check_reachable("somebody/another-clip")
