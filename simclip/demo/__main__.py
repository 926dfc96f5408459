"""`python -m simclip.demo data | base | preview`: make the demo's data, its base model, or a contact sheet."""

from __future__ import annotations

from pathlib import Path

import tyro

from simclip.demo.dataset import BASE, FOLDER, ensure_dataset
from simclip.demo.preview import write_preview


def data(folder: Path = FOLDER) -> None:
    """Make the data set, unless the current version exists.

    Args:
        folder: folder to write.
    """
    print(ensure_dataset(folder))


def base(folder: Path = BASE) -> None:
    """Train the base model: about a minute on one core.

    Args:
        folder: folder to write.
    """
    from simclip.demo.base import make_base  # transformers takes seconds to import

    print(make_base(folder))


def preview(file: Path = Path("results/demo-preview.png")) -> None:
    """Draw a contact sheet of the data set.

    Args:
        file: PNG to write.
    """
    print(write_preview(file))


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {"data": data, "base": base, "preview": preview}, prog="python -m simclip.demo"
    )
