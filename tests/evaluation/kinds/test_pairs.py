"""Accuracy on pairs against the loops of SugarCrepe's and ARO's own evaluation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from simclip.evaluation.kinds.pairs import pair_metrics


def integers(rows: int, width: int, seed: int) -> Tensor:
    """Small whole numbers: their products are exact, so equal scores are equal however they are computed."""
    return torch.randint(-1, 2, (rows, width), generator=torch.Generator().manual_seed(seed)).float()


@st.composite
def embedded(draw):
    """Images, true and false captions with many ties, and the category of each row; every category has one."""
    names = ["swap_att", "swap_obj", "add_att"][: draw(st.integers(1, 3))]
    more = draw(st.lists(st.integers(0, len(names) - 1), max_size=12))
    category = draw(st.permutations([*range(len(names)), *more]))
    seed, width = draw(st.integers(0, 10**6)), draw(st.integers(1, 3))
    return [integers(len(category), width, seed + number) for number in range(3)], category, names


@given(embedded())
def test_accuracy_equals_sugar_crepes_loop(data):
    (images, captions, negatives), category, names = data
    expected = {}
    for number, name in enumerate(names):
        correct = [
            1 if float(captions[row] @ images[row]) > float(negatives[row] @ images[row]) else 0
            for row in range(len(category))
            if category[row] == number
        ]
        expected[name] = sum(correct) / len(correct)
    metrics = pair_metrics(images, [captions], negatives, torch.tensor(category), names if len(names) > 1 else ())
    assert metrics.pop("accuracy") == pytest.approx(sum(expected.values()) / len(names))
    assert metrics == pytest.approx(expected if len(names) > 1 else {})


@given(embedded())
def test_accuracy_equals_aros_choice_of_the_false_caption_first(data):
    (images, captions, negatives), category, names = data
    scores = np.stack([(images * negatives).sum(1).numpy(), (images * captions).sum(1).numpy()], axis=1)
    right = np.argmax(scores, axis=-1) == 1
    macro = np.mean([right[np.array(category) == number].mean() for number in range(len(names))])
    metrics = pair_metrics(images, [captions], negatives, torch.tensor(category), names if len(names) > 1 else ())
    assert metrics["accuracy"] == pytest.approx(macro)


@given(embedded(), st.integers(0, 10**6))
def test_two_true_captions_must_both_win_as_in_sugar_crepe_plus_plus(data, seed):
    (images, captions, negatives), category, names = data
    seconds = integers(*captions.shape, seed)
    won = [
        float(captions[row] @ images[row]) > float(negatives[row] @ images[row])
        and float(seconds[row] @ images[row]) > float(negatives[row] @ images[row])
        for row in range(len(category))
    ]
    macro = np.mean([np.mean([won[row] for row in range(len(won)) if category[row] == each]) for each in {*category}])
    metrics = pair_metrics(
        images, [captions, seconds], negatives, torch.tensor(category), names if len(names) > 1 else ()
    )
    assert metrics["accuracy"] == pytest.approx(macro)


def test_every_category_counts_the_same():
    images, true = torch.ones(4, 1), torch.ones(4, 1)
    false = torch.tensor([[2.0], [0.0], [0.0], [0.0]])
    metrics = pair_metrics(images, [true], false, torch.tensor([0, 1, 1, 1]), ["few", "many"])
    assert metrics == {"accuracy": 0.5, "few": 0.0, "many": 1.0}


@pytest.mark.parametrize("value", [1.0, math.nan])
def test_a_model_that_tells_nothing_apart_earns_nothing(value):
    same = torch.full((3, 2), value)
    assert pair_metrics(same, [same], same, torch.zeros(3, dtype=torch.int64), ()) == {"accuracy": 0.0}
