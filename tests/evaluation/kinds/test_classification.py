"""Zero-shot accuracy against sorting, and the classifier against its definition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from simclip.evaluation.kinds.classification import class_embeddings, zero_shot_metrics


def integers(rows: int, width: int, seed: int) -> Tensor:
    return torch.randint(-2, 3, (rows, width), generator=torch.Generator().manual_seed(seed)).float()


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 3), st.integers(0, 10**6))
def test_accuracy_equals_sorting(images, classes, width, seed):
    pictures, names = integers(images, width, seed), integers(classes, width, seed + 1)
    labels = torch.randint(classes, (images,), generator=torch.Generator().manual_seed(seed + 2))
    metrics = zero_shot_metrics(pictures, labels, names)
    for k in (1, 5):
        hits = 0
        for picture, label in zip(pictures, labels.tolist(), strict=True):
            order = sorted(range(classes), key=lambda each: (-float(picture @ names[each]), each))
            hits += label in order[:k]
        assert metrics[f"top{k}"] == pytest.approx(hits / images)


def test_top5_of_few_classes_is_one():
    assert zero_shot_metrics(torch.eye(3), torch.tensor([2, 0, 1]), torch.eye(3)) == {"top1": 0.0, "top5": 1.0}


def test_equal_scores_go_to_the_lower_class():
    metrics = zero_shot_metrics(torch.ones(10, 1), torch.arange(10), torch.ones(10, 1))
    assert metrics == {"top1": 0.1, "top5": 0.5}


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(0, 10**6))
def test_class_embeddings_average_directions(classes, templates, width, seed):
    prompts = torch.randn(classes, templates, width, generator=torch.Generator().manual_seed(seed)).double()
    for prompts_of_class, embedding in zip(prompts, class_embeddings(prompts), strict=True):
        mean = sum(prompt / prompt.norm() for prompt in prompts_of_class) / templates
        # The sum of directions may nearly cancel; its direction then has no digits left to compare.
        if mean.norm() > 1e-6:
            torch.testing.assert_close(embedding, mean / mean.norm())


def test_the_length_of_a_prompt_does_not_weigh():
    prompts = torch.tensor([[[100.0, 0.0], [0.0, 1.0]]])
    torch.testing.assert_close(class_embeddings(prompts), torch.tensor([[0.5**0.5, 0.5**0.5]]))
