"""LoRA: low-rank adapters of a model's linear layers, trained in their place (Hu et al. 2022), by the peft library."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from transformers import CLIPModel

from simclip.errors import InputError
from simclip.models.depth import NUMBER
from simclip.models.families import family_of
from simclip.models.family import TOWERS
from simclip.runtime.randomness import generator

#: Trained beside the adapters: without them, the loss could not set its temperature.
ALSO_TRAINED = ("logit_scale", "logit_bias")


def add_adapters(
    model: CLIPModel, rank: int, alpha: int | None, targets: Sequence[str] | None, frozen: str, seed: int
) -> None:
    """Add adapters to a model in place, and freeze everything else except scale and bias of the logits.

    At first they change nothing: one of their two matrices is zero.

    Args:
        model: The model.
        rank: Rank of the adapters, at least 1.
        alpha: Adapters are multiplied by alpha / rank; by default alpha is twice the rank.
        targets: Last parts of the names of linear layers; by default all in the numbered layers of the towers: those of
            attention and MLP.
        frozen: Tower without adapters.
        seed: Seed of their random matrix.

    Raises:
        InputError: A target names no linear layer.
    """
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds

    layers = adapted_layers(model, targets, frozen)
    config = LoraConfig(r=rank, lora_alpha=alpha or 2 * rank, target_modules=layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, "adapters").integers(2**31)))
        inject_adapter_in_model(config, model)
    for name in ALSO_TRAINED:
        if hasattr(model, name):
            getattr(model, name).requires_grad_(True)


def adapted_layers(model: CLIPModel, targets: Sequence[str] | None, frozen: str) -> list[str]:
    """The names of the linear layers that adapters are added to; the arguments are those of `add_adapters`.

    Raises:
        InputError: A target names no linear layer.
    """
    trained = [part for tower in TOWERS if tower != frozen for part in family_of(model.config).parts(model, tower)]
    inside = {module for part in trained for module in part.modules() if isinstance(module, nn.Linear)}
    # Only its weight is read, so that an adapter would have no effect.
    inside -= {module.out_proj for module in model.modules() if isinstance(module, nn.MultiheadAttention)}
    linear = [name for name, module in model.named_modules() if module in inside]
    if targets is None:
        return [name for name in linear if NUMBER.search(f"{name}.")]
    known = sorted({name.rpartition(".")[2] for name in linear})
    if unknown := [target for target in targets if target not in known]:
        raise InputError(
            f"lora_targets {unknown[0]}: no linear layer of a trained tower has this name: give some of "
            f"{', '.join(known)}"
        )
    return [name for name in linear if name.rpartition(".")[2] in targets]


def has_adapters(model: nn.Module) -> bool:
    """Whether a model has adapters."""
    return any(hasattr(module, "lora_A") for module in model.modules())


def merged_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of an ordinary model with the same embeddings: adapters are added to the layers that they adapt."""
    weights = model.state_dict()
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            weights[f"{name}.base_layer.weight"] = module.get_base_layer().weight.detach() + sum(
                module.get_delta_weight(adapter).detach() for adapter in module.active_adapters
            )
    return {name.replace(".base_layer.", "."): tensor for name, tensor in weights.items() if ".lora_" not in name}


def trained_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights that are trained."""
    return {name: parameter.detach().cpu() for name, parameter in model.named_parameters() if parameter.requires_grad}
