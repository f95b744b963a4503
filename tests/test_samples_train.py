"""Measures of samples as plain functions that train: value and gradient, against references."""

from __future__ import annotations

import math

import geomloss
import numpy as np
import ot
import pytest
import torch
from torch import Tensor

import pushforward as pf
from pushforward.measures.samples import (
    drift_statistic,
    mmd_statistic,
    sinkhorn_statistic,
    sliced_wasserstein_statistic,
    transport_cost,
)


def two(n: int = 40, m: int = 30, d: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(n, d).double(), 0.7 * torch.randn(m, d).double() + 0.4


def test_the_sliced_distance_is_the_mean_of_those_along_lines() -> None:
    x, y = two()
    lines = torch.nn.functional.normalize(torch.randn(5, 3).double(), dim=1)
    each = [ot.wasserstein_1d((x @ v).numpy(), (y @ v).numpy(), p=2) for v in lines]
    found = sliced_wasserstein_statistic(x, y, lines)
    assert float(found) == pytest.approx(sum(each) / 5, rel=1e-9)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: sliced_wasserstein_statistic(a, y, lines), (x,))


def plan(a: Tensor, b: Tensor, epsilon: float) -> Tensor:
    """The entropic plan between two samples, by POT."""
    weights = [torch.full((len(rows),), 1 / len(rows)).double().numpy() for rows in (a, b)]
    cost = torch.cdist(a, b).square().numpy()
    known = {"method": "sinkhorn_log", "numItermax": 3000, "stopThr": 1e-9, "warn": False}
    return torch.as_tensor(ot.sinkhorn(*weights, cost, epsilon, **known))


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_the_cost_of_transport_has_geomlosss_value_and_the_plans_gradient(epsilon: float) -> None:
    """geomloss has half the squared distance and blur^2 as temperature.

    A row's gradient is 2 (x_i - where the plan carries it) times its weight; y's likewise.
    """
    x, y = two()
    blur = math.sqrt(epsilon / 2)
    loss = geomloss.SamplesLoss(
        "sinkhorn", p=2, blur=blur, scaling=0.99, debias=False, backend="tensorized"
    )
    theirs, to_y = 2 * loss(x, y), plan(x, y, epsilon)
    exact_x = 2 * (x / len(x) - to_y @ y)
    exact_y = 2 * (y / len(y) - to_y.T @ x)
    x.requires_grad_()
    y.requires_grad_()
    temperature = torch.tensor(epsilon, dtype=torch.float64)
    ours = transport_cost(x, y, temperature, iterations=200)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-3)
    slopes = torch.autograd.grad(ours, (x, y))
    torch.testing.assert_close(slopes[0], exact_x, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(slopes[1], exact_y, rtol=1e-3, atol=1e-5)


def test_few_steps_are_enough_at_the_temperature_of_training() -> None:
    x, y = two(64, 64)
    epsilon = 0.05 * torch.cdist(y, y).square().mean()
    exact = transport_cost(x, y, epsilon, iterations=500)
    assert float(transport_cost(x, y, epsilon)) == pytest.approx(float(exact), rel=0.02)


def test_the_sinkhorn_divergence_compares_halves() -> None:
    x, y = two(40, 40)
    epsilon = torch.tensor(0.5, dtype=torch.float64)
    known = {"method": "sinkhorn_log", "numItermax": 3000, "stopThr": 1e-9}

    def cost(a: Tensor, b: Tensor) -> float:
        """By POT, which counts the KL from 1 in place of the weights' product."""
        weight = np.full(len(a), 1 / len(a))
        pi = ot.sinkhorn(weight, weight, torch.cdist(a, b).square().numpy(), 0.5, **known)
        divergence = (pi * np.log(pi * len(a) * len(b))).sum()
        return float((pi * torch.cdist(a, b).square().numpy()).sum() + 0.5 * divergence)

    xs, ys = x.chunk(2), y.chunk(2)
    theirs = np.mean([cost(a, b) for a in xs for b in ys]) - (cost(*xs) + cost(*ys)) / 2
    assert float(sinkhorn_statistic(x, y, epsilon, 200)) == pytest.approx(theirs, rel=1e-3)


def test_the_sinkhorn_divergence_of_small_batches_is_least_for_the_datas_own_spread() -> None:
    """Of rows s y, y ~ N(0, I), in 20 dimensions.

    With OT of a batch and itself it is least at s = 0.5 (20 batches of 64).
    """
    torch.manual_seed(0)
    scales = (0.7, 1.0, 1.4)
    batches = [(torch.randn(32, 20), torch.randn(32, 20)) for _ in range(40)]
    epsilon = torch.tensor(0.05 * 2 * 20)
    found = torch.tensor(
        [[float(sinkhorn_statistic(s * x, y, epsilon)) for x, y in batches] for s in scales]
    )
    mean, error = found.mean(1), found.std(1) / math.sqrt(len(batches))
    assert abs(float(mean[1])) < 4 * float(error[1])  # unbiased: 0 where both are the same
    for other in (0, 2):
        apart = found[other] - found[1]
        assert float(apart.mean()) > 4 * float(apart.std()) / math.sqrt(len(batches))


def naive_field(x: Tensor, y: Tensor, sigma: float) -> Tensor:
    """V by a double loop: attraction to y, repulsion from the other rows of x."""
    field = torch.zeros_like(x)
    for i in range(len(x)):
        for sign, others in ((1, y), (-1, x[[j for j in range(len(x)) if j != i]])):
            weight, pull = 0.0, torch.zeros_like(x[i])
            for other in others:
                k = math.exp(-float((x[i] - other).square().sum()) / (2 * sigma**2))
                weight, pull = weight + k, pull + k * (other - x[i])
            field[i] += sign * pull / weight
    return field


def test_the_gradient_of_drifting_is_minus_the_field_of_the_paper() -> None:
    x, y = two(12, 9)
    x.requires_grad_()
    loss = drift_statistic(x, y, torch.tensor(0.8, dtype=torch.float64))
    assert loss.shape == (12,)
    (slope,) = torch.autograd.grad(loss.sum(), x)
    torch.testing.assert_close(slope, -naive_field(x.detach(), y, 0.8), rtol=1e-8, atol=1e-10)


def test_drifting_is_a_log_ratio_of_kernel_densities() -> None:
    x, y = two(12, 9)
    found = drift_statistic(x, y, torch.tensor(0.8, dtype=torch.float64))
    eye = torch.eye(3).double()
    kernel = torch.distributions.MultivariateNormal(torch.zeros(3).double(), 0.64 * eye)
    for i in range(12):
        others = torch.cat([x[:i], x[i + 1 :]])
        log_q, log_p = (kernel.log_prob(rows - x[i]).exp().mean().log() for rows in (others, y))
        assert float(found[i]) == pytest.approx(0.64 * float(log_q - log_p), rel=1e-6)


def test_the_mmd_that_trains_is_the_one_that_measures_without_looking_at_a_value() -> None:
    x, y = two()
    found = pf.measures.mmd(x, y, permutations=0)
    assert float(mmd_statistic(x, y)) == pytest.approx(found.value, abs=1e-12)
    same = torch.ones(4, 3)
    assert float(mmd_statistic(same, same)) == 0  # all rows equal: no median distance
