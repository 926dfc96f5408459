"""The original's flags, as an argparse parser: names, types, defaults, help by topic."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from simclip.config.explain import nearest
from simclip.config.schema import parse_fraction
from simclip.errors import InputError
from simclip.train.fields.model import DEFAULT_MODEL

#: Flags that a better mechanism has replaced, by destination.
SUPERSEDED = ("save_freq", "log_offset", "preprocess_neighbors")


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one-line InputErrors."""

    def error(self, message: str) -> NoReturn:
        """Raise the message that argparse would print."""
        raise InputError(f"{message} (--help lists the flags)")


def read_flags(argv: Sequence[str]) -> dict[str, Any]:
    """The given flags and the defaults of the others, by destination; many destinations are fields of TrainConfig.

    Raises:
        InputError: An unknown flag, with the most similar known one, or an invalid value.
        SystemExit: After --help.
    """
    parser = build_parser()
    flags, unknown = parser.parse_known_args([_with_dashes(word) for word in argv])
    if unknown:
        word = next((each for each in unknown if each.startswith("-")), unknown[0]).partition("=")[0]
        near = nearest(word, flag_names(parser).values())
        raise InputError(f"{word}: no such flag; {f'did you mean {near}?' if near else '--help lists the flags'}")
    return vars(flags)


def flag_names(parser: argparse.ArgumentParser) -> dict[str, str]:
    """The flag of every destination."""
    return {action.dest: action.option_strings[-1] for action in parser._actions}


def build_parser() -> Parser:
    """All flags. A flag without a default here is absent unless given, and TrainConfig decides."""
    parser = Parser(
        prog="python -m simclip",
        description="One fine-tuning run of CLIP with similarity clusters, by the original's flags. "
        "Dashes and underscores are the same, as are --flag value and --flag=value.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    _add_run(parser.add_argument_group("run"))
    _add_data(parser.add_argument_group("data"))
    _add_model(parser.add_argument_group("model"))
    _add_clusters(parser.add_argument_group("similarity clusters"))
    _add_mixed_in(parser.add_argument_group("a rare set mixed in"))
    _add_training(parser.add_argument_group("length, batches, optimisation"))
    _add_superseded(parser.add_argument_group("accepted without effect"))
    return parser


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--exp-name", default="simclip", metavar="NAME", help="experiment, under which runs are logged")
    group.add_argument("--run-name", metavar="NAME", help="default: made from the settings")
    group.add_argument("--save-dir", type=_path, default=_path("ckpts"), metavar="DIR", help="default: ./ckpts")
    group.add_argument("--log-dir", metavar="NAME", help="the run's folder in --save-dir; default: its --run-name")
    group.add_argument("--seed", type=int, metavar="INT", help="default: 1; 0 is a seed like any other")
    _switch(group, "--data-parallel", True, "use every visible GPU (the default); False: one")
    group.add_argument(
        "--num-workers", dest="data_workers", type=int, metavar="INT", help="image decoding processes; default: 0"
    )


def _add_data(group: argparse._ArgumentGroup) -> None:
    for part, use in (("train", "train on"), ("val", "validate on")):
        group.add_argument(
            f"--{part}-tsv",
            type=_path,
            metavar="TSV",
            help=f"required: pairs to {use}; columns image, caption1, caption2, ...",
        )
        group.add_argument(
            f"--{part}-image-dir", type=_path, metavar="DIR", help="required: folder that their images lie in"
        )
    group.add_argument(
        "--caption-keys",
        dest="caption_columns",
        type=_names,
        action=_Listed,
        nargs="+",
        metavar="COLUMN",
        help="caption columns, by commas or spaces; default: every column that starts with 'caption'",
    )


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model-name",
        dest="model",
        type=_hub_or_folder,
        metavar="NAME",
        help=f"hub name or local folder; default: {DEFAULT_MODEL}",
    )
    group.add_argument(
        "--preprocessor-path",
        dest="preprocessor",
        type=_hub_or_folder,
        metavar="NAME",
        help="hub name or folder of tokenizer and image processor; default: the model's",
    )
    _switch(group, "--pretrain", False, "start from random weights")


