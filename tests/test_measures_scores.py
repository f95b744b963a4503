"""Vendi and inception score: exact values, naive formulas, influences, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import inception_score, vendi
from pushforward.measures.samples import _spectral
from samples import normal


def naive_vendi(kernel: Tensor) -> float:
    eigenvalues = np.linalg.eigvalsh(kernel.numpy() / len(kernel))
    positive = eigenvalues[eigenvalues > 1e-15]
    return math.exp(-(positive * np.log(positive)).sum())


def test_vendi_of_orthogonal_rows_is_their_number() -> None:
    rows = 3.0 * torch.eye(12)
    found = vendi(rows, rows[:6].repeat(2, 1), kernel="cosine")
    assert found.value == pytest.approx(6.0, abs=1e-9)
    assert found.null == pytest.approx(12.0, abs=1e-9)
    assert found.extra["ratio"] == pytest.approx(0.5, abs=1e-9)
    far = 1000.0 * torch.arange(12.0)[:, None]
    assert vendi(far, far, bandwidth=1.0).value == pytest.approx(12.0, abs=1e-9)


def test_vendi_of_equal_rows_is_one() -> None:
    ones = torch.ones(9, 2)
    for kernel in ("rbf", "cosine"):
        found = vendi(ones, ones, kernel=kernel)
        assert found.value == pytest.approx(1.0, abs=1e-9)
        assert found.interval == pytest.approx((1.0, 1.0), abs=1e-9)


@pytest.mark.parametrize("d", [3, 40])
def test_vendi_is_its_formula(d: int) -> None:
    x, y = normal(25, d, 0), normal(25, d, 1, shift=1.0)
    units = y / y.norm(dim=1, keepdim=True)
    found = vendi(x, y, kernel="cosine")
    assert found.value == pytest.approx(naive_vendi(units @ units.mT), rel=1e-9)
    squared = torch.cdist(y, y).square()
    found = vendi(x, y, bandwidth=1.3)
    assert found.value == pytest.approx(naive_vendi(torch.exp(-squared / (2 * 1.3**2))), rel=1e-7)
    median = float(torch.pdist(x).median())
    assert vendi(x, y).extra["bandwidth"] == pytest.approx(median)


@pytest.mark.parametrize("d", [3, 40])
def test_the_influence_is_the_derivative_by_a_rows_weight(d: int) -> None:
    rows = torch.nn.functional.normalize(normal(20, d, 0), dim=1)
    weights = torch.full((20,), 1 / 20, dtype=torch.float64, requires_grad=True)
    roots = weights.sqrt()
    # K with weights: D^(1/2) K D^(1/2); -sum lambda log lambda, on the positive part.
    eigenvalues = torch.linalg.eigvalsh(roots[:, None] * (rows @ rows.mT) * roots)
    positive = eigenvalues[eigenvalues > 1e-12]
    (-(positive * positive.log()).sum()).backward()
    assert weights.grad is not None
    expected = weights.grad - weights.grad.mean()
    for found in (_spectral.of_rows(rows), _spectral.of_kernel(rows @ rows.mT)):
        assert found.influence.tolist() == pytest.approx(expected.tolist(), abs=1e-7)


def test_scores_are_compared_at_one_size() -> None:
    x = normal(80, 3, 0)
    found = vendi(x, normal(30, 3, 1), bandwidth=1.0)
    assert (found.n, found.m, found.extra["given"]) == (30, 30, [80, 30])
    assert found.null is not None
    assert found.null < vendi(x, x, bandwidth=1.0).value


def test_inception_score_of_sure_and_even_rows_is_the_number_of_classes() -> None:
    rows = torch.eye(10).repeat(7, 1)
    found = inception_score(rows, rows)
    assert found.value == pytest.approx(10.0, abs=1e-9)
    assert found.null == pytest.approx(10.0, abs=1e-9)
    assert found.p_value == 1
    even = torch.full((70, 10), 0.1)
    assert inception_score(rows, even).value == pytest.approx(1.0, abs=1e-9)
    half = torch.eye(10)[:5].repeat(14, 1)
    found = inception_score(rows, half)
    assert found.value == pytest.approx(5.0, abs=1e-9)
    assert found.p_value is not None
    assert found.p_value <= 0.01


def test_inception_score_is_its_formula() -> None:
    x, y = normal(60, 4, 0).softmax(1), normal(40, 4, 1, shift=1.0).softmax(1)
    marginal = y.numpy().mean(0)
    divergences = [float((p * np.log(p / marginal)).sum()) for p in y.numpy()]
    found = inception_score(x, y, permutations=0)
    assert found.value == pytest.approx(math.exp(np.mean(divergences)), rel=1e-12)


def test_the_interval_has_the_bias_of_the_marginal_taken_off() -> None:
    # Of one-hot rows of C classes the plug-in's log score is (C - 1)/2n too low (Miller 1955).
    shares = torch.tensor([0.7, 0.2, 0.1])
    rng = torch.Generator().manual_seed(0)
    rows = torch.eye(3)[torch.multinomial(shares, 50, True, generator=rng)]
    found = inception_score(rows, rows, permutations=0)
    assert found.interval is not None
    middle = (math.log(found.interval[0]) + math.log(found.interval[1])) / 2
    assert middle - math.log(found.value) == pytest.approx(2 / (2 * 49), rel=1e-9)


def test_a_classifier_gives_the_probabilities() -> None:
    x, y = normal(50, 2, 0), normal(50, 2, 1)

    def classifier(rows: Any) -> Tensor:
        return torch.as_tensor(rows).softmax(1)

    found = inception_score(x, y, classifier=classifier)
    assert found.value == inception_score(x.softmax(1), y.softmax(1)).value
    assert found.extra["features"]["name"] == "classifier"
    doubled = inception_score(x, y, classifier=classifier, features=lambda rows: 2 * rows)
    assert doubled.value == inception_score((2 * x).softmax(1), (2 * y).softmax(1)).value


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kernel": "linear"}, "unknown kernel"),
        ({"bandwidth": 0.0}, "bandwidth must be a positive number"),
        ({"kernel": "cosine", "bandwidth": 1.0}, "no bandwidth"),
        ({"kernel": "cosine"}, "rows of zeros"),
    ],
)
def test_vendi_tells_bad_input(options: dict[str, Any], said: str) -> None:
    x = torch.cat([torch.zeros(1, 2), torch.ones(5, 2)])
    with pytest.raises(MeasureError, match=said):
        vendi(x, x, **options)


def test_inception_score_tells_rows_that_are_no_probabilities() -> None:
    x = normal(20, 3, 0)
    with pytest.raises(MeasureError, match="needs classifier="):
        inception_score(x, x)
    with pytest.raises(MeasureError, match="apply a softmax to logits"):
        inception_score(x, x, classifier=lambda rows: rows)
    with pytest.raises(MeasureError, match="at least 2 classes"):
        inception_score(x, x, classifier=lambda rows: torch.ones(len(rows), 1))
    with pytest.raises(MeasureError, match="permutations"):
        inception_score(x.softmax(1), x.softmax(1), permutations=-1)
