"""`python tune.py run` in a session of its own, and the processes of that session; Linux alone tells of them (/proc).

All that Ray starts here stays in the session of the driver, whoever its parent is by now, so that no other Ray of the
machine is ever touched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import simclip

TUNE = Path(simclip.__file__).parents[1] / "tune.py"
#: A killed Ray may leave agents behind that wait for it; what is still there then is killed.
GRACE_SECONDS = 20.0


class Driver:
    """One run of the command.

    Args:
        study: Study file.
        work: Of the whole campaign; results lie in it, and so do Ray's and the system's temporary files.
        results: What --results says.
    """

    def __init__(self, study: Path, work: Path, results: Path) -> None:
        self.log = work / "output.log"
        self.begin = time.monotonic()
        self.actors_killed = 0
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(TUNE), "run", str(study), "--results", str(results)],
                cwd=TUNE.parent, env=_environment(work), stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a shell's background
            )  # fmt: skip

    @property
    def running(self) -> bool:
        """Whether the driver has not ended."""
        return self.process.poll() is None

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.begin

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def pids(self, is_it: Callable[[str], bool] = lambda command: True) -> list[int]:
        """Living processes of the session whose command line is of a kind."""
        return [pid for pid, command in _session(self.process.pid) if is_it(command)]

    def interrupt(self) -> None:
        """What a terminal does at Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None where it did not end in time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def clear(self) -> None:
        """Wait until nothing of the session lives; kill what outlives the grace."""
        until = time.monotonic() + GRACE_SECONDS
        while self.pids() and time.monotonic() < until:
            time.sleep(0.1)
        self.kill_all()

    def kill_all(self) -> None:
        """Leave nothing of the session alive."""
        while left := self.pids():
            for pid in left:
                kill(pid)
            self.process.poll()
            time.sleep(0.1)


def kill(pid: int) -> None:
    """SIGKILL, to a process that may have just gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_actor(command: str) -> bool:
    """A process that trials run in."""
    return command.startswith("ray::ImplicitFunc")


def is_gcs(command: str) -> bool:
    """The Ray head's store of what is where."""
    return _program(command) == "gcs_server"


def is_raylet(command: str) -> bool:
    """The Ray head's keeper of processes."""
    return _program(command) == "raylet"


def _program(command: str) -> str:
    return command.partition("\0")[0].rpartition("/")[2]


def _session(leader: int) -> list[tuple[int, str]]:
    """Pid and command line of the living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            # pid (name) state parent group session ...
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                found.append((int(entry.name), (entry / "cmdline").read_text()))
        except (OSError, ValueError):
            continue  # no process, or gone by now
    return found


def _environment(work: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "WANDB_"))}
    for name in ("cache", "tmp"):
        (work / name).mkdir(exist_ok=True)
    return inherited | {
        "SIMCLIP_CACHE": str(work / "cache"),
        "RAY_TMPDIR": str(work),
        "TMPDIR": str(work / "tmp"),
        "OMP_NUM_THREADS": "1",
        "WANDB_MODE": "disabled",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "10",  # a driver waits for a lost head by default for a minute
    }
