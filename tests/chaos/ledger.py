"""What the trial records have said so far, and whether they ever take something back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path


class Ledger:
    """Looks at the records again and again; what stood there once must stay, to the byte, clocks included.

    Epoch 0 by itself is the exception: the untouched model leaves no checkpoint and is evaluated again.

    Attributes:
        trials: Folder of the records.
        wrong: What was taken back, or run again.
        repeated: Epochs that had to run again because their checkpoint was damaged on purpose.
    """

    def __init__(self, trials: Path) -> None:
        self.trials = trials
        self.wrong: list[str] = []
        self.repeated = 0
        self._rows: dict[str, list[str]] = {}
        self._ended: dict[str, tuple[int, str]] = {}
        self._torn: set[str] = set()
        self._without_checkpoint: set[str] = set()

    @property
    def rows(self) -> int:
        """Epochs on record, epoch 0 included."""
        return sum(map(len, self._rows.values()))

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return len(self._ended)

    @property
    def unfinished(self) -> list[str]:
        """Trials that have begun and not ended."""
        return sorted(self._rows.keys() - self._ended.keys())

    def look(self) -> None:
        """Compare with what was there before."""
        for path in sorted(self.trials.glob("*.jsonl")):
            text, changed = path.read_text(encoding="utf-8"), path.stat().st_mtime_ns
            name = path.stem
            if name in self._ended:
                if self._ended[name] != (changed, text):
                    self.wrong.append(f"{name} had ended and was written again")
                    self._ended[name] = changed, text
                continue
            lines = list(whole_lines(text))
            rows = [line for line in lines if "epoch" in json.loads(line)]
            self._compare(name, rows)
            if lines and "outcome" in json.loads(lines[-1]):
                self._ended[name] = changed, text

    def tear(self, name: str) -> None:
        """Cut the last line of a trial's record, as a crash of the machine might."""
        path = self.trials / f"{name}.jsonl"
        text = path.read_text(encoding="utf-8")
        path.write_text(text[: -max(2, len(text.splitlines()[-1]) // 2)], encoding="utf-8")
        self._torn.add(name)

    def checkpoint_damaged(self, name: str) -> None:
        """A trial may go on from an earlier epoch than its record tells, or begin again."""
        self._without_checkpoint.add(name)

    def _compare(self, name: str, rows: list[str]) -> None:
        before = self._rows.get(name, [])
        same = sum(1 for _ in _common(before, rows))
        if len(rows) == same < len(before) and name in self._torn:
            return  # not written again since
        epochs = [json.loads(row)["epoch"] for row in rows]
        if epochs != list(range(len(rows))):
            self.wrong.append(f"{name} has the epochs {epochs}")
        if same < len(before) and before[1:]:
            lost = [json.loads(row)["epoch"] for row in before[same:]]
            if name in self._without_checkpoint:
                self.repeated += len(before) - max(same, 1)
            else:
                self.wrong.append(f"{name} lost or ran again the epochs {lost}")
        if rows != before:
            self._torn.discard(name)
            self._without_checkpoint.discard(name)
        self._rows[name] = rows


def whole_lines(text: str) -> Iterator[str]:
    """Lines up to one that is torn."""
    for line in text.splitlines():
        try:
            json.loads(line)
        except ValueError:
            return
        yield line


def _common(first: list[str], second: list[str]) -> Iterator[str]:
    for one, other in zip(first, second, strict=False):
        if one != other:
            return
        yield one
