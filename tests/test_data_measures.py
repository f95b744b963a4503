"""Generators with a measure of samples by hand: the gradient that each receives."""

from __future__ import annotations

import math
from typing import Any

import geomloss
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import pushforward as pf
from pushforward.models import all_models
from test_games import SPACES, N, assert_same, gradients, jittered, received, rows

LATENT = 4


def made(name: str, kind: str, **options: Any) -> tuple[Any, Tensor]:
    """A generator whose weights all matter, and rows."""
    torch.manual_seed(0)
    options = {"latent": LATENT, "width": 16} | options
    return jittered(all_models()[name](SPACES[kind], **options)), rows(SPACES[kind])


def generated(model: Any) -> Tensor:
    """Rows from the noise that the turn draws, flattened."""
    return torch.as_tensor(model.generator(torch.randn(N, LATENT))).flatten(1)


def assert_turn(model: Any, turn: str, x: Tensor, loss: Tensor) -> None:
    ours = received(model, turn, x)["generator"]
    assert_same(ours, gradients(loss, model, "generator"), atol=1e-5)


@pytest.mark.parametrize("kind", SPACES)
def test_gmmn_lowers_the_mmd_that_measures(kind: str) -> None:
    model, x = made("gmmn", kind)
    torch.manual_seed(1)
    fake = generated(model)
    torch.manual_seed(1)
    found = model.close_in(x, None)["mmd"]
    measured = pf.measures.mmd(x.flatten(1), fake.detach(), permutations=0)
    torch.testing.assert_close(found, torch.full((N,), measured.value), rtol=1e-4, atol=1e-5)
    k = torch.tensor(0.0)
    both = torch.cat([x.flatten(1), fake])
    sign = torch.cat([torch.ones(N), -torch.ones(N)])
    for i in range(2 * N):
        for j in range(2 * N):
            if i != j:
                weight = 1 / (N * (N - 1)) if sign[i] == sign[j] else -1 / N**2
                squared = (both[i] - both[j]).square().sum()
                k = k + weight * sum(
                    (-squared / (2 * w**2)).exp() for w in measured.extra["bandwidths"]
                )
    assert_turn(model, "close_in", x, k / 5)


def test_a_measure_of_samples_sees_whether_a_row_is_of_its_class() -> None:
    """Swapping the classes of two clouds changes nothing but the classes."""
    cls: Any = all_models()["gmmn"]
    model = cls(SPACES["vector"], 2, latent=LATENT, width=16)
    c = torch.nn.functional.one_hot(torch.arange(40) % 2, 2).float()
    x = torch.randn(40, 3) + 4 * c[:, :1]
    torch.manual_seed(1)
    right = model.close_in(x, c)["mmd"].mean()
    torch.manual_seed(1)
    assert abs(right - model.close_in(x.roll(1, 0), c)["mmd"].mean()) > 1e-4


@pytest.mark.parametrize("kind", SPACES)
def test_the_sliced_wasserstein_generator_lowers_the_mean_over_lines(kind: str) -> None:
    model, x = made("sliced-wasserstein", kind, lines=5)
    torch.manual_seed(1)
    fake, real = generated(model), x.flatten(1)
    d = real.shape[1]
    lines = normalize(torch.randn(5, d), dim=1)
    loss = torch.tensor(0.0)
    for v in lines:
        order = (fake @ v).argsort()
        loss = loss + d / 5 * ((fake @ v)[order] - (real @ v).sort().values).square().mean()
    assert_turn(model, "close_in", x, loss)


def test_a_shift_of_all_rows_costs_its_square_in_all_dimensions() -> None:
    from pushforward.measures.samples import sliced_wasserstein_statistic

    torch.manual_seed(0)
    x, shift = torch.randn(50, 20), torch.randn(20)
    lines = normalize(torch.randn(4000, 20), dim=1)
    found = 20 * sliced_wasserstein_statistic(x + shift, x, lines)
    # <v, s>^2 has mean |s|^2 / d and a standard deviation of sqrt(2) that, over 4,000 lines
    exact = float(shift.square().sum())
    assert float(found) == pytest.approx(exact, rel=4 * math.sqrt(2 / 4000))


@pytest.mark.parametrize("kind", SPACES)
def test_the_sinkhorn_generator_has_the_gradient_of_geomloss(kind: str) -> None:
    """The divergence by halves: each cost of transport is geomloss's, whose distance is half."""
    model, x = made("sinkhorn", kind, temperature_share=0.5)
    torch.manual_seed(1)
    fake, real = generated(model), x.flatten(1)
    spread = 2 * float(((real - real.mean(0)) ** 2).sum()) / (N - 1)
    blur = math.sqrt(0.5 * spread / 2)
    way: dict[str, Any] = {"scaling": 0.99, "backend": "tensorized", "debias": False}
    cost = geomloss.SamplesLoss("sinkhorn", p=2, blur=blur, **way)
    halves = fake.chunk(2)
    across = torch.stack([cost(a, b) for a in halves for b in real.chunk(2)]).mean()
    loss = 2 * across - cost(*halves)
    ours = received(model, "close_in", x)["generator"]
    theirs = gradients(loss, model, "generator")
    norm = torch.cat([g.flatten() for g in theirs if g is not None]).norm()
    apart = [
        (a - b).flatten()
        for a, b in zip(ours, theirs, strict=True)
        if a is not None and b is not None
    ]
    assert float(torch.cat(apart).norm() / norm) < 0.01  # both solve it by iteration


@pytest.mark.parametrize("kind", SPACES)
def test_drifting_moves_rows_along_the_field_of_the_paper(kind: str) -> None:
    """The gradient is that of |g(z) - sg(g(z) + V)|^2 / 2, V by a double loop."""
    model, x = made("drifting", kind)
    torch.manual_seed(1)
    fake, real = generated(model), x.flatten(1)
    typical = math.sqrt(2 * float(real.var(0).sum()))
    field = torch.zeros_like(fake)
    for sigma in (typical * s for s in (1, 0.5, 0.25, 0.125)):
        for i in range(N):
            others = [j for j in range(N) if j != i]
            for sign, rows_ in ((1, real), (-1, fake.detach()[others])):
                k = (-(rows_ - fake[i].detach()).square().sum(1).double() / (2 * sigma**2)).softmax(
                    0
                )
                field[i] += sign * (k[:, None] * (rows_ - fake[i].detach())).sum(0).float()
    target = fake.detach() + field
    loss = 0.5 * (fake - target).square().sum(1).mean() / typical**2
    assert_turn(model, "drift", x, loss)
