"""`python tune.py`: hyperparameter studies of CLIP fine-tuning with similarity clusters."""

from __future__ import annotations

import sys
from collections.abc import Callable

import tyro

from simclip.face import checking, commands, exporting, jobs, preparing
from simclip.face.exits import exit_code
from simclip.face.look import clusters

COMMANDS: dict[str, Callable[..., int]] = {
    "run": commands.run,
    "report": commands.report,
    "reproduce": commands.reproduce,
    "export": exporting.export,
    "fields": commands.fields,
    "prepare": preparing.prepare,
    "check": checking.check,
    "clusters": clusters,
    "submit": jobs.submit,
    "status": jobs.status,
    "stop": jobs.stop,
    "logs": jobs.logs,
}


def main(words: list[str]) -> int:
    """Run a command; without one, the demo study. Returns the exit code."""
    return exit_code(
        lambda: tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="python tune.py",
            description=__doc__,
            args=words or ["run"],
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
