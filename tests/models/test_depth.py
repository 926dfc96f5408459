"""Depths of weights: every family, layer by layer."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import CLIPConfig, CLIPModel

from simclip.models.clip import load_clip
from simclip.models.depth import depth_below_top
from simclip.models.families import FAMILIES
from tests.conftest import draw_pair
from tests.models.families import write_family


def test_depths_of_a_clip() -> None:
    tower = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1}
    vision = {**tower, "num_hidden_layers": 3, "image_size": 8, "patch_size": 4}
    text = {**tower, "num_hidden_layers": 2, "vocab_size": 9, "max_position_embeddings": 4}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    depths = depth_below_top(model)
    named = {name: depths[parameter] for name, parameter in model.named_parameters()}
    expected = {
        "logit_scale": 0, "visual_projection.weight": 0, "vision_model.post_layernorm.weight": 0,
        "vision_model.encoder.layers.2.mlp.fc1.weight": 1, "vision_model.encoder.layers.0.layer_norm1.bias": 3,
        "vision_model.pre_layrnorm.weight": 4, "vision_model.embeddings.class_embedding": 4,
        "text_projection.weight": 0, "text_model.final_layer_norm.weight": 0,
        "text_model.encoder.layers.1.self_attn.q_proj.weight": 1,
        "text_model.encoder.layers.0.self_attn.q_proj.weight": 2,
        "text_model.embeddings.token_embedding.weight": 3,
    }  # fmt: skip
    assert {name: named[name] for name in expected} == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_embeddings_below_a_layer_below_a_top(family: str, tmp_path: Path) -> None:
    write_family(family, tmp_path, [caption for number in range(64) for caption in draw_pair(number)[1]])
    model = load_clip(str(tmp_path)).model
    depths = depth_below_top(model)
    for name, parameter in model.named_parameters():
        below = 2 if ".embeddings." in name or "pre_layrnorm" in name else 1 if ".0." in name else 0
        assert depths[parameter] == below, name
