"""The rounds as a table, for the terminal and for docs/results.md, and the line that sums them up."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.table import Table

from tests.chaos.campaign import Campaign, Round
from tests.chaos.study import EPOCHS, TRIALS

HEADINGS = ("round", "study", "killed", "after", "trials ended", "epochs", "cut off", "exit", "spoilt then", "took")
ROWS = TRIALS * (EPOCHS + 1)


def rich_table(rounds: Sequence[Round]) -> Table:
    """For the terminal."""
    table = Table(*HEADINGS, box=box.SIMPLE_HEAD)
    for number, each in enumerate(rounds, start=1):
        table.add_row(*cells(number, each))
    return table


def markdown(rounds: Sequence[Round]) -> str:
    """For a page of Markdown."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *(cells(number, each) for number, each in enumerate(rounds, start=1))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(number: int, each: Round) -> list[str]:
    """One round."""
    code = "goes on" if each.code is None else signal.Signals(-each.code).name if each.code < 0 else str(each.code)
    return [
        str(number), str(each.study), each.fault.kind, f"{each.after:.1f} s", f"{each.ended}/{TRIALS}",
        f"{each.rows}/{ROWS}", str(each.cut_off), code, ", ".join(each.spoilt), f"{each.seconds:.0f} s",
    ]  # fmt: skip


def summary(campaign: Campaign) -> str:
    """What it comes to."""
    kinds = Counter(each.fault.kind for each in campaign.rounds)
    kills = sum(count for kind, count in kinds.items() if not kind.startswith("Ctrl-C"))
    spoilt = Counter(what for each in campaign.rounds for what in each.spoilt)
    cut_off = sum(each.cut_off for each in campaign.rounds)
    lines = (
        f"{len(campaign.rounds)} rounds, {kills} of them with a SIGKILL ({_listed(kinds)}), in {campaign.studies}",
        f"studies of {TRIALS} trials; files were spoilt {sum(spoilt.values())} times ({_listed(spoilt) or 'none'}).",
        "Every study ended like the undisturbed one, to the bit.",
        f"{cut_off} times a trial was under way, and lost at most the epoch in progress;",
        f"{campaign.repeated} epochs ran again because their checkpoint was spoilt, and no other that was on record.",
    )
    return " ".join(lines)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {count}" for what, count in counts.most_common())
