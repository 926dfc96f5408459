"""The original's command line: its flags, turned into a run of this project."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simclip.cli.commands.original_flags import SUPERSEDED, build_parser, flag_names, read_flags
from simclip.config.proportion import clustered_rows, doubled_proportions
from simclip.errors import InputError
from simclip.prepare.mnist import Digits
from simclip.train.config import CLUSTER_FIELDS, TrainConfig

DOUBLINGS = [4, 6, 8, 10, 12, 14, 16, 18]
REQUIRED = ("train_tsv", "train_image_dir", "val_tsv", "val_image_dir")
WITHOUT_SYNTHESIS = ("synthesis_prop", "num_clusters", "cluster_size", "neighborhood", "online_sim", "upweight_epochs")


@dataclass(frozen=True)
class Run:
    """A run as described by the original's flags.

    Attributes:
        name: Name of experiment and run, for logs.
        project: Name of the experiment, under which loggers file the run.
        save_dir: Absolute folder of the run's results. Settings that the original varies have folders of their
            own unless --log-dir or --run-name says otherwise.
        data_parallel: Whether to use every visible GPU instead of one.
        config: The configuration of the training run.
        notes: Lines to print before the run.
        digits: The digits of --mnist-injection, to be written before the run; the configuration names their table.
    """

    name: str
    project: str
    save_dir: Path
    data_parallel: bool
    config: TrainConfig
    notes: list[str]
    digits: Digits | None = None


def parse(argv: Sequence[str] | None = None) -> Run:
    """Read the flags; dashes and underscores in their names are equivalent.

    Args:
        argv: The words after the command; by default sys.argv's.

    Raises:
        InputError: An unknown flag, an invalid value, or flags that contradict each other.
        SystemExit: After --help.
    """
    flags = read_flags(sys.argv[1:] if argv is None else argv)
    if missing := [_flag(name) for name in REQUIRED if name not in flags]:
        raise InputError(
            f"{', '.join(missing)} missing: a run needs pairs and their images for training and validation"
        )
    ordinary = [name for name in TrainConfig.model_fields if name in flags and name not in CLUSTER_FIELDS]
    fields = {name: flags[name] for name in ordinary} | _cluster_fields(flags)
    config, digits = _config(fields), None
    if count := flags["mnist_injection"]:
        digits = Digits(flags["mnist_dir"], count, config.seed, flags["save_dir"])
        config = _config(fields | {"train_tables": [digits.table]})
    run_name = flags.get("run_name") or Path(flags.get("log_dir", "")).name or describe(config, digits)
    return Run(
        name=f"{flags['exp_name']}-{run_name}",
        project=flags["exp_name"],
        save_dir=flags["save_dir"] / (flags.get("log_dir") or run_name),
        data_parallel=flags["data_parallel"],
        config=config,
        notes=_notes(flags, config),
        digits=digits,
    )


def describe(config: TrainConfig, digits: Digits | None = None) -> str:
    """A run's name made of the settings that the original varies, e.g. text+p1+k16+s1+seed1."""
    words = ["pretrain"] if config.pretrain else []
    words += [f"mnist{digits.count}"] if digits else []
    if config.is_control:
        return "+".join([*words, "plain", f"seed{config.seed}"])
    words += ["warmup"] if config.proportions else []
    words += ["offline"] if config.embeddings == "offline" else []
    p, k, s = config.proportion, config.cluster_size, config.neighborhood
    return "+".join([*words, config.similarity, f"p{p:g}", f"k{k}", f"s{s}", f"seed{config.seed}"])


def _cluster_fields(flags: dict[str, Any]) -> dict[str, Any]:
    if not flags["synthesis"]:
        if flags["warmup_prop"]:
            raise InputError("--warmup-prop needs --synthesis, which builds batches from clusters: add it")
        return {}
    fields = {
        "proportion": flags.get("synthesis_prop", 1.0),
        "neighborhood": flags.get("neighborhood", 1),
        "similarity": flags.get("online_sim", "text"),
        "embeddings": "online" if "online_sim" in flags else "offline",
    }
    if flags["warmup_prop"]:
        if fields["proportion"] == 1:
            raise InputError("--warmup-prop needs a --synthesis-prop below 1 to start from, such as 1/256")
        proportions = doubled_proportions(fields["proportion"], flags["epochs"], _doublings(flags))
        fields |= {"proportions": proportions, "proportion": proportions[-1]}
    return fields | {"cluster_size": _cluster_size(flags, fields["proportion"])}


def _doublings(flags: dict[str, Any]) -> list[int]:
    """The epochs of this run at which p doubles, without duplicates."""
    return sorted({epoch for epoch in flags.get("upweight_epochs", DOUBLINGS) if epoch < flags["epochs"]})


def _cluster_size(flags: dict[str, Any], final: float) -> int:
    """k as given, or floor(pN) / C with the final p, since k stays the same while p warms up."""
    if final == 0:
        return 1
    if "num_clusters" not in flags and ("cluster_size" in flags or flags["warmup_prop"]):
        return flags.get("cluster_size", 4)
    clusters, clustered = flags.get("num_clusters", 4), clustered_rows(final, flags["batch_size"])
    where = f"--num-clusters {clusters}: a batch has floor(pN) = {clustered} clustered rows (p = {_fraction(final)}, "
    where += f"N = {flags['batch_size']})"
    if clustered == 0:
        raise InputError(f"{where}: raise --synthesis-prop or --batch-size")
    if clustered % clusters:
        nearest = min((c for c in range(1, clustered + 1) if clustered % c == 0), key=lambda c: abs(c - clusters))
        raise InputError(f"{where}, which it must divide: {nearest} is the nearest number that does")
    size = clustered // clusters
    if flags.get("cluster_size", size) != size:
        raise InputError(
            f"{where}, so that k = {size}, but --cluster-size is {flags['cluster_size']}: give one of them"
        )
    return size


def _config(fields: dict[str, Any]) -> TrainConfig:
    try:
        return TrainConfig(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = flag_names(build_parser()).get(str(first["loc"][0])) if first["loc"] else None
        where = f"{name} {first['input']}: " if name else ""
        raise InputError(where + first["msg"].removeprefix("Value error, ")) from error


def _notes(flags: dict[str, Any], config: TrainConfig) -> list[str]:
    notes = []
    if superseded := [_flag(name) for name in SUPERSEDED if flags.get(name)]:
        notes.append(f"{', '.join(superseded)}: accepted without effect; --help says what does the job now")
    if not flags["synthesis"]:
        if unused := [_flag(name) for name in WITHOUT_SYNTHESIS if name in flags]:
            notes.append(f"without --synthesis this is plain fine-tuning: {', '.join(unused)} not used")
    elif config.proportions is not None:
        notes.append(_warmup_note(flags, config.proportions))
    elif "upweight_epochs" in flags:
        notes.append("--upweight-epochs is not used without --warmup-prop")
    return notes


def _warmup_note(flags: dict[str, Any], proportions: list[float]) -> str:
    doublings, initial = _doublings(flags), _fraction(flags["synthesis_prop"])
    if not doublings:
        return f"p stays at {initial}: none of --upweight-epochs lies within {flags['epochs']} epochs"
    note = f"p starts at {initial} and doubles at epochs {', '.join(map(str, doublings))}: it ends at "
    if proportions[-1] == 1:
        return note + "1"
    return note + f"{_fraction(proportions[-1])}; ending at 1 needs {Fraction(1, 2 ** len(doublings))}"


def _fraction(proportion: float) -> Fraction:
    return Fraction(proportion).limit_denominator(10**6)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
