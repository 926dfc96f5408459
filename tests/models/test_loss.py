"""The contrastive loss against its definition."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from simclip.models import loss as losses
from simclip.models.loss import clip_loss, clip_loss_of_rows, sigmoid_loss_of_rows


def units(rows: int, width: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)), dim=1)


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 10**6), st.floats(0.1, 100))
def test_loss_is_the_mean_of_both_cross_entropies(rows: int, width: int, seed: int, scale: float) -> None:
    images, texts = units(rows, width, seed), units(rows, width, seed + 1)
    total = 0.0
    for pair in range(rows):
        by_image = [scale * float(images[pair].double() @ text.double()) for text in texts]
        by_text = [scale * float(image.double() @ texts[pair].double()) for image in images]
        for logits in (by_image, by_text):
            top = max(logits)
            total += math.log(sum(math.exp(each - top) for each in logits)) + top - logits[pair]
    assert clip_loss(images, texts, scale).item() == pytest.approx(total / (2 * rows), rel=1e-4, abs=1e-4)


def test_gradients_are_those_of_cross_entropy() -> None:
    images, texts = units(6, 4, 0).requires_grad_(), units(6, 4, 1).requires_grad_()
    scale = torch.tensor(7.0, requires_grad=True)
    clip_loss(images, texts, scale).backward()
    found = [each.grad for each in (images, texts, scale)]
    logits = torch.stack([torch.stack([scale * (image * text).sum() for text in texts]) for image in images])
    expected = (F.cross_entropy(logits, torch.arange(6)) + F.cross_entropy(logits.T, torch.arange(6))) / 2
    for gradient, reference in zip(found, torch.autograd.grad(expected, (images, texts, scale)), strict=True):
        torch.testing.assert_close(gradient, reference)


def test_images_and_texts_may_change_places() -> None:
    images, texts = units(9, 5, 0), units(9, 5, 1)
    torch.testing.assert_close(clip_loss(images, texts, 10.0), clip_loss(texts, images, 10.0))


def test_half_precision_embeddings_are_compared_in_fp32() -> None:
    images, texts = units(9, 5, 0).bfloat16(), units(9, 5, 1).bfloat16()
    loss = clip_loss(images, texts, 100.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, clip_loss(images.float(), texts.float(), 100.0))


def test_a_collapsed_model_is_at_chance_and_a_perfect_one_at_nothing() -> None:
    point = units(1, 4, 0).expand(16, 4)
    assert clip_loss(point, point, 100.0).item() == pytest.approx(math.log(16))
    assert clip_loss(torch.eye(8), torch.eye(8), 100.0).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("hardness", [0.0, 0.3])
@pytest.mark.parametrize("workers", [2, 3, 4])
def test_rows_against_all_columns_add_up_to_the_whole_loss(workers: int, hardness: float) -> None:
    images, texts = units(24, 16, 0).requires_grad_(), units(24, 16, 1).requires_grad_()
    scale = torch.tensor(20.0, requires_grad=True)
    whole = clip_loss(images, texts, scale, hardness)
    expected = torch.autograd.grad(whole, (images, texts, scale))
    each = 24 // workers
    shares = [slice(first, first + each) for first in range(0, 24, each)]
    parts = [
        clip_loss_of_rows(images[rows], texts[rows], images, texts, rows.start, scale, hardness) for rows in shares
    ]
    loss = torch.stack(parts).mean()
    torch.testing.assert_close(loss, whole, rtol=1e-6, atol=1e-6)
    for gradient, reference in zip(torch.autograd.grad(loss, (images, texts, scale)), expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-6, atol=1e-6)


def test_memory_of_the_loss_falls_with_the_workers() -> None:
    """The largest tensor that the backward pass keeps is [n, N]."""
    images, texts, kept = units(64, 8, 0).requires_grad_(), units(64, 8, 1).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda x: x):
        clip_loss_of_rows(images[:8], texts[:8], images, texts, 0, 5.0)
    assert max(kept) == 8 * 64


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 10**6), st.floats(0.1, 100), st.floats(-20, 5))
def test_the_sigmoid_loss_asks_of_every_pair_whether_it_belongs(
    rows: int, width: int, seed: int, scale: float, bias: float
) -> None:
    """The formula of the paper (Zhai et al. 2023, section 3.2), pair by pair."""
    images, texts = units(rows, width, seed), units(rows, width, seed + 1)
    total = 0.0
    for image in range(rows):
        for text in range(rows):
            sign = 1 if image == text else -1
            logit = scale * float(images[image].double() @ texts[text].double()) + bias
            total += math.log1p(math.exp(-sign * logit)) if sign * logit > -500 else -sign * logit
    found = sigmoid_loss_of_rows(images, texts, 0, torch.tensor([scale, bias]))
    assert found.item() == pytest.approx(total / rows, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("columns", [1, 5, 8, 24, 100])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_sigmoid_loss_adds_up_over_workers_and_columns(
    columns: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, texts = units(24, 16, 0).requires_grad_(), units(24, 16, 1).requires_grad_()
    logits = torch.tensor([10.0, -10.0], requires_grad=True)
    signs = 2 * torch.eye(24) - 1
    whole = -F.logsigmoid(signs * (logits[0] * images @ texts.T + logits[1])).sum() / 24
    expected = torch.autograd.grad(whole, (images, texts, logits))
    monkeypatch.setattr(losses, "COLUMNS", columns)
    each = 24 // workers
    parts = [sigmoid_loss_of_rows(images[at : at + each], texts, at, logits) for at in range(0, 24, each)]
    loss = torch.stack(parts).mean()
    torch.testing.assert_close(loss, whole, rtol=1e-6, atol=1e-6)
    for gradient, reference in zip(torch.autograd.grad(loss, (images, texts, logits)), expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=1e-6)


def test_the_sigmoid_loss_keeps_no_block_of_rows_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "COLUMNS", 8)
    images, texts, kept = units(64, 8, 0).requires_grad_(), units(64, 8, 1).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda x: x):
        sigmoid_loss_of_rows(images, texts, 0, torch.tensor([5.0, -5.0], requires_grad=True))
    assert max(kept) <= 64 * 8
