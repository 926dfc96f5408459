"""`python -m simclip`: one training run by the original's command line, in the same wrapper as a study's trials."""

from __future__ import annotations

import os
import shlex
import sys

from simclip.cli.commands.original import parse
from simclip.cli.exits import INTERRUPTED, exit_code, leave
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.runtime.gc import paused_gc
from simclip.study.execution.ownership import typed_again
from simclip.study.execution.resources import Cluster, resolve_for_resume
from simclip.study.spec.single_run import SingleRun, single_run
from simclip.study.spec.study import Resources
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.train.preflight import check_inputs


def main(words: list[str]) -> int:
    """Train once; returns the exit code."""
    return exit_code(lambda: train(words))


def train(words: list[str]) -> int:
    """Train according to the original's flags."""
    console, run = SafeConsole(), parse(words)
    for note in run.notes:
        say(console, note)
    if run.digits:
        say(console, run.digits.write(run.config.caption_columns))
    check_inputs(run.config)
    folder = StudyFolder(run.save_dir)
    say(console, f"Run {run.name}: results in {folder.path}")
    with paused_gc():
        from simclip.cli import session
        from simclip.cli.terminal.plain_lines import LogTail
        from simclip.report import write_report
        from simclip.study.execution.run import last_cluster
        from simclip.train.precompute import prepare

    def on(cluster: Cluster) -> SingleRun:
        return single_run(run.name, run.config, whole_machine(cluster, run.data_parallel))

    last = last_cluster(folder)
    end = session.finished(on(last), folder, retry_failed=True) if last else None
    if end is None:
        for line in prepare(run.config):
            say(console, line)
        os.environ.setdefault("WANDB_PROJECT", run.project)
        cluster = session.connect_to_ray(console, None)
        study = resolve_for_resume(on(cluster), cluster, folder)
        log = LogTail(folder.logs / f"{study.replicates[0].name}.log", sys.stdout)
        end = session.run_and_show(console, study, cluster, folder, shown=log, retry_failed=True)
    reproduce_command = shlex.join(["python", "tune.py", "reproduce", str(folder.path)])
    write_report(folder)
    page = folder.place(layout.REPORT)
    code = session.conclude(console, end, folder, reproduce_command, retry=typed_again(), report=page)
    if code == INTERRUPTED:
        say(console, f"Interrupted. To resume: {typed_again()}")
    return code


def whole_machine(cluster: Cluster, data_parallel: bool) -> Resources:
    """One worker per GPU, each with its share of the CPUs of its node; or one worker with a whole node."""
    if data_parallel and cluster.gpus:
        return Resources(workers=int(cluster.gpus), cpus=max(1, cluster.cpus_per_card // 1), gpus=1)
    nodes = [node for node in cluster.nodes if node.gpus or not cluster.gpus]
    return Resources(workers=1, cpus=max(node.cpus for node in nodes), gpus=min(1, cluster.gpus))


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
