"""The loss with weighted negatives against its definition, one pair at a time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simclip.models.hard_negatives import weigh_negatives
from simclip.models.loss import clip_loss
from tests.models.test_loss import units


def slow_loss(logits: torch.Tensor, hardness: float) -> torch.Tensor:
    """HN-NCE over the rows of float64 logits, with weights that are constants."""
    total, rows = torch.tensor(0.0, dtype=torch.float64), len(logits)
    for row in range(rows):
        negatives = [column for column in range(rows) if column != row]
        raised = [math.exp(hardness * logits[row, column].item()) for column in negatives]
        weights = [each * len(negatives) / sum(raised) for each in raised]
        parts = [weight * logits[row, column].exp() for weight, column in zip(weights, negatives, strict=True)]
        total = total - (logits[row, row].exp() / (logits[row, row].exp() + sum(parts))).log()
    return total / rows


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(0, 99), st.floats(0.01, 2), st.floats(0.1, 20))
def test_loss_and_gradients_are_those_of_the_definition(rows: int, seed: int, hardness: float, scale: float) -> None:
    images, texts = units(rows, 4, seed).requires_grad_(), units(rows, 4, seed + 1).requires_grad_()
    loss = clip_loss(images, texts, scale, hardness)
    wide = [images.detach().double().requires_grad_(), texts.detach().double().requires_grad_()]
    logits = scale * wide[0] @ wide[1].T
    expected = (slow_loss(logits, hardness) + slow_loss(logits.T, hardness)) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)
    for found, reference in zip(
        torch.autograd.grad(loss, (images, texts)), torch.autograd.grad(expected, wide), strict=True
    ):
        torch.testing.assert_close(found, reference.float(), rtol=1e-3, atol=1e-4)


def test_without_hardness_the_loss_is_the_same_to_the_bit() -> None:
    images, texts = units(9, 5, 0), units(9, 5, 1)
    assert torch.equal(clip_loss(images, texts, 20.0, 0.0), clip_loss(images, texts, 20.0))


def test_a_little_hardness_is_nearly_none_and_much_leaves_the_hardest_negative() -> None:
    logits, own = torch.tensor([[5.0, 1.0, 2.0, 3.0]]), torch.tensor([0])
    torch.testing.assert_close(weigh_negatives(logits, own, 1e-6), logits, rtol=0, atol=1e-5)
    weights = (weigh_negatives(logits, own, 50.0) - logits).exp()
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.0, 0.0, 3.0]]))
