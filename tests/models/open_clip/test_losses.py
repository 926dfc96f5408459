"""The sigmoid loss is that of OpenCLIP."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

from simclip.models.loss import sigmoid_loss_of_rows


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_the_sigmoid_loss_is_openclips(open_clip: ModuleType, rows: int) -> None:
    draws = torch.Generator().manual_seed(rows)
    images, texts = (
        torch.nn.functional.normalize(torch.randn(rows, 16, generator=draws)).requires_grad_() for _ in range(2)
    )
    logits = torch.tensor([10.0, -10.0], requires_grad=True)
    ours = sigmoid_loss_of_rows(images, texts, 0, logits)
    theirs = open_clip.loss.SigLipLoss()(images, texts, logits[0], logits[1])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    found, expected = (torch.autograd.grad(each, (images, texts, logits)) for each in (ours, theirs))
    for gradient, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=0, atol=1e-6)
