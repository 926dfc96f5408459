"""`python tune.py`: hyperparameter studies of CLIP fine-tuning with similarity clusters."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import tyro

from simclip.cli.arguments import call_of, in_one_line
from simclip.cli.exits import exit_code, leave
from simclip.config.explain import hint
from simclip.errors import InputError
from simclip.runtime.gc import paused_gc

#: The module of each command and its summary. Importing all of them takes seconds, so only the one asked for is.
COMMANDS = {
    "run": ("run", "Run a study or resume it: finished trials are not run again, interrupted ones go on."),
    "report": ("report", "Write the report of a study, running or finished, or of several studies side by side."),
    "reproduce": ("run", "Run the best configuration again, alone, and compare its metrics to the last bit."),
    "interpolate": (
        "interpolate",
        "Interpolate a study's confirmed models with the base model, and compare them again (WiSE-FT).",
    ),
    "export": ("export", "Write a study's best model, or any CLIP, to a folder that Hugging Face and OpenCLIP load."),
    "fields": ("fields", "List the fields of a study file; a study can search every field of `train`."),
    "prepare": ("prepare", "Write a table of pairs from published annotations."),
    "check": ("check", "Check that every image decodes and that no evaluation image is trained on (else exit code 1)."),
    "clusters": ("clusters", "Write a page of real clusters: what k, s and max_similarity mean on your data."),
    "clean": ("clean", "Show what the cache and checkpoints that nothing needs take, and free it with --free."),
    "submit": ("jobs", "Submit a study to a Ray cluster as a job, or resume it; a running job is not submitted twice."),
    "status": ("jobs", "Show the state of a study or a job, or list all studies of a folder."),
    "stop": ("jobs", "Stop a job like Ctrl-C does, and wait for its end: the current step ends and is saved."),
    "logs": ("jobs", "Print the output of a job."),
}


def command(name: str) -> Callable[..., int]:
    """The function of a command."""
    with paused_gc():
        module = import_module(f"simclip.cli.commands.{COMMANDS[name][0]}")
    function: Callable[..., int] = getattr(module, name)
    return function


def listed(name: str) -> Callable[[], int]:
    """Stands for a command in the list of commands, which shows its name and summary only."""

    def stand_in() -> int:
        raise AssertionError(name)

    stand_in.__doc__ = COMMANDS[name][1]
    return stand_in


def called(first: str, *rest: str) -> int:
    """Run a command by its name and the words that follow; a flag instead of a name lists the commands.

    Raises:
        InputError: There is no command of this name, or its words are wrong.
    """
    if first in COMMANDS:
        return call_of(command(first), f"python tune.py {first}", rest)()
    if not first.startswith("-"):
        is_study = Path(first).suffix in (".yaml", ".yml")
        meant = f"did you mean python tune.py run {first}?" if is_study else hint(first, COMMANDS)
        raise InputError(f"no such command: {first}; {meant}")
    stand_ins = {name: listed(name) for name in COMMANDS}
    return in_one_line(
        lambda: tyro.extras.subcommand_cli_from_dict(
            stand_ins, prog="python tune.py", description=__doc__, args=[first, *rest]
        )
    )


def main(words: list[str]) -> int:
    """Run a command, by default the demo study; returns the exit code."""
    return exit_code(lambda: called(*(words or ["run"])))


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
