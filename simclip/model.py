"""A CLIP model with its tokenizer and image processor: loading, saving, and the two towers as one module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerBase,
)

from simclip.config import TrainConfig
from simclip.errors import InputError
from simclip.randomness import generator

WEIGHTS = ("model*.safetensors", "model*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model*.bin.index.json")


@dataclass(frozen=True)
class Clip:
    """A model and what turns captions and images into its input."""

    model: CLIPModel
    tokenizer: PreTrainedTokenizerBase
    image_processor: CLIPImageProcessor

    @property
    def image_size(self) -> int:
        """Side of the model's input, pixels."""
        return int(self.model.vision_model.config.image_size)

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest caption that the model takes, special ones included."""
        return int(self.model.text_model.config.max_position_embeddings)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each colour channel, of values from 0 to 1."""
        return tuple(self.image_processor.image_mean)

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each colour channel."""
        return tuple(self.image_processor.image_std)

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face folder: weights, tokenizer, image processor."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self.image_processor.save_pretrained(folder)


def load_clip(config: TrainConfig) -> Clip:
    """Load the model that a run starts from, in fp32 on the CPU.

    Raises:
        InputError: A hub name that cannot be reached, or a folder that is no CLIP.
    """
    check_model_folder(config.model, needs_weights=not config.pretrain)
    source = config.preprocessor or config.model
    try:
        model = _random_start(config) if config.pretrain else CLIPModel.from_pretrained(config.model, dtype="float32")
        tokenizer = AutoTokenizer.from_pretrained(source)
        processor = AutoImageProcessor.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"model {config.model!r} does not load as CLIP ({reason}): give a folder or hub name"
        ) from error
    return Clip(model.float(), tokenizer, processor)


def check_model_folder(model: str, needs_weights: bool = True) -> None:
    """Refuse a local folder that cannot be loaded, before anything is spent; hub names are left to the hub.

    Raises:
        InputError: The folder has no config.json or no weights.
    """
    folder = Path(model)
    if not folder.is_dir():
        if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
            raise InputError(f"no such model folder: {model}; give a local Hugging Face folder or a hub name")
        return
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} is no model folder: it has no config.json")
    if needs_weights and not any(True for pattern in WEIGHTS for _ in folder.glob(pattern)):
        raise InputError(
            f"{folder} has no weights (model.safetensors or pytorch_model.bin): save the model there again"
        )


def _random_start(config: TrainConfig) -> CLIPModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(config.seed, "initial weights").integers(2**31)))
        return CLIPModel(CLIPConfig.from_pretrained(config.model))


class TwoTowers(nn.Module):
    """Both towers in one forward pass, as DistributedDataParallel wants it."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Unit embeddings of images and texts, both [n, d], and the factor of their cosines."""
        return embed_images(self.model, pixels), embed_texts(self.model, ids, mask), self.model.logit_scale.exp()


def embed_images(model: CLIPModel, pixels: torch.Tensor) -> torch.Tensor:
    """fp32 [n, d], rows of length 1, of normalised pixels [n, 3, s, s]."""
    return F.normalize(model.get_image_features(pixel_values=pixels).pooler_output.float(), dim=-1)


def embed_texts(model: CLIPModel, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """fp32 [n, d], rows of length 1, of token ids and their mask [n, tokens]."""
    return F.normalize(model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output.float(), dim=-1)
