"""The items behind a metric: their mean is the metric, and their scatter that of other test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simclip.evaluation.items import Items, Share, items_bytes, read_items, scatter


def captions(rng: np.random.Generator, images: int, each: int, ease: np.ndarray | None = None) -> Items:
    """Items of captions, some images of which are easy for all of their captions."""
    of = np.repeat(np.arange(images), each)
    ease = rng.random(images) if ease is None else ease
    return Items(rng.random(len(of)) < ease[of], of)


def test_a_share_is_the_mean_of_its_parts() -> None:
    one, two = Items(np.array([True, False, False]), np.arange(3)), Items(np.array([True]), np.arange(1))
    assert Share(one) == 1 / 3 and Share(one, two) == (1 / 3 + 1) / 2
    assert f"{Share(two):.1f}" == "1.0"


def test_scatter_is_that_of_other_draws_of_images() -> None:
    """Beside simulated test sets: the metric is the mean of two recalls, captions of one image are alike."""
    rng, names = np.random.default_rng(0), {"test/both": 1.0}

    def drawn() -> dict[str, list[Items]]:
        ease = rng.random(200) ** 2
        return {"test/both": [captions(rng, 200, 5, ease), captions(rng, 200, 1, ease)]}

    draws = [drawn() for _ in range(400)]
    true = np.std([float(Share(*each["test/both"])) for each in draws])
    found = [np.sqrt((scatter(names, each) ** 2).sum()) for each in draws]  # type: ignore[operator]
    assert np.mean(found) == pytest.approx(true, rel=0.1)
    naive = np.sqrt(0.25 / 4 * (1 / 1000 + 1 / 200))
    assert np.mean(found) > 1.3 * naive  # captions of one image are no independent items


def test_scatter_of_weighted_sets_adds_up() -> None:
    rng = np.random.default_rng(1)
    shares = {"a/top1": [captions(rng, 50, 1)], "b/r1": [captions(rng, 30, 2)]}
    apart = [scatter(name, shares) for name in shares]
    both = scatter({"a/top1": 3.0, "b/r1": 1.0}, shares)
    assert both is not None and len(both) == 80
    variances = [float((each**2).sum()) for each in apart if each is not None]
    assert (both**2).sum() == pytest.approx(variances[0] * 0.75**2 + variances[1] * 0.25**2)


def test_a_loss_has_no_items() -> None:
    shares = {"val/r1": [captions(np.random.default_rng(2), 9, 1)]}
    assert scatter("val/loss", shares) is None
    assert scatter({"val/r1": 1.0, "val/loss": -0.1}, shares) is None


def test_a_file_gives_its_items_back_for_its_own_epoch_alone(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(3), tmp_path / "k2-s1001.items.npz"
    shares = {"a b/r1": [captions(rng, 7, 3), captions(rng, 7, 1)], "val/r1": [captions(rng, 7, 3)]}
    path.write_bytes(items_bytes(4, shares))
    found = read_items(path, 4)
    assert found is not None and list(found) == list(shares)
    for name, parts in shares.items():
        for mine, kept in zip(parts, found[name], strict=True):
            assert (mine.right == kept.right).all() and (mine.images == kept.images).all()
            assert mine.right.dtype == kept.right.dtype
    assert read_items(path, 3) is None and read_items(tmp_path / "none.npz", 4) is None
    for spoilt in (b"", path.read_bytes()[:50], b"no archive"):
        path.write_bytes(spoilt)
        assert read_items(path, 4) is None


def test_a_file_of_coco_s_size_is_small() -> None:
    rng, recalls = np.random.default_rng(4), {}
    for k in (1, 5, 10, 50, 200):
        recalls |= {f"test/t2i_r{k}": [captions(rng, 5000, 5)], f"test/i2t_r{k}": [captions(rng, 5000, 1)]}
    assert len(items_bytes(1, recalls)) < 100_000
