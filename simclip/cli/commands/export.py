"""`tune.py export`: a model for OpenCLIP and clip_benchmark."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Annotated

import tyro

from simclip.cli.exits import DONE
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.config.uris import is_uri
from simclip.errors import InputError
from simclip.models.model_folder import check_counterpart, check_model_files, check_target
from simclip.runtime.gc import paused_gc
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder


def export(
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS|MODEL")],
    to: Annotated[str, tyro.conf.arg(metavar="DIR")],
) -> int:
    """Write a study's best model, or any CLIP, to a folder that Hugging Face and OpenCLIP load.

    Args:
        source: results folder of a study or its URI, or a model folder.
        to: folder to write; new or empty.
    """
    console = SafeConsole()
    if is_uri(to):
        raise InputError(f"--to {to}: OpenCLIP loads from local folders; give one")
    target = Path(to).expanduser().absolute()
    check_target(target)
    with tempfile.TemporaryDirectory() as scratch:
        model = _model(source, Path(scratch))
        check_model_files(model, needs_weights=False)
        check_counterpart(model)
        check_model_files(model)
        say(console, f"Exporting {model}...")
        with paused_gc():
            from transformers.utils.logging import disable_progress_bar

            from simclip.models.open_clip.export import export_model
        disable_progress_bar()  # loading takes a second
        clip = export_model(model, target)
    say(console, f"{target}: a CLIP of {clip.model.num_parameters():,} parameters, for Hugging Face and OpenCLIP")
    say(console, "Evaluate it (pip install -r requirements-evaluation.txt), where DATASETS is the folder of Flickr30k:")
    say(console, shlex.join(benchmark_command(target)))
    return DONE


def benchmark_command(model: Path) -> list[str]:
    """The command that runs clip_benchmark on an exported folder, in fp32 like a study's evaluation on a CPU."""
    return [
        *("clip_benchmark", "eval", "--model", f"local-dir:{model}", "--pretrained", "none"),
        *("--dataset", "flickr30k", "--dataset_root", "DATASETS", "--task", "zeroshot_retrieval"),
        *("--recall_k", "1", "5", "10", "--no_amp", "--num_workers", "0", "--output", f"{model.name}.json"),
    ]


def _model(source: str, scratch: Path) -> str:
    """The model folder of the source, copied to this machine if it lies in a bucket."""
    if not is_uri(source) and not Path(source).is_dir():
        raise InputError(f"no such folder: {source}; give the results folder of a study, or a model folder")
    results = StudyFolder.at(source)
    if studies := sorted(path.parent for path in results.path.glob(f"*/{layout.STUDY}")):
        raise InputError(f"{source} holds the results of {len(studies)} studies: give one of them, e.g. {studies[0]}")
    if not results.file.is_file():
        return str(results.storage.fetch("", scratch))
    best = results.storage.fetch(layout.BEST_MODEL, scratch)
    if not best.is_dir():
        raise InputError(f"{results.place(layout.BEST_MODEL)}: no such folder; no arm of the study has finished yet")
    return str(best)
