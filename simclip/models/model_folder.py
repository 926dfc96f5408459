"""Checks of a local model folder that need neither torch nor transformers."""

from __future__ import annotations

import json
from pathlib import Path

import simclip
from simclip.config.explain import hint
from simclip.errors import InputError

#: Families whose towers OpenCLIP has too, layer by layer.
COUNTERPARTS = ("clip", "metaclip_2")
WEIGHTS = ("model*.safetensors", "model*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model*.bin.index.json")


def check_model_files(model: str, needs_weights: bool = True) -> None:
    """Refuse a local folder that lacks a file; hub names are left to the hub.

    Args:
        model: Hub name or local folder.
        needs_weights: Whether the run starts from the model's own weights.

    Raises:
        InputError: There is no such folder, or it has no config.json or no weights.
    """
    folder = Path(model)
    if not folder.is_dir():
        if is_local(model):
            beside = [str(each) for each in sorted(folder.parent.glob("*/")) if (each / "config.json").is_file()]
            meant = f"; {hint(model, beside)}" if beside else ""
            raise InputError(f"no such model folder: {model}; give a local Hugging Face folder or a hub name{meant}")
        return
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} is not a model folder: it has no config.json")
    if needs_weights and not any(True for pattern in WEIGHTS for _ in folder.glob(pattern)):
        raise InputError(
            f"{folder} has no weights (model.safetensors or pytorch_model.bin): save the model there again"
        )


def is_local(model: str) -> bool:
    """Whether a name is a folder's: hub names look like owner/model, and no folder here is called like the owner."""
    parents = [folder / Path(model).parent for folder in (Path(), Path(simclip.__file__).parents[1])]
    return (
        Path(model).is_absolute()
        or model.startswith((".", "~"))
        or model.endswith("/")
        or model.count("/") > 1
        or ("/" in model and any(each.is_dir() for each in parents))
    )


def brings_code(folder: str) -> bool:
    """Whether a local folder's configuration names classes of the folder's own code, which is never executed."""
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        try:
            if json.loads(Path(folder, name).read_text(encoding="utf-8")).get("auto_map"):
                return True
        except (OSError, ValueError, AttributeError):
            continue
    return False


def check_target(folder: Path) -> None:
    """Refuse to write a model over something else.

    Raises:
        InputError: The folder is not empty, or a file.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} already exists: give a new or an empty folder with --to")


def check_counterpart(source: str) -> None:
    """Refuse families that OpenCLIP does not have; other problems show when the model is loaded."""
    try:
        family = json.loads(Path(source, "config.json").read_text(encoding="utf-8")).get("model_type", "clip")
    except (OSError, ValueError, AttributeError):
        return
    if family not in COUNTERPARTS:
        raise InputError(
            f"{source} is a model of the family {family}, which has no OpenCLIP counterpart: export takes "
            f"{' and '.join(COUNTERPARTS)}"
        )
