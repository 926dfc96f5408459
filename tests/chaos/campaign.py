"""Round after round: run, kill, spoil, go on; and every study that comes to its end beside the undisturbed one."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simclip.runtime.randomness import generator
from tests.chaos.compare import differences, outcome
from tests.chaos.driver import Driver
from tests.chaos.faults import Fault, damage, draw, strike
from tests.chaos.ledger import Ledger
from tests.chaos.study import NAME, TRIALS, write_study

#: A driver that was interrupted, or has lost its Ray, ends within this time.
END_SECONDS = 90.0
#: A study of which nothing new is on record for so long hangs.
SILENCE_SECONDS = 180.0
LOOK_SECONDS = 0.05
#: By kind. Python that is interrupted before the command has begun ends by the signal, which a shell calls 130 too.
CODES = {
    "driver": (-signal.SIGKILL,),
    "gcs_server": (1,),
    "raylet": (1,),
    "Ctrl-C": (130, -signal.SIGINT),
    "Ctrl-C twice": (130, -signal.SIGINT),
}


class Broken(Exception):
    """The study did not do what it says it does."""


@dataclass(frozen=True)
class Round:
    """What happened.

    Attributes:
        study: Its number, from 1.
        fault: What was done.
        after: Seconds since the command was typed.
        ended: Trials that had ended by then.
        rows: Epochs on record by then, those of the untouched model included.
        cut_off: Trials that were under way.
        code: The driver's exit code; None where it went on.
        spoilt: Files that were damaged after that.
        seconds: That the round took, the command's way to the moment included.
    """

    study: int
    fault: Fault
    after: float
    ended: int
    rows: int
    cut_off: int
    code: int | None = None
    spoilt: tuple[str, ...] = ()
    seconds: float = 0.0


class Campaign:
    """A series of studies, all of the same file; the first one is not disturbed.

    Args:
        work: Empty folder with a short name: Ray's sockets lie in it.
        seed: Of kinds and moments.
        tell: Called after each round.

    Attributes:
        rounds: So far.
        undisturbed_seconds: What the first study took.
        studies: Disturbed ones that came to their end like the first.
        repeated: Epochs that ran again because their checkpoint was spoilt.
    """

    def __init__(self, work: Path, seed: int, tell: Callable[[Round], None] = lambda done: None) -> None:
        self.work, self.seed, self.tell = work, seed, tell
        self.rounds: list[Round] = []
        self.undisturbed_seconds = 0.0
        self.studies = self.repeated = 0
        self._file = write_study(work)
        self._number = 0
        self._ledger = self._new_ledger()
        self._driver: Driver | None = None

    def run(self, rounds: int) -> None:
        """Do it all.

        Raises:
            Broken: Something was lost, doubled, or went on for ever.
        """
        try:
            begin = time.monotonic()
            self._finish()
            self.undisturbed_seconds = time.monotonic() - begin
            self._expected = outcome(self._results)
            self._next_study()
            for number in range(rounds):
                self._round(number)
            self._finish()
            self._check()
        finally:
            if self._driver:
                self._driver.kill_all()

    @property
    def _results(self) -> Path:
        return self.work / f"study-{self._number}" / NAME

    def _new_ledger(self) -> Ledger:
        return Ledger(self._results / "trials")

    def _next_study(self) -> None:
        self._number += 1
        self._ledger = self._new_ledger()

    def _round(self, number: int) -> None:
        fault, random = draw(self.seed, number), generator(self.seed, "damage", number)
        begin = time.monotonic()
        while (done := self._disturbed(fault, random)) is None:
            self._finish()  # it was faster
            self._check()
            self._next_study()
        spoilt = tuple(damage(self._results, self._ledger, random)) if fault.ends_the_driver else ()
        self.rounds.append(replace(done, spoilt=spoilt, seconds=time.monotonic() - begin))
        self.tell(self.rounds[-1])

    def _disturbed(self, fault: Fault, random: np.random.Generator) -> Round | None:
        """Wait for the moment, do it, and wait for what comes of it; None where the study came to its end before."""
        driver, ledger = self._running(), self._ledger
        moment = 0 if fault.rows is None else ledger.rows + fault.rows
        self._watch(driver, lambda: ledger.rows >= moment)
        time.sleep(fault.delay)
        if not self._watch(driver, lambda: strike(fault, driver, random)):
            return None
        done = Round(self._number, fault, driver.seconds, ledger.ended, ledger.rows, len(ledger.unfinished))
        if fault.ends_the_driver:
            done = replace(done, code=self._ended(driver))
            if done.code == 0 and (done.ended == TRIALS or not fault.kind.startswith("Ctrl-C")):
                return None  # it had done its work, or what was left of it
            if done.code not in CODES[fault.kind]:
                raise Broken(f"{fault.kind}: exit code {done.code}, expected {CODES[fault.kind]}\n{driver.said}")
        return done

    def _watch(self, driver: Driver, reached: Callable[[], bool]) -> bool:
        """Look at the records until something is reached; False where the driver ends before."""
        heard, known = time.monotonic(), -1
        while True:
            running = driver.running
            self._look()
            if running and reached():
                return True
            if not running:
                return False
            if self._ledger.rows != known:
                heard, known = time.monotonic(), self._ledger.rows
            if time.monotonic() > heard + SILENCE_SECONDS:
                raise Broken(f"nothing new for {SILENCE_SECONDS:.0f} seconds\n{driver.said}")
            time.sleep(LOOK_SECONDS)

    def _running(self) -> Driver:
        """The command, typed again unless it still runs."""
        if self._driver is None:
            self._driver = Driver(self._file, self.work, self._results.parent)
        return self._driver

    def _finish(self) -> None:
        """Let the study come to its end."""
        driver = self._running()
        self._watch(driver, lambda: False)
        if (code := self._ended(driver)) != 0:
            raise Broken(f"exit code {code} of a study that was left alone\n{driver.said}")

    def _ended(self, driver: Driver) -> int:
        """Wait for the end of the command and of all that it had started; its exit code."""
        code = driver.wait(END_SECONDS)
        if code is None:
            raise Broken(f"the driver still runs {END_SECONDS:.0f} seconds later\n{driver.said}")
        driver.clear()
        self._driver = None
        shutil.rmtree(self.work / f"simclip-{os.getuid()}", ignore_errors=True)  # Ray's logs
        self._look()
        return code

    def _look(self) -> None:
        self._ledger.look()
        if self._ledger.wrong:
            raise Broken("; ".join(self._ledger.wrong))

    def _check(self) -> None:
        """Compare a study that has ended with the undisturbed one."""
        wrong = differences(self._expected, outcome(self._results))
        wrong += [f"{path} is left over" for path in (self.work / "tmp").glob("simclip*")]
        if wrong:
            raise Broken("\n".join(wrong))
        self.studies += 1
        self.repeated += self._ledger.repeated
