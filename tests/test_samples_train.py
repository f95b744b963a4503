"""Measures of samples as plain functions that train: value and gradient, against references."""

from __future__ import annotations

import math

import geomloss
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
def test_the_sinkhorn_divergence_has_geomlosss_value_and_the_plans_gradient(epsilon: float) -> None:
    """geomloss has half the squared distance and blur^2 as temperature.

    A row's gradient is 2 (x_i - where the plan carries it), less that of the plan of x and itself.
    """
    x, y = two()
    blur = math.sqrt(epsilon / 2)
    loss = geomloss.SamplesLoss("sinkhorn", p=2, blur=blur, scaling=0.99, backend="tensorized")
    theirs = 2 * loss(x, y)
    to_y, to_x = plan(x, y, epsilon), plan(x, x, epsilon)
    exact = 2 * (to_x @ x - to_y @ y) + 2 * (to_y.sum(1) - to_x.sum(1))[:, None] * x
    x.requires_grad_()
    ours = sinkhorn_statistic(x, y, torch.tensor(epsilon, dtype=torch.float64), iterations=200)
    assert ours.mean().item() == pytest.approx(theirs.item(), rel=1e-3)
    (slope,) = torch.autograd.grad(ours.mean(), x)
    torch.testing.assert_close(slope, exact, rtol=1e-3, atol=1e-5)


def test_few_steps_are_enough_at_the_temperature_of_training() -> None:
    x, y = two(64, 64)
    epsilon = 0.05 * torch.cdist(y, y).square().mean()
    exact = sinkhorn_statistic(x, y, epsilon, iterations=500).mean()
    assert float(sinkhorn_statistic(x, y, epsilon).mean()) == pytest.approx(float(exact), rel=0.02)


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
