"""OpenCLIP's checkpoints as Hugging Face folders, converted when a model is loaded and kept in the cache."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModel, AutoTokenizer
from transformers.utils import cached_file

from simclip.models.model_folder import is_local, open_clip_files
from simclip.models.open_clip.config import CONFIG, NAMES, clip_config, image_processor, read_config
from simclip.runtime.cache import file_stamps, fingerprint, one_process
from simclip.runtime.files import cache_folder

#: OpenCLIP's tokenizer, where a model names none.
TOKENIZER = "openai/clip-vit-base-patch32"
TOKENIZER_FILES = ("tokenizer*.json", "special_tokens_map.json", "vocab.*", "merges.txt", "*.model")


def hugging_face_folder(name: str, with_tokenizer: bool = True) -> str:
    """The name itself, or a converted copy if it is a model in OpenCLIP's format only.

    Args:
        name: Hub name, folder, or file of weights beside its open_clip_config.json.
        with_tokenizer: Whether the copy needs a tokenizer: the folder's, else the one that the configuration names.

    Raises:
        ValueError: The model has no counterpart, or its weights do not fit its configuration.
    """
    if not is_local(name) and not Path(name).exists():
        if _has_config(name):
            return name
        name = snapshot_download(name, allow_patterns=[CONFIG, "open_clip_*", *TOKENIZER_FILES])
    files = open_clip_files(name)
    if files is None:
        return name
    folder, weights = files
    tokens = sorted(path for pattern in TOKENIZER_FILES for path in folder.glob(pattern)) if with_tokenizer else []
    key = fingerprint(file_stamps([folder / CONFIG, weights, *tokens]), str(with_tokenizer).encode())
    target = cache_folder() / f"open-clip-{key}"
    with one_process(target, f"a copy of {name}"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                made = Path(scratch, "model")
                _convert(read_config(folder), weights, made)
                _copy_tokenizer(tokens, read_config(folder), made, with_tokenizer)
                made.replace(target)
    return str(target)


def _has_config(name: str) -> bool:
    """Whether a hub's model has a config.json; a hub that cannot be reached is found out when the model is loaded."""
    try:
        return cached_file(name, "config.json", _raise_exceptions_for_missing_entries=False) is not None
    except Exception:
        return True


def _convert(content: dict[str, Any], weights: Path, folder: Path) -> None:
    fields = clip_config(content["model_cfg"])
    config = CONFIG_MAPPING[fields.pop("model_type")](**fields)
    with torch.device("meta"):
        expected = AutoModel.from_config(config).state_dict()
    found = converted_weights(read_weights(weights))
    for name in sorted({*expected} ^ {*found}):
        where = "is missing from" if name in expected else "is in, but has no counterpart,"
        raise ValueError(f"{name} {where} the weights of {weights.name}, by its {CONFIG}")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(f"{name} is {list(tensor.shape)}, but {list(expected[name].shape)} by its {CONFIG}")
    config.save_pretrained(folder)
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
    processor = image_processor(content["preprocess_cfg"], config.vision_config.image_size)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read weights under OpenCLIP's names from safetensors, or from a file of torch without running code in it.

    Checkpoints of OpenCLIP's trainer hold them as `state_dict`, with prefixes of its wrappers.
    """
    if path.suffix == ".safetensors":
        weights = load_file(path)
    else:
        content = torch.load(path, map_location="cpu", weights_only=True)
        weights = content.get("state_dict", content)
    for prefix in ("module.", "_orig_mod.", "text."):
        if prefix == "text." or all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights


def converted_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Convert names and shapes, in fp32: the inverse of `export.open_clip_weights`."""
    found = {}
    for name, tensor in weights.items():
        ours, tensor = _renamed(name), tensor.float()
        if name in ("visual.proj", "text_projection"):
            tensor = tensor.T
        if ".attn.in_proj_" in name:
            for part, each in zip("qkv", tensor.chunk(3), strict=True):
                found[ours.replace("attn.in_proj_", f"self_attn.{part}_proj.")] = each.contiguous()
        else:
            found[ours] = tensor.contiguous()
    return found


def _renamed(name: str) -> str:
    """Longer names first, as some are parts of others."""
    for ours, theirs in sorted(NAMES.items(), key=lambda pair: -len(pair[1])):
        name = name.replace(theirs, ours)
    return name


def _copy_tokenizer(files: list[Path], content: dict[str, Any], folder: Path, needed: bool) -> None:
    for file in files:
        shutil.copy(file, folder)
    if needed and not any(file.name.startswith(("tokenizer", "vocab")) for file in files):
        source = content["model_cfg"]["text_cfg"].get("hf_tokenizer_name") or TOKENIZER
        try:
            AutoTokenizer.from_pretrained(source, trust_remote_code=False).save_pretrained(folder)
        except OSError as error:
            raise ValueError(
                f"it has no tokenizer, and {source!r} cannot be loaded: put tokenizer.json there, or set preprocessor"
            ) from error
