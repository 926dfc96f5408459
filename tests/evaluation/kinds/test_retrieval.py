"""Recall and loss against loops that say what they mean."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from simclip.evaluation import ranks
from simclip.evaluation.kinds.retrieval import KS, mean_loss, recall_metrics
from simclip.models.loss import clip_loss


def integers(rows: int, width: int, seed: int) -> Tensor:
    """Small whole numbers: their products are exact, so equal scores are equal however they are computed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, (rows, width), generator=generator).float()


@st.composite
def retrieval(draw):
    """Images and captions with many ties, any number of captions per image, in any order."""
    captions_per_image = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    owners = [image for image, count in enumerate(captions_per_image) for _ in range(count)]
    seed, width = draw(st.integers(0, 10**6)), draw(st.integers(1, 3))
    return (
        integers(len(captions_per_image), width, seed),
        integers(len(owners), width, seed + 1),
        torch.tensor(draw(st.permutations(owners))),
    )


def slow_recall(queries: Tensor, candidates: Tensor, own: list[set[int]], k: int) -> float:
    hits = 0
    for query, right in zip(queries, own, strict=True):
        scores = [float(query @ candidate) for candidate in candidates]
        order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
        hits += bool(right & set(order[:k]))
    return hits / len(queries)


@pytest.mark.parametrize("block_elements", [1, 7, 2**22])
@given(data=retrieval())
def test_recall_equals_sorting(block_elements, data):
    images, captions, image_of_caption = data
    whose = image_of_caption.tolist()
    captions_of = [{c for c, owner in enumerate(whose) if owner == image} for image in range(len(images))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "BLOCK_ELEMENTS", block_elements)
        metrics = recall_metrics(images, captions, image_of_caption, ks=(1, 2, 5, 50))
    for k in (1, 2, 5, 50):
        assert metrics[f"t2i_r{k}"] == pytest.approx(slow_recall(captions, images, [{each} for each in whose], k))
        assert metrics[f"i2t_r{k}"] == pytest.approx(slow_recall(images, captions, captions_of, k))
    assert metrics["mean_r1"] == pytest.approx((metrics["t2i_r1"] + metrics["i2t_r1"]) / 2)


@given(data=retrieval())
def test_recall_grows_with_k_and_ends_at_one(data):
    metrics = recall_metrics(*data)
    assert list(metrics) == [f"{way}_r{k}" for way in ("t2i", "i2t") for k in KS] + ["mean_r1"]
    for way in ("t2i", "i2t"):
        values = [metrics[f"{way}_r{k}"] for k in KS]
        assert values == sorted(values)
        assert values[-1] == 1.0


def test_random_floats_equal_sorting():
    generator = torch.Generator().manual_seed(3)
    images = normalize(torch.randn(60, 16, generator=generator), dim=1)
    whose = torch.randint(60, (200,), generator=generator)
    whose = torch.cat([torch.arange(60), whose])
    captions = normalize(images[whose] + 0.4 * torch.randn(260, 16, generator=generator), dim=1)
    captions_of = [set((whose == image).nonzero()[:, 0].tolist()) for image in range(60)]
    metrics = recall_metrics(images, captions, whose)
    for k in (1, 5, 10, 50):
        assert metrics[f"t2i_r{k}"] == pytest.approx(slow_recall(captions, images, [{i} for i in whose.tolist()], k))
        assert metrics[f"i2t_r{k}"] == pytest.approx(slow_recall(images, captions, captions_of, k))


def test_perfect_embeddings_are_perfect():
    metrics = recall_metrics(torch.eye(9), torch.eye(9).repeat(2, 1), torch.arange(9).repeat(2))
    assert set(metrics.values()) == {1.0}


@pytest.mark.parametrize("images", [1, 10, 333])
def test_a_collapsed_model_is_at_chance(images):
    point = normalize(torch.randn(1, 24, generator=torch.Generator().manual_seed(0)), dim=1)
    owners = torch.arange(images)
    metrics = recall_metrics(point.expand(images, 24), point.expand(images, 24), owners, ks=(1, 5))
    # Equal dot products may differ in the last bit by column, which moves whose turn it is, not how many win.
    assert metrics["t2i_r1"] == pytest.approx(1 / images)
    assert metrics["t2i_r5"] == pytest.approx(min(5, images) / images)
    assert metrics["i2t_r1"] == pytest.approx(1 / images)


def test_a_caption_that_two_images_share_goes_to_the_lower_image():
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    captions = images.clone()
    metrics = recall_metrics(images, captions, torch.arange(3), ks=(1, 2))
    assert metrics["t2i_r1"] == pytest.approx(2 / 3)
    assert metrics["i2t_r1"] == pytest.approx(2 / 3)
    assert metrics["t2i_r2"] == metrics["i2t_r2"] == 1.0


def test_any_own_caption_will_do_for_an_image_but_every_caption_counts_for_text():
    images = torch.eye(2)
    captions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    metrics = recall_metrics(images, captions, torch.tensor([0, 0, 1]), ks=(1,))
    assert metrics["t2i_r1"] == pytest.approx(2 / 3)
    assert metrics["i2t_r1"] == pytest.approx(1 / 2)  # image 1 finds caption 1, of image 0, before its own


@pytest.mark.parametrize("images", [3, 300])
def test_a_diverged_model_finds_nothing(images):
    nothing = torch.full((images, 4), torch.nan)
    assert set(recall_metrics(nothing, nothing, torch.arange(images)).values()) == {0.0}


def slow_loss(images: Tensor, captions: Tensor, whose: list[int], scale: float, batch_size: int) -> float:
    own = [[c for c, owner in enumerate(whose) if owner == image] for image in range(len(images))]
    total = 0.0
    for slot in range(max(map(len, own))):
        pairs = [(image, own[image][slot]) for image in range(len(images)) if len(own[image]) > slot]
        batches = math.ceil(len(pairs) / batch_size)
        sizes = [len(pairs) // batches + (number < len(pairs) % batches) for number in range(batches)]
        for size in sizes:
            batch, pairs = pairs[:size], pairs[size:]
            for i, (image, caption) in enumerate(batch):
                by_image = [scale * float(images[image] @ captions[other]) for _, other in batch]
                by_text = [scale * float(images[other] @ captions[caption]) for other, _ in batch]
                for logits in (by_image, by_text):
                    total += (math.log(sum(map(math.exp, logits))) - logits[i]) / 2
    return total / len(captions)


@given(retrieval(), st.integers(1, 9), st.sampled_from([1.0, 2.5]))
def test_loss_equals_the_formula(data, batch_size, scale):
    images, captions, image_of_caption = data
    expected = slow_loss(images, captions, image_of_caption.tolist(), scale, batch_size)
    loss = partial(clip_loss, logit_scale=scale)
    assert mean_loss(*data, loss, batch_size) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_loss_of_a_collapsed_model_is_the_logarithm_of_the_batch():
    point = torch.ones(12, 1)
    loss = partial(clip_loss, logit_scale=100.0)
    assert mean_loss(point, point, torch.arange(12), loss, 4) == pytest.approx(math.log(4))
