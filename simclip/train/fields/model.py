"""Which model a run trains."""

from __future__ import annotations

from typing import Literal

from simclip.config.schema import field
from simclip.train.fields.group import FieldGroup

DEFAULT_MODEL = "openai/clip-vit-base-patch32"


class ModelFields(FieldGroup):
    """The model and which of its weights are trained."""

    model: str = field(DEFAULT_MODEL, reads_data=True, description="hub name or local folder of a CLIP model")
    preprocessor: str | None = field(
        None, reads_data=True, description="hub name or folder of tokenizer and image processor; default: the model's"
    )
    pretrain: bool = field(False, reads_data=True, description="start from random weights, not from the model's own")
    freeze: Literal["none", "image", "text"] = field(
        "none", description="tower that keeps its weights, its projection included (image: LiT)"
    )
    lora_rank: int = field(
        0, ge=0, symbol="lora", label="LoRA rank",
        description="rank of adapters that are trained in place of the weights; 0: none",
    )  # fmt: skip
    lora_alpha: int | None = field(None, ge=1, description="adapters count alpha / rank times; default: 2 lora_rank")
    lora_targets: list[str] | None = field(
        None, min_length=1, description="linear layers with adapters, e.g. q_proj, v_proj; default: attention and MLP"
    )
    loss: Literal["auto", "infonce", "sigmoid"] = field(
        "auto", reads_data=True, symbol="",
        description="what the model learns by; auto: the loss of its family, sigmoid for SigLIP, else infonce",
    )  # fmt: skip

    def _check(self) -> None:
        super()._check()
        if self.pretrain and self.freeze != "none":
            raise ValueError(f"freeze {self.freeze} with pretrain: the tower would keep random weights; drop either")
        if self.pretrain and self.lora_rank:
            raise ValueError(f"lora_rank {self.lora_rank} with pretrain: random weights would stay; drop either")
