"""What is done to a running study, and to its files once it is dead."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from simclip.runtime.randomness import generator
from simclip.study.store.folder import ATTEMPT
from tests.chaos.driver import Driver, is_actor, is_gcs, is_raylet, kill
from tests.chaos.ledger import Ledger

Kind = Literal["driver", "trial actor", "gcs_server", "raylet", "Ctrl-C", "Ctrl-C twice"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: So many actors of one run of the command are killed: a trial that loses its process four times counts as failed.
MOST_ACTORS = 3


@dataclass(frozen=True)
class Fault:
    """What is to happen in a round.

    Attributes:
        kind: What is killed, or how the driver is interrupted.
        rows: After so many more rows on record; None: while the command starts.
        delay: And so many seconds.
        pause: Seconds between two Ctrl-C.
    """

    kind: Kind
    rows: int | None
    delay: float
    pause: float

    @property
    def ends_the_driver(self) -> bool:
        """Whether the command has to be typed again."""
        return self.kind != "trial actor"


def draw(seed: int, number: int) -> Fault:
    """The fault of a round; every kind comes up once in as many rounds as there are kinds."""
    cycle, place = divmod(number, len(KINDS))
    kind = KINDS[generator(seed, "kinds", cycle).permutation(len(KINDS))[place]]
    random = generator(seed, "moment", number)
    early = kind in ("driver", "Ctrl-C", "Ctrl-C twice") and random.random() < 0.15
    rows = None if early else int(random.integers(0, 12))
    return Fault(kind, rows, random.uniform(0, 6 if early else 1), random.uniform(0, 0.5))


def strike(fault: Fault, driver: Driver, random: np.random.Generator) -> bool:
    """Do it; False where what is to be killed is not there at the moment."""
    if fault.kind.startswith("Ctrl-C"):
        driver.interrupt()
        if fault.kind == "Ctrl-C twice":
            time.sleep(fault.pause)
            if driver.running:
                driver.interrupt()
        return True
    if fault.kind == "driver":
        kill(driver.process.pid)
        return True
    pids = driver.pids({"trial actor": is_actor, "gcs_server": is_gcs, "raylet": is_raylet}[fault.kind])
    if not pids or (fault.kind == "trial actor" and driver.actors_killed >= MOST_ACTORS):
        return False
    kill(pids[int(random.integers(len(pids)))])
    driver.actors_killed += fault.kind == "trial actor"
    return True


def damage(results: Path, ledger: Ledger, random: np.random.Generator) -> list[str]:
    """Spoil files of a dead study that it must be able to do without; returns what was spoilt."""
    done = []
    if random.random() < 0.6 and (states := [*results.glob("tune/*.json"), *results.glob("tune/*.pkl")]):
        for state in states:
            _cut(state, random.uniform(0, 0.9))
        done.append("Tune's state")
    found = [
        *results.glob("tune/*/epoch-*/last/model.safetensors"),
        *results.glob("unfinished/*/last/*.safetensors"),
    ]
    checkpoints = [path.parents[1] for path in found if _trial(path.parents[1]) in ledger.unfinished]
    if random.random() < 0.4 and checkpoints:
        newest = max(checkpoints, key=lambda path: path.stat().st_mtime_ns)
        _cut(newest / "last" / "model.safetensors", 0.5)
        ledger.checkpoint_damaged(_trial(newest))
        done.append("a checkpoint")
    if random.random() < 0.5 and ledger.unfinished:
        ledger.tear(ledger.unfinished[int(random.integers(len(ledger.unfinished)))])
        done.append("a record's last line")
    return done


def _trial(checkpoint: Path) -> str:
    attempt = checkpoint.parent.name.rpartition(ATTEMPT)[0]
    return attempt if checkpoint.name.startswith("epoch-") else checkpoint.name


def _cut(path: Path, share: float) -> None:
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))
