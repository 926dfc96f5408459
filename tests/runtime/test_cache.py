"""Arrays that are kept between runs."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch

from simclip.runtime.cache import cache_folder, cached_array, file_stamps, fingerprint, one_process, weights_bytes

ROOT = Path(__file__).parents[2]


def test_made_once_under_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIMCLIP_CACHE", str(tmp_path / "new" / "cache"))
    made: list[int] = []

    def make() -> np.ndarray:
        made.append(len(made))
        return np.full(3, len(made), dtype=np.float32)

    for key, expected in (("a", 1), ("a", 1), ("b", 2), ("a", 1)):
        found = cached_array("kind", key, make)
        assert found.dtype == np.float32 and found.tolist() == [expected] * 3
    assert cached_array("other", "a", make).tolist() == [3] * 3
    assert sorted(path.name for path in cache_folder().glob("*.npy")) == ["kind-a.npy", "kind-b.npy", "other-a.npy"]
    assert all(path.stat().st_size == 0 for path in cache_folder().glob("*.lock"))


def test_a_failure_leaves_nothing_behind() -> None:
    def fail() -> np.ndarray:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        cached_array("kind", "a", fail)
    assert cached_array("kind", "a", lambda: np.ones(1)).tolist() == [1]


def test_all_make_it_where_any_worker_lacks_it() -> None:
    cached_array("kind", "a", lambda: np.zeros(1))
    assert cached_array("kind", "a", lambda: np.ones(1), any_worker=lambda lacks: True).tolist() == [1]
    assert cached_array("kind", "a", lambda: np.zeros(1), any_worker=lambda lacks: lacks).tolist() == [1]


def test_what_several_want_at_once_is_made_by_one() -> None:
    made: list[int] = []

    def make() -> np.ndarray:
        made.append(1)
        time.sleep(0.1)
        return np.arange(3)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cached_array("kind", "a", make).tolist(), range(4)))
    assert found == [[0, 1, 2]] * 4 and made == [1]


def test_common_work_of_several_workers_is_not_locked() -> None:
    """The one who held the lock would wait for the others, and they for the lock."""
    together = Barrier(2, timeout=60)

    def make() -> np.ndarray:
        together.wait()
        return np.ones(1)

    with ThreadPoolExecutor(2) as pool:
        arrays = pool.map(lambda _: cached_array("kind", "a", make, any_worker=lambda lacks: True), range(2))
        assert [array.tolist() for array in arrays] == [[1], [1]]


def test_the_lock_of_a_process_that_dies_is_free() -> None:
    path = cache_folder() / "thing.npy"
    program = (
        "import sys, time; from pathlib import Path; from simclip.runtime.cache import one_process\n"
        "with one_process(Path(sys.argv[1]), 'it'): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with path.with_suffix(".lock").open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.kill()
    with one_process(path, "it"):
        pass


def test_the_folder_is_the_users_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIMCLIP_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "simclip"


@pytest.fixture(scope="module")
def before_any_test() -> Path:
    return cache_folder()


def test_what_tests_share_is_not_made_in_the_users(before_any_test: Path) -> None:
    assert not before_any_test.is_relative_to(Path.home() / ".cache")


def test_keys_differ_where_any_part_does() -> None:
    keys = [fingerprint(*parts) for parts in ((b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"ab", b"c", b""))]
    assert len(set(keys)) == 4
    assert fingerprint(b"ab", b"c") == keys[0]


def test_weights_are_told_apart_by_name_and_value() -> None:
    one, two = torch.ones(2, 3), torch.zeros(2, 3)
    digests = [weights_bytes([("a", one)]), weights_bytes([("b", one)]), weights_bytes([("a", two)])]
    assert len(set(digests)) == 3
    assert weights_bytes([("a", torch.ones(3, 2).T)]) == digests[0]


def test_a_file_that_changes_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    before = file_stamps([path])
    monkeypatch.chdir(tmp_path)
    assert file_stamps([Path("a")]) == before
    path.write_bytes(b"four")
    assert file_stamps([path]) != before
