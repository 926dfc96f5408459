"""Count training steps on the card.

Each argument is FAMILY:PAIRS:TOKENS or FAMILY:PAIRS:TOKENS:MICRO-BATCH. The family is a model type of transformers in
small, or `vit-b-32` for the CLIP of that name.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import CONFIG_MAPPING, CLIPConfig, PreTrainedConfig

from tests.fake_cuda.count import Count
from tests.fake_cuda.training import batch_on_host, training_on_card

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}


def architecture(family: str) -> PreTrainedConfig:
    if family == "vit-b-32":
        return CLIPConfig()
    text = {**SMALL, "vocab_size": 100}
    return CONFIG_MAPPING[family](text_config=text, vision_config={**SMALL, "image_size": 32, "patch_size": 8})


def counted(family: str, pairs: int, tokens: int, micro: int | None) -> dict[str, Any]:
    """What a step does. One with few pairs comes before it, which makes the optimizer's state and caches."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        training = training_on_card(architecture(family), batch_size=pairs, micro_batch_size=micro)
        side = training.clip.image_size * 8 // 7
        training.step(batch_on_host(2, tokens, side))
        with Count() as count:
            loss = training.step(batch_on_host(pairs, tokens, side))
    for name, traffic in count.traffic.most_common(10):
        print(f"{name:50s} {count.kernels[name]:5d} {traffic / 1e9:8.2f} GB")
    gradients = [parameter.grad for parameter in training.clip.model.parameters() if parameter.grad is not None]
    state = training.optimizer.state_dict()["state"].values()
    return {
        **count.summary(),
        "loss": [str(loss.device), str(loss.dtype)],
        "gradients": sorted({f"{each.device} {each.dtype}" for each in gradients}),
        "state": sorted({f"{name} {value.dtype}" for each in state for name, value in each.items()}),
    }


def main() -> None:
    counts = {}
    for name in sys.argv[1:]:
        family, *numbers = name.split(":")
        pairs, tokens, *micro = map(int, numbers)
        counts[name] = counted(family, pairs, tokens, micro[0] if micro else None)
        traffic = counts[name]["bytes"] / 1e9
        print(f"{name}: {counts[name]['kernels']} kernels, {traffic:.1f} GB outside matrix products")
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
