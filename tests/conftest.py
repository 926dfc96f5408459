"""Small data and a small model, made anew for the tests that want them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before torch is imported: the machine's cores belong to all tests that run at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import tests.torchvision_operators  # noqa: F401  before transformers is imported

os.environ.setdefault("WANDB_MODE", "disabled")

import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings
from PIL import Image
from xdist.scheduler import LoadFileScheduling

from simclip.models.tiny import make_tiny_clip
from simclip.train.config import TrainConfig

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 80, 220), "white": (245, 245, 245)}
PLACES = ("left", "right", "above", "below")

torch.set_num_threads(1)
# The same examples every time, and one that takes long is no failure; --hypothesis-profile=search tries others.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("same")


#: Files whose tests share one Ray, so that one process runs them all.
RAY_FILES = tuple(
    f"tests/study/{name}.py"
    for name in (
        "execution/test_nested_trainer", "execution/test_ownership", "execution/test_prometheus",
        "execution/test_resume", "execution/test_run", "search/test_asha", "search/test_optuna", "search/test_searcher",
        "store/test_storage",
    )
)  # fmt: skip
#: Files that take long. They start after those of Ray and before all others.
LONG_FILES = (
    "tests/cli/commands/test_reproduce.py", "tests/cli/commands/test_commands.py", "tests/study/test_studies.py",
    "tests/models/test_families.py", "tests/train/test_lora.py", "tests/train/test_on_a_card.py",
)  # fmt: skip


class ByFile(LoadFileScheduling):
    """Gives each process of a test run whole files; those that share Ray count as one file."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "ray" if file in RAY_FILES else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start long files first, and refuse a use of the shared Ray that another process would not know of."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()) and item.location[0] not in RAY_FILES:
            raise pytest.UsageError(f"{item.nodeid} uses Ray: add its file to RAY_FILES in tests/conftest.py")
    order = (*RAY_FILES, *LONG_FILES)
    items.sort(key=lambda item: order.index(item.location[0]) if item.location[0] in order else len(order))


@pytest.fixture(scope="session", autouse=True)
def no_users_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is made once for several tests leaves nothing with the user either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMCLIP_CACHE", str(tmp_path_factory.mktemp("shared-cache")))
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads what another run has cached."""
    monkeypatch.setenv("SIMCLIP_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run their trials in the test's process instead of starting Ray."""
    from simclip.cli import session
    from tests.study.in_process import ONE_CPU, InProcess

    monkeypatch.setattr(session, "connect", lambda address: ONE_CPU)
    monkeypatch.setattr(session, "heed_termination", lambda: None)
    monkeypatch.setattr(session, "prepare_nodes", lambda study, storage: [])
    monkeypatch.setattr(session, "RayExecutor", lambda study, cluster, folder: InProcess(folder))


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """An object store; what a process needs in its environment to find it."""
    server_of = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("s3fs")
    server = server_of.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="studies")
        yield environment
    server.stop()


def draw_pair(number: int) -> tuple[Image.Image, list[str]]:
    """A picture of two colours and three captions of it, another for every number below 48."""
    names = list(COLOURS)
    ground, shape = names[number % 4], names[(number // 4) % 4]
    place = PLACES[(number // 16) % 4]
    pixels = np.full((40, 48, 3), COLOURS[ground], dtype=np.uint8)
    box = {"left": np.s_[:, :16], "right": np.s_[:, 32:], "above": np.s_[:14], "below": np.s_[26:]}[place]
    pixels[box] = COLOURS[shape]
    pixels[number % 40, number % 48] = 0
    captions = [f"{shape} {place} on {ground}", f"a {ground} ground with {shape} {place}", f"{place} is {shape}"]
    return Image.fromarray(pixels), captions


def write_pairs(folder: Path, name: str, numbers: range) -> Path:
    """Write a TSV and its images."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    lines = ["image\tcaption1\tcaption2\tcaption3"]
    for number in numbers:
        picture, captions = draw_pair(number)
        picture.save(images / f"{number:03d}.png")
        lines.append("\t".join([f"{number:03d}.png", *captions]))
    path = folder / f"{name}.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.tsv (40 rows), val.tsv (12 rows) and images/."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, "train", range(40))
    write_pairs(folder, "val", range(40, 52))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a CLIP with some thousand parameters."""
    folder = tmp_path_factory.mktemp("tiny")
    captions = [caption for number in range(64) for caption in draw_pair(number)[1]]
    make_tiny_clip(captions, vocabulary=200, image_size=32, width=32, layers=1, most_tokens=16).save(folder)
    return folder


@pytest.fixture
def config(pairs: Path, tiny_model: Path) -> TrainConfig:
    return tiny_run(pairs, tiny_model)


def tiny_run(pairs: Path, tiny_model: Path) -> TrainConfig:
    """A run of three epochs that takes about a second."""
    return TrainConfig(
        train_tsv=pairs / "train.tsv",
        train_image_dir=pairs / "images",
        val_tsv=pairs / "val.tsv",
        val_image_dir=pairs / "images",
        model=str(tiny_model),
        batch_size=8,
        val_batch_size=8,
        epochs=3,
        cluster_size=4,
        proportion=0.5,
        learning_rate=1e-3,
        threads=1,
    )


def write_study(config: TrainConfig, path: Path, **changes: Any) -> Path:
    """Write a study of two cluster sizes over a run's data, named like its file, with changes to some fields."""
    train = config.model_dump(mode="json", exclude_unset=True, exclude={"cluster_size", "seed", "mode"})
    content = {
        "name": path.stem,
        "train": {**train, **changes.pop("train", {})},
        "parameters": {"cluster_size": {"values": [2, 4]}},
        "confirm": None,
        **changes,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path
