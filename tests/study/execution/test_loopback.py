"""A Ray that a study starts for itself is nobody else's: its folder, its token, its errors and its sockets."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from simclip.errors import InputError
from simclip.runtime import local_ray
from simclip.runtime.local_ray import interface_of, keep_token_private, sessions_folder
from simclip.study.execution.cluster import connect
from simclip.study.execution.ray_executor import read_own
from tests.chaos.driver import Driver
from tests.conftest import tiny_run, write_study

#: Processes with a port on all interfaces whatever one does; docs/security.md says why. They are Ray Train's
#: workers, which the kernel names by their class, or by RayTrainWorker.execute and the function that it runs just then.
NAMED = {"ray::RayTrainWo", "ray::execute._s"}


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path that is short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="own-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def open_umask() -> Iterator[None]:
    """New files are writable by all unless their mode says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("open_umask")
def test_rays_sessions_lie_in_a_folder_of_the_user(short: Path) -> None:
    folder = sessions_folder(short)
    assert folder.is_dir() and mode(folder.parent) == 0o700
    folder.parent.chmod(0o777)
    assert sessions_folder(short) == folder and mode(folder.parent) == 0o700


def test_apples_gpu_is_none_for_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would count it as one, and give it to one trial at a time."""
    asked: list[Any] = []

    def init(**how: Any) -> None:
        asked.append(how["num_gpus"])
        raise RuntimeError("not started")

    monkeypatch.setattr(ray, "init", init)
    for system in ("darwin", "linux"):
        monkeypatch.setattr(sys, "platform", system)
        with pytest.raises(RuntimeError, match="not started"):
            connect("local")
    assert asked == [0, None]


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_gloo_listens_where_other_nodes_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loopback = next(name for _, name in socket.if_nameindex() if name == "lo")
    assert interface_of("127.0.0.1") == loopback and interface_of("192.0.2.1") is None
    names = {"debian": "127.0.1.1", "resolved": "10.0.0.1"}
    monkeypatch.setattr(socket, "gethostbyname", names.__getitem__)
    monkeypatch.setattr(local_ray, "interface_of", {"10.0.0.1": "eth0"}.get)
    monkeypatch.delenv(local_ray.GLOO, raising=False)
    for address, host in (("10.0.0.1", "resolved"), ("127.0.0.1", "debian"), ("10.0.0.9", "debian")):
        local_ray.reach_other_nodes(address, host)
        assert local_ray.GLOO not in os.environ
    local_ray.reach_other_nodes("10.0.0.1", "debian")
    assert os.environ[local_ray.GLOO] == "eth0"
    monkeypatch.setenv(local_ray.GLOO, "ib0")  # the user's own choice
    local_ray.reach_other_nodes("10.0.0.1", "debian")
    assert os.environ[local_ray.GLOO] == "ib0"


@pytest.mark.parametrize("kind", ["a file", "a link to a folder", "a dangling link", "another user's folder"])
def test_another_users_folder_is_refused(kind: str, short: Path) -> None:
    there = short / f"simclip-{os.getuid()}"
    if kind == "a file":
        there.touch()
    elif kind == "another user's folder":
        if os.getuid() != 0:
            pytest.skip("only root can give a folder away")
        there.mkdir()
        os.chown(there, 12345, 12345)
    else:
        there.symlink_to(short if kind == "a link to a folder" else short / "nowhere")
    with pytest.raises(
        InputError, match=r"simclip-\d+: Ray's files go there, but it is not a folder of yours"
    ) as error:
        sessions_folder(short)
    assert "set RAY_TMPDIR" in str(error.value)


def test_a_path_that_is_too_long_for_sockets_is_refused(short: Path) -> None:
    with pytest.raises(InputError, match=r"RAY_TMPDIR=.*at most 103 are allowed: give a folder with a shorter path"):
        sessions_folder(short / ("x" * 30))
    assert not list(short.iterdir())


@pytest.mark.usefixtures("open_umask")
def test_only_the_user_can_read_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / ".ray" / "auth_token"
    keep_token_private(path)
    token = path.read_text()
    assert mode(path) == 0o600 and len(token) == 64
    path.chmod(0o644)
    keep_token_private(path)
    assert mode(path) == 0o600 and path.read_text() == token


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_TOKEN", "secret"), ("RAY_AUTH_MODE", "disabled")])
def test_no_token_is_made_that_nobody_reads(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    keep_token_private(tmp_path / "auth_token")
    assert not list(tmp_path.iterdir())


def test_an_error_that_others_may_have_written_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "error.pkl"
    assert read_own(path) is None
    path.write_bytes(b"error")
    assert read_own(path) == b"error"
    path.chmod(0o666)
    assert read_own(path) is None
    path.chmod(0o600)
    if os.getuid() == 0:
        os.chown(path, 12345, 12345)
        assert read_own(path) is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_listens_beyond_this_machine(pairs: Path, tiny_model: Path, short: Path) -> None:
    study = write_study(
        tiny_run(pairs, tiny_model), short / "tiny.yaml", train={"epochs": 1},
        parameters={"cluster_size": {"values": [2]}}, resources={"workers": 2, "cpus": 0.5}, max_concurrent=1,
    )  # fmt: skip
    driver, seen = Driver(study, short, short / "results"), set()
    try:
        while driver.running:
            seen |= {each for pid in driver.pids() for each in listening(pid)}
            time.sleep(0.5)
        assert driver.wait(60) == 0, driver.said
    finally:
        driver.clear()
    programs = {program for program, _ in seen}
    assert programs >= {"gcs_server", "raylet", "python", "ray::DashboardA", "ray::RayTrainWo"}
    assert {program for program, address in seen if address not in LOOPBACK} <= NAMED
    assert mode(short / f"simclip-{os.getuid()}") == 0o700


#: How /proc/net/tcp and tcp6 write 127.0.0.1, ::ffff:127.0.0.1 and ::1.
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")


def listening(pid: int) -> Iterator[tuple[str, str]]:
    """The name of a process, and the address of each TCP socket on which it listens, as /proc writes it."""
    try:
        program = Path(f"/proc/{pid}/comm").read_text().strip()
        held = {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return  # gone by now
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
            if state == "0A" and f"socket:[{inode}]" in held:
                yield program, local.partition(":")[0]
