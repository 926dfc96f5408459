"""`python tune.py`: hyperparameter studies of CLIP fine-tuning with similarity clusters."""

from __future__ import annotations

import sys

import tyro

from simclip.errors import InputError
from simclip.face import commands
from simclip.face.messages import fail
from simclip.face.session import INTERRUPTED, WRONG_INPUT


def main(words: list[str]) -> int:
    """Run a command; without one, the demo study. Returns the exit code."""
    try:
        return tyro.extras.subcommand_cli_from_dict(
            {"run": commands.run, "reproduce": commands.reproduce, "fields": commands.fields},
            prog="python tune.py",
            description=__doc__,
            args=words or ["run"],
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    except InputError as error:
        fail(str(error))
        return WRONG_INPUT
    except KeyboardInterrupt:
        fail("interrupted")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
