"""`python -m simclip`: one training run by the original's command line, in the same wrapper as a study's trials."""

from __future__ import annotations

import os
import shlex
import sys

from rich.console import Console

from simclip.cli.commands.original import parse
from simclip.cli.commands.run import connected, this_command
from simclip.cli.exits import INTERRUPTED, exit_code, leave
from simclip.cli.output import say
from simclip.cli.session import conclude, hold, settle
from simclip.cli.terminal.plain_lines import LogTail
from simclip.study.execution.cluster import Cluster
from simclip.study.spec.single_run import single_run
from simclip.study.spec.study import Resources
from simclip.study.store.folder import StudyFolder
from simclip.train.precompute import prepare
from simclip.train.preflight import check_inputs


def main(words: list[str]) -> int:
    """Train once; returns the exit code."""
    return exit_code(lambda: train(words))


def train(words: list[str]) -> int:
    """Train as the original's flags say."""
    console, run = Console(), parse(words)
    for note in run.notes:
        say(console, note)
    if run.digits:
        say(console, run.digits.write(run.config.caption_columns))
    check_inputs(run.config)
    for line in prepare(run.config):
        say(console, line)
    os.environ.setdefault("WANDB_PROJECT", run.project)
    cluster = connected(console, None)
    folder = StudyFolder(run.save_dir)
    study = single_run(run.name, run.config, whole_machine(cluster, run.data_parallel))
    study = settle(study, cluster, folder)
    log = LogTail(folder.logs / f"{study.replicates[0].name}.log", sys.stdout)
    end = hold(console, study, cluster, folder, study.replicates, log)
    code = conclude(console, end, folder, shlex.join(["python", "tune.py", "reproduce", str(folder.path)]))
    if code == INTERRUPTED:
        say(console, f"Interrupted. To begin again: {this_command()}")
    return code


def whole_machine(cluster: Cluster, data_parallel: bool) -> Resources:
    """A worker on every visible GPU, or one worker; the CPUs in equal parts."""
    workers = max(1, int(cluster.gpus)) if data_parallel else 1
    return Resources(workers=workers, cpus=max(1, cluster.cpus // workers), gpus=min(1, cluster.gpus))


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
