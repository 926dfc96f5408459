"""python -m tests.chaos: kill a study again and again at random moments, and see that nothing is lost.

In each round something is killed with SIGKILL (the driver, a trial's process, a server of the Ray head) or Ctrl-C is
pressed, once or twice; then files are spoilt that the study must not need, and the same command is typed again. Studies
that have come to their end are compared with one that was never disturbed: the same trials, metrics and weights to the
bit, every epoch on record once, the same files. Run it from the project's folder; Linux, CPU, about half a minute per
round. What was found to be on record is looked at throughout: it must stay, to the byte.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import tyro
from rich.console import Console

from tests.chaos.campaign import Broken, Campaign, Round
from tests.chaos.table import cells, markdown, rich_table, summary


def main(rounds: int = 6, seed: int = 0, markdown_too: bool = False) -> int:
    """Returns the exit code: 0 if nothing was lost.

    Args:
        rounds: kills.
        seed: of what is killed when.
        markdown_too: print the table as Markdown as well, for docs/results.md.
    """
    console, progress = Console(width=None if sys.stdout.isatty() else 150), Console(stderr=True, width=150)

    def tell(done: Round) -> None:
        progress.print("  ".join(filter(None, cells(len(campaign.rounds), done))), highlight=False)

    work = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    campaign = Campaign(work, seed, tell)
    try:
        campaign.run(rounds)
    except Broken as error:
        console.print(rich_table(campaign.rounds))
        print(f"BROKEN in round {len(campaign.rounds) + 1}: {error}\nAll files are kept in {work}")
        return 1
    shutil.rmtree(work)
    console.print(rich_table(campaign.rounds))
    if markdown_too:
        print(markdown(campaign.rounds), end="\n\n")
    print(summary(campaign))
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
