"""The commands of tune.py."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from simclip.config import TrainConfig
from simclip.demo.dataset import ensure_dataset
from simclip.face.exits import DONE, FAILED, INTERRUPTED
from simclip.face.forecast import shown_forecast
from simclip.face.reproduction import shown_comparison
from simclip.face.session import conclude, hold, say, settle
from simclip.study.cluster import Cluster, connect
from simclip.study.config import StudyConfig, load_study, locate
from simclip.study.fields import STUDY_FIELDS
from simclip.study.folder import StudyFolder
from simclip.study.forecast import forecast
from simclip.study.inputs import check_study, prepare_study
from simclip.study.reproduce import compare, read_best, rerun

DEMO = Path("studies/demo.yaml")
DEMO_DATA = "datasets/demo/"

Address = Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")]
Overrides = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KEY=VALUE")]


def run(
    study: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")] = DEMO,
    overrides: Overrides = (),
    results: Path = Path("results"),
    dry_run: bool = False,
    fresh: bool = False,
    address: Address = None,
) -> int:
    """Run a study, or go on with it.

    Args:
        study: study file.
        overrides: changes to it, such as train.epochs=2.
        results: folder that holds a folder per study.
        dry_run: print arms, trials and the estimated cost, and run nothing.
        fresh: move earlier results of the study aside and begin anew.
        address: of a Ray cluster that runs already; by default $RAY_ADDRESS, else Ray is started here.
    """
    console = Console()
    loaded = load_with_data(study, overrides)
    check_study(loaded)
    folder = StudyFolder(results.absolute() / loaded.name)
    if dry_run:
        cluster = connected(console, address)
        loaded = settle(loaded, cluster, folder)
        console.print(shown_forecast(loaded, forecast(loaded, cluster)))
        return DONE
    prepared(console, loaded)
    cluster = connected(console, address)
    if fresh and (aside := folder.move_aside()):
        say(console, f"Earlier results are now in {aside}")
    loaded = settle(loaded, cluster, folder)
    end = hold(console, loaded, cluster, folder)
    code = conclude(console, loaded, end, folder, shlex.join(["python", "tune.py", "reproduce", str(folder.path)]))
    if code == INTERRUPTED:
        say(console, f"Interrupted. To go on: {this_command()}")
    return code


def reproduce(
    study: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")],
    address: Address = None,
) -> int:
    """Run the best trial of a study again, alone, and compare its metrics to the last bit.

    Args:
        study: results folder of a study.
        address: of a Ray cluster that runs already; by default $RAY_ADDRESS, else Ray is started here.
    """
    console = Console()
    best = read_best(study)
    single = rerun(best)
    if DEMO_DATA in single.train.model_dump_json():
        ensure_dataset()
    check_study(single)
    prepared(console, single)
    folder = StudyFolder(study.absolute() / "reproduced")
    folder.move_aside()
    cluster = connected(console, address)
    trial = single.trial  # with its recorded threads and resources, so that there is nothing to settle
    end = hold(console, single, cluster, folder, [trial])
    if end.interrupted:
        return INTERRUPTED
    comparison = compare(best, end.records[trial.name])
    console.print(shown_comparison(comparison, folder))
    return DONE if all(each.same for each in comparison) else FAILED


def fields() -> int:
    """List the fields of `train`, each of which a study can search, and those of a study."""
    console = Console()
    for title, schema, elsewhere in (("train", TrainConfig, STUDY_FIELDS), ("study", StudyConfig, ["train"])):
        say(console, f"\n{title}:")
        for name, field in schema.model_fields.items():
            if name in elsewhere:
                continue
            default = "" if field.is_required() else f" = {field.get_default(call_default_factory=True)}"
            say(console, f"  {name}{default}{f'  # {field.description}' if field.description else ''}")
    return DONE


def load_with_data(path: Path, overrides: tuple[str, ...] = ()) -> StudyConfig:
    """The study; the demo's data are made first where it uses them, since paths are looked up as it is read."""
    located = locate(path)
    text = located.read_text(encoding="utf-8", errors="replace") if located.is_file() else ""
    if DEMO_DATA in " ".join([text, *overrides]):
        ensure_dataset()
    return load_study(path, overrides)


def prepared(console: Console, study: StudyConfig) -> None:
    """Make on this machine what the study's trials share, and print what was left out."""
    for line in prepare_study(study):
        say(console, line)


def connected(console: Console, address: str | None) -> Cluster:
    """A cluster, and the line that says where its dashboard is."""
    cluster = connect(address)
    gpus = f", {cluster.gpus:g} GPUs" if cluster.gpus else ""
    where = f"dashboard at {cluster.dashboard}" if cluster.dashboard else "no dashboard (pip install ray[default])"
    say(console, f"Ray: {cluster.cpus:g} CPUs{gpus}; {where}")
    return cluster


def this_command() -> str:
    """What was typed."""
    return shlex.join(["python", *sys.argv])
