"""Clip: a model with its tokenizer and image processor; loading, saving, and both towers as one module."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, PreTrainedTokenizerBase
from transformers.utils import logging

from simclip.data.images import Transform, centre_crop, resize_bicubic
from simclip.data.input_format import InputFormat
from simclip.errors import InputError
from simclip.models.families import family_of
from simclip.models.family import Family
from simclip.models.hub import check_reachable
from simclip.models.lora import adapted_layers, merged_weights
from simclip.models.loss import LOSSES, Loss
from simclip.models.model_folder import check_model_files, is_local, known_loss, open_clip_files
from simclip.models.open_clip.load import hugging_face_folder
from simclip.models.weights import freeze, model_config, trained_model, untrained_model
from simclip.runtime.cache import fingerprint, weights_bytes
from simclip.runtime.randomness import generator


@dataclass(frozen=True)
class Clip:
    """A model with the tokenizer and image processor that prepare its input."""

    model: CLIPModel  # or one of its relatives (see the package `families`)
    tokenizer: PreTrainedTokenizerBase
    image_processor: Any  # its class depends on whether torchvision is installed
    loss_name: str = "auto"

    @property
    def family(self) -> Family:
        """The model's family."""
        return family_of(self.model.config)

    @property
    def loss(self) -> Loss:
        """The loss that the model learns by."""
        return LOSSES[known_loss(self.family, self.loss_name)]

    @torch.no_grad()
    def contrastive_loss(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """The loss of a batch of unit embeddings [n, d] with the model's own logit parameters, on its device."""
        return self.loss.whole(images, texts, self.family.logit_parameters(self.model))

    @property
    def image_size(self) -> int:
        """Side of the model's input, in pixels."""
        return int(self.model.vision_model.config.image_size)

    @property
    def max_tokens(self) -> int:
        """Maximum number of tokens in a caption, special tokens included."""
        return min(self.family.most_positions(self.model.config), self.tokenizer.model_max_length)

    @property
    def transform(self) -> Transform:
        """The evaluation transform: OpenCLIP's centre crop, unless the model's own processor resizes without a crop."""
        processor = self.image_processor
        stretches = getattr(processor.size, "height", None) and not getattr(processor, "do_center_crop", False)
        return resize_bicubic if stretches else centre_crop

    @property
    def input_format(self) -> InputFormat:
        """What the model takes as input."""
        style = {"lower_case": self.family.lower_case, "padded": self.family.padded}
        return InputFormat(self.tokenizer, self.max_tokens, self.image_size, self.transform, **style)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each colour channel, for values from 0 to 1."""
        return tuple(self.image_processor.image_mean)

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each colour channel, for values from 0 to 1."""
        return tuple(self.image_processor.image_std)

    def identity(self) -> str:
        """A key of weights, architecture and preprocessing: everything that an embedding depends on."""
        shape = {k: v for k, v in self.model.config.to_dict().items() if k != "_name_or_path"}
        views: tuple[Any, ...] = (self.transform.__name__, self.mean, self.std)
        if (loss := known_loss(self.family, self.loss_name)) != "infonce":  # the only one in earlier versions
            views += (loss,)
        return fingerprint(weights_bytes(merged_weights(self.model).items()), repr((shape, views)).encode())

    def save(self, folder: Path) -> None:
        """Write a Hugging Face folder: weights, with adapters merged into them, tokenizer and image processor."""
        with _without_bars():  # a model is written in a moment
            self.model.save_pretrained(folder, state_dict=merged_weights(self.model))
        self.tokenizer.save_pretrained(folder)
        self.image_processor.save_pretrained(folder)


@contextmanager
def _without_bars() -> Iterator[None]:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_clip(
    name: str,
    *,
    preprocessor: str | None = None,
    pretrain: bool = False,
    frozen: Literal["none", "image", "text"] = "none",
    loss: str = "auto",
    seed: int = 1,
) -> Clip:
    """Load a model in fp32 on the CPU.

    Args:
        name: Hub name or local folder.
        preprocessor: Hub name or folder of tokenizer and image processor; by default the model's.
        pretrain: Whether to start from random weights.
        frozen: Tower that is not trained.
        loss: Name of the loss, or "auto" for the family's own.
        seed: Seed of the random weights.

    Raises:
        InputError: The hub does not have the model, the folder does not hold a complete CLIP, or its family cannot
            learn by the loss.
    """
    check_model_folder(name, needs_weights=not pretrain)
    if preprocessor and is_local(preprocessor) and not Path(preprocessor).is_dir():
        raise InputError(f"no such preprocessor folder: {preprocessor}; give a local folder or a hub name")
    loading, source = f"model {name!r}", preprocessor or name
    try:
        check_reachable(name)
        folder = hugging_face_folder(name, with_tokenizer=preprocessor is None)
        source = preprocessor or folder
        model = _random_start(folder, seed) if pretrain else trained_model(folder)
        loading = f"tokenizer and image processor of {source!r}"
        check_reachable(source)
        tokenizer = _tokenizer(source, model)
        processor = AutoImageProcessor.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # broken files raise exceptions of a dozen types
        raise _not_loading(loading, error) from error
    clip = Clip(model, tokenizer, processor, known_loss(family_of(model.config), loss))
    if frozen != "none":
        freeze(model, frozen)
    return clip


def check_model_folder(model: str, needs_weights: bool = True) -> None:
    """Refuse a local folder that cannot be loaded; hub names are left to the hub.

    Raises:
        InputError: A file is missing, or the model belongs to a family that cannot be trained.
    """
    check_model_files(model, needs_weights)
    if Path(model).is_dir() and not open_clip_files(model):
        try:
            model_config(model)
        except Exception as error:
            raise _not_loading(f"model {model!r}", error) from error


def check_lora_targets(name: str, targets: Sequence[str], frozen: str) -> None:
    """Refuse targets that name no layer of a model, without its weights (see `lora.adapted_layers`).

    Raises:
        InputError: There is no such layer, or the model cannot be loaded.
    """
    check_model_folder(name)
    try:
        check_reachable(name)
        with torch.device("meta"):
            model = untrained_model(hugging_face_folder(name, with_tokenizer=False), 0)
    except Exception as error:
        raise _not_loading(f"model {name!r}", error) from error
    adapted_layers(model, targets, frozen)


def _not_loading(what: str, error: Exception) -> InputError:
    reason = textwrap.shorten(str(error), 250) or type(error).__name__
    if "trust_remote_code" in str(error):
        reason = "it needs code of its own, which is never executed"
    return InputError(f"{what} cannot be loaded ({reason}): give a folder or hub name of a CLIP")


def _tokenizer(source: str, model: CLIPModel) -> PreTrainedTokenizerBase:
    """Load a tokenizer and check it: transformers makes an empty one if its files are missing."""
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    most = model.text_model.config.vocab_size
    if not len(tokenizer.all_special_ids) < len(tokenizer) <= most:
        raise ValueError(f"its vocabulary has {len(tokenizer)} tokens, the model's {most}")
    family_of(model.config).check_tokenizer(tokenizer, model.config)
    return tokenizer


def _random_start(name: str, seed: int) -> CLIPModel:
    return untrained_model(name, int(generator(seed, "initial weights").integers(2**31)))


class TwoTowers(nn.Module):
    """Both towers in one forward pass, as DistributedDataParallel requires."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.model = model
        self.family = family_of(model.config)

    def forward(
        self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compute unit embeddings of images and texts, both [n, d], and the logit parameters."""
        logit_parameters = self.family.logit_parameters(self.model)
        return embed_images(self.model, pixels), embed_texts(self.model, ids, mask), logit_parameters


def embed_images(model: CLIPModel, pixels: torch.Tensor) -> torch.Tensor:
    """Embed normalised pixels [n, 3, s, s]; returns fp32 [n, d], L2-normalised."""
    return F.normalize(model.get_image_features(pixel_values=pixels).pooler_output.float(), dim=-1)


def embed_texts(model: CLIPModel, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Embed token ids and their mask, both [n, tokens]; returns fp32 [n, d], L2-normalised.

    Given a mask of two dimensions, transformers would wait for the device to see whether anything is masked.
    """
    masked = mask[:, None, None, :].bool() if family_of(model.config).masked else None
    return F.normalize(model.get_text_features(input_ids=ids, attention_mask=masked).pooler_output.float(), dim=-1)
