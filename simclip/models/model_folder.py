"""Checks of a local model folder that need neither torch nor transformers."""

from __future__ import annotations

import json
from pathlib import Path

import simclip
from simclip.config.explain import hint
from simclip.errors import InputError
from simclip.models.families import DEFAULT, FAMILIES
from simclip.models.family import Family
from simclip.models.open_clip.config import CONFIG, clip_config, read_config

#: OpenCLIP's files of weights, in the order in which they are looked for.
OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
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
    try:
        if files := open_clip_files(model):
            clip_config(read_config(files[0])["model_cfg"])
            return
    except ValueError as error:
        raise InputError(f"model {model!r} cannot be loaded ({error})") from None
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


def open_clip_files(model: str) -> tuple[Path, Path] | None:
    """The folder of open_clip_config.json and the file of weights, if a local model is in OpenCLIP's format only.

    Args:
        model: Hub name, folder, or file of weights.

    Raises:
        ValueError: One of the two is missing, or there are several files of weights.
    """
    path = Path(model)
    if path.is_file():
        if not (path.parent / CONFIG).is_file():
            raise ValueError(
                f"there is no {CONFIG} beside it: write {{'model_cfg': ...}} there as JSON, with what "
                "open_clip.get_model_config(NAME) returns for the name that it was trained as"
            )
        return path.parent, path
    if not (path / CONFIG).is_file() or (path / "config.json").is_file():
        return None
    for name in OPEN_CLIP_WEIGHTS:
        if (path / name).is_file():
            return path, path / name
    trained = sorted(path.glob("*.pt"))
    if len(trained) != 1:
        found = f"{len(trained)} checkpoints (*.pt): give one, e.g. {trained[-1]}" if trained else "no weights"
        raise ValueError(f"it has a {CONFIG} and {found}, or {OPEN_CLIP_WEIGHTS[0]}")
    return path, trained[0]


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


def check_loss(model: str, loss: str, hardness: float = 0.0) -> None:
    """Refuse a loss that a local folder's model cannot learn by; the family of a hub name shows when it is loaded.

    Raises:
        InputError: It cannot.
    """
    family = FAMILIES.get(_model_type(model) or "")
    if family is not None:
        known_loss(family, loss, hardness)


def known_loss(family: Family, loss: str, hardness: float = 0.0) -> str:
    """The name of a loss that a family can learn by; "auto" is its own.

    Raises:
        InputError: It cannot.
    """
    if loss == "auto":
        loss = family.losses[0]
    if loss == "sigmoid" and hardness:
        raise InputError(f"hardness {hardness:g}: the sigmoid loss has none; give train.loss=infonce, or hardness 0")
    if loss not in family.losses:
        known = " or ".join(family.losses)
        raise InputError(f"loss {loss}: a model of the family {family.name} learns by {known}; give train.loss=auto")
    return loss


def _model_type(folder: str) -> str | None:
    """The family that a local folder's config.json or open_clip_config.json names; None if there is no such file."""
    try:
        if files := open_clip_files(folder):
            return str(clip_config(read_config(files[0])["model_cfg"])["model_type"])
        kind: str = json.loads(Path(folder, "config.json").read_text(encoding="utf-8")).get("model_type", DEFAULT)
    except (OSError, ValueError, AttributeError):
        return None
    return kind


def check_counterpart(source: str) -> None:
    """Refuse families that OpenCLIP does not have; other problems show when the model is loaded."""
    family = _model_type(source)
    if family is None:
        return
    counterparts = [name for name, each in FAMILIES.items() if each.exported]
    if family not in counterparts:
        raise InputError(
            f"{source} is a model of the family {family}, which has no OpenCLIP counterpart: export takes "
            f"{' and '.join(counterparts)}"
        )