def _add_clusters(group: argparse._ArgumentGroup) -> None:
    _switch(group, "--synthesis", False, "build batches from similarity clusters; without it, plain fine-tuning")
    group.add_argument(
        "--synthesis-prop",
        type=_proportion,
        metavar="P",
        help="share of a batch that comes in clusters, a number or fraction; under --warmup-prop the initial one; "
        "default: 1",
    )
    group.add_argument(
        "--num-clusters",
        type=_positive,
        metavar="C",
        help="clusters in a batch, so that k = floor(pN) / C, which must be whole; default: 4",
    )
    group.add_argument(
        "--cluster-size", type=_positive, metavar="K", help="instead of --num-clusters; default with --warmup-prop: 4"
    )
    group.add_argument(
        "--neighborhood",
        type=_positive,
        metavar="S",
        help="neighbours are drawn from the S(k-1) most similar rows; default: 1",
    )
    group.add_argument(
        "--online-sim",
        choices=["text", "image"],
        help="measure similarity on these embeddings, refreshed each epoch; default: text, made once",
    )
    _switch(group, "--warmup-prop", False, "start with --synthesis-prop and double it at --upweight-epochs, up to 1")
    group.add_argument(
        "--upweight-epochs",
        type=_epochs,
        action=_Listed,
        nargs="+",
        metavar="EPOCH",
        help="epochs, from 0, by commas or spaces; default: 4,6,8,10,12,14,16,18",
    )


def _add_mixed_in(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--mnist-injection",
        type=_count,
        default=0,
        metavar="N",
        help="number of MNIST digits to mix into training; default: 0",
    )
    group.add_argument(
        "--mnist-dir",
        type=_path,
        default=_path("mnist_data"),
        metavar="DIR",
        help="folder of MNIST's IDX files, .gz or not; default: ./mnist_data",
    )


def _add_training(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--num-epochs", dest="epochs", type=_positive, default=15, metavar="INT", help="default: 15")
    group.add_argument(
        "--max-iters-per-epoch",
        dest="iterations_per_epoch",
        type=_positive,
        metavar="INT",
        help="iterations of an epoch; default: floor(rows / batch size)",
    )
    group.add_argument("--batch-size", type=_positive, default=1024, metavar="N", help="over all GPUs; default: 1024")
    group.add_argument("--val-batch-size", type=_positive, metavar="INT", help="default: 1024")
    group.add_argument("--learning-rate", type=float, metavar="FLOAT", help="default: 1e-5; with --pretrain 5e-4")


def _add_superseded(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--save-freq", type=int, metavar="INT", help="every epoch is saved to resume from; best and last are kept"
    )
    group.add_argument("--log-offset", type=int, metavar="INT", help="a resumed run goes on counting its epochs")
    _switch(group, "--preprocess-neighbors", False, "the neighbours of a whole epoch are always found together")


def _switch(group: argparse._ArgumentGroup, flag: str, default: bool, text: str) -> None:
    group.add_argument(flag, type=_truth, nargs="?", const=True, default=default, metavar="BOOL", help=text)


class _Listed(argparse.Action):
    """One list of all words; a word may hold several items, separated by commas."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, [item for word in values for item in word])


def _names(word: str) -> list[str]:
    names = [name.strip() for name in word.strip(",").split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{word!r}: expected column names such as caption1,caption2")
    return names


def _epochs(word: str) -> list[int]:
    epochs = word.strip(",").split(",")
    if not all(epoch.strip().isdecimal() for epoch in epochs):
        raise argparse.ArgumentTypeError(f"{word!r}: expected epochs such as 4,6,8, counted from 0")
    return [int(epoch) for epoch in epochs]


def _count(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"{word!r}: expected a whole number of at least 0")
    return int(word)


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) == 0:
        raise argparse.ArgumentTypeError(f"{word!r}: expected a whole number of at least 1")
    return int(word)


def _proportion(word: str) -> float:
    try:
        proportion = float(str(parse_fraction(word)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not 0 <= proportion <= 1:
        raise argparse.ArgumentTypeError(f"{word!r}: expected a share from 0 to 1, such as 0.5 or 1/512")
    return proportion


def _truth(word: str) -> bool:
    if word.lower() not in ("true", "1", "yes", "false", "0", "no"):
        raise argparse.ArgumentTypeError(f"{word!r}: expected True or False, or the flag alone")
    return word.lower() in ("true", "1", "yes")


def _path(word: str) -> Path:
    return Path(word).expanduser().absolute()


def _hub_or_folder(word: str) -> str:
    return str(_path(word)) if _path(word).is_dir() else word


def _with_dashes(word: str) -> str:
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value
