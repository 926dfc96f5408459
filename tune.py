"""`python tune.py`: hyperparameter studies of CLIP fine-tuning with similarity clusters."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import tyro

from simclip.cli.exits import exit_code, leave
from simclip.config.explain import hint
from simclip.errors import InputError
from simclip.runtime.gc import paused_gc

#: Where each command is. To import all takes seconds, so that only the one that was asked for is.
COMMANDS = {
    "run": "simclip.cli.commands.run",
    "report": "simclip.cli.commands.report",
    "reproduce": "simclip.cli.commands.run",
    "export": "simclip.cli.commands.export",
    "fields": "simclip.cli.commands.fields",
    "prepare": "simclip.cli.commands.prepare",
    "check": "simclip.cli.commands.check",
    "clusters": "simclip.cli.commands.clusters",
    "submit": "simclip.cli.commands.jobs",
    "status": "simclip.cli.commands.jobs",
    "stop": "simclip.cli.commands.jobs",
    "logs": "simclip.cli.commands.jobs",
}


def command(name: str) -> Callable[..., int]:
    """The function of a command."""
    with paused_gc():
        function: Callable[..., int] = getattr(import_module(COMMANDS[name]), name)
    return function


def described(name: str) -> Callable[[], int]:
    """Stands for a command where its name and summary are all that is wanted."""
    source = Path(__file__).parent.joinpath(*COMMANDS[name].split(".")).with_suffix(".py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name]

    def stand_in() -> int:
        raise AssertionError(name)

    stand_in.__doc__ = ast.get_docstring(functions[0])
    return stand_in


def called(first: str, *rest: str) -> int:
    """Run a command by its name and the words that follow; without a name, say which there are.

    Raises:
        InputError: There is no command of this name.
    """
    config = (tyro.conf.FlagCreatePairsOff,)
    if first in COMMANDS:
        return tyro.cli(command(first), prog=f"python tune.py {first}", args=rest, config=config)
    if not first.startswith("-"):
        is_study = Path(first).suffix in (".yaml", ".yml")
        meant = f"did you mean python tune.py run {first}?" if is_study else hint(first, COMMANDS)
        raise InputError(f"no such command: {first}; {meant}")
    return tyro.extras.subcommand_cli_from_dict(
        {name: described(name) for name in COMMANDS},
        prog="python tune.py", description=__doc__, args=[first, *rest], config=config,
    )  # fmt: skip


def main(words: list[str]) -> int:
    """Run a command; without one, the demo study. Returns the exit code."""
    return exit_code(lambda: called(*(words or ["run"])))


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
