"""Sinkhorn divergence and max-sliced Wasserstein: other libraries, closed forms, extremes."""

from __future__ import annotations

import math

import ot
import pytest
import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import max_sliced_wasserstein, sinkhorn, sliced_wasserstein
from pushforward.measures._intervals import permutation_masks
from pushforward.measures.samples import _sinkhorn, _sliced
from samples import normal


def divergence_by_pot(x: Tensor, y: Tensor, epsilon: float) -> float:
    def solved(a: Tensor, b: Tensor) -> float:
        cost = ot.dist(a.numpy(), b.numpy())
        return float(ot.solve(cost, reg=epsilon, reg_type="KL", max_iter=50_000, tol=1e-10).value)

    return solved(x, y) - 0.5 * solved(x, x) - 0.5 * solved(y, y)


@pytest.mark.parametrize(
    ("n", "m", "d", "share"), [(40, 40, 1, 0.05), (50, 30, 3, 0.1), (30, 45, 3, 0.07)]
)
def test_sinkhorn_is_that_of_pot(n: int, m: int, d: int, share: float) -> None:
    x, y = normal(n, d, 0), normal(m, d, 1, shift=1.0, scale=1.5)
    found = sinkhorn(x, y, epsilon=share, iterations=5000, permutations=0)
    # epsilon is relative to the mean squared distance over all pairs of the pooled rows.
    pooled = torch.cat([x, y])
    epsilon = share * float(torch.cdist(pooled, pooled).square().mean())
    assert found.extra["epsilon"] == pytest.approx(epsilon)
    assert found.value == pytest.approx(divergence_by_pot(x, y, epsilon), rel=1e-6)


def test_sinkhorn_is_twice_that_of_geomloss() -> None:
    geomloss = pytest.importorskip("geomloss")
    x, y = normal(60, 2, 0), normal(40, 2, 1, shift=1.0)
    found = sinkhorn(x, y, permutations=0)
    blur = math.sqrt(found.extra["epsilon"] / 2)
    loss = geomloss.SamplesLoss("sinkhorn", p=2, blur=blur, scaling=0.99, backend="tensorized")
    assert found.value == pytest.approx(2 * float(loss(x, y)), rel=1e-4)


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 10.0])
def test_sinkhorn_of_an_exact_shift_is_its_square(epsilon: float) -> None:
    x, delta = normal(50, 3, 0), torch.tensor([1.0, -2.0, 3.0]).double()
    found = sinkhorn(x, x + delta, epsilon=epsilon, permutations=0)
    assert found.value == pytest.approx(14.0, rel=1e-6)


def test_sinkhorn_between_transport_and_means() -> None:
    x, y = normal(60, 1, 0), normal(60, 1, 1, shift=1.5, scale=2.0)
    fine = sinkhorn(x, y, epsilon=2e-4, iterations=30_000, permutations=0)
    assert fine.value == pytest.approx(
        ot.wasserstein_1d(x[:, 0].numpy(), y[:, 0].numpy(), p=2), rel=0.01
    )
    coarse = sinkhorn(x, y, epsilon=1e5, permutations=0)
    assert coarse.value == pytest.approx(float((x.mean() - y.mean()) ** 2), rel=1e-3)


def test_splits_have_the_divergence_of_their_rows() -> None:
    pooled, heat = normal(25, 2, 0), _sinkhorn.SinkhornSettings(0.3, 1e-10, 2000)
    found, error = _sinkhorn.permuted(pooled, 15, 3, heat, torch.Generator().manual_seed(4))
    masks = permutation_masks(15, 10, 3, torch.Generator().manual_seed(4))
    expected = [_sinkhorn.divergence(pooled[mask], pooled[~mask], heat).value for mask in masks]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    assert error < 1e-5


def test_a_row_adds_what_leaving_it_out_takes_away() -> None:
    x, y = normal(150, 2, 0), normal(120, 2, 1, shift=1.0)
    heat = _sinkhorn.SinkhornSettings(0.5, 1e-9, 2000)
    whole = _sinkhorn.divergence(x, y, heat)
    rows = torch.arange(len(x))
    left = [_sinkhorn.divergence(x[rows != i], y, heat).value for i in range(20)]
    taken = (len(x) - 1) * (whole.value - torch.tensor(left))
    # Equal up to a constant and the second order, which is 1/n of the first.
    expected = whole.of_x[:20] - whole.of_x.mean()
    gap = (taken - expected) - (taken - expected).mean()
    assert float(gap.abs().max()) < 0.05 * float(expected.abs().max())


def test_a_plan_that_has_not_converged_has_its_error() -> None:
    x, y = normal(60, 1, 0), normal(60, 1, 1, shift=0.5, scale=2.0)
    short = sinkhorn(x, y, epsilon=1e-4, iterations=5, permutations=0)
    assert short.extra["marginal_error"] > 1e-3
    assert f"{short.extra['marginal_error']:.1g}" in short.reading
    whole = sinkhorn(x, y, permutations=9)
    assert whole.extra["marginal_error"] < 1e-6
    assert f"{whole.extra['marginal_error']:.1g}" not in whole.reading


@pytest.mark.parametrize("unit", [1e-100, 1.0, 1e100])
def test_sinkhorn_in_any_unit_and_with_an_outlier(unit: float) -> None:
    x, y = normal(40, 2, 0), normal(40, 2, 1, shift=1.0)
    x[0] = 1e4  # farther from all others than a plan's entries reach
    found = sinkhorn(unit * x, unit * y, permutations=39)
    one = sinkhorn(x, y, permutations=39)
    assert math.isfinite(found.value)
    assert found.value == pytest.approx(unit**2 * one.value, rel=1e-5)
    assert found.null == pytest.approx(unit**2 * (one.null or 0), rel=1e-5)
    assert found.p_value == one.p_value


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.0, 10), (math.nan, 10), (0.1, 0)])
def test_bad_settings_are_refused(epsilon: float, iterations: int) -> None:
    with pytest.raises(MeasureError, match="epsilon must be positive and iterations >= 1; given"):
        sinkhorn(torch.zeros(9, 1), torch.zeros(9, 1), epsilon=epsilon, iterations=iterations)
    with pytest.raises(MeasureError, match="p must be 1 or 2, and is 3"):
        max_sliced_wasserstein(torch.zeros(9, 1), torch.zeros(9, 1), p=3)  # type: ignore[arg-type]  # on purpose


def test_max_sliced_wasserstein_of_a_shift_in_784_dimensions() -> None:
    n, d = 600, 784
    found = max_sliced_wasserstein(normal(n, d, 0), normal(n, d, 1) + 0.5, permutations=39)
    size = 0.5 * d**0.5  # |delta| = 14, all pixels together
    # The noise of the means is orthogonal to it but for chance: with k = 300 rows a side to seek,
    # the cosine is 1 / sqrt(1 + 2 d / (k |delta|^2)). Standard error along the line: sqrt(2 / 300).
    cosine = (1 + 2 * d / (300 * size**2)) ** -0.5
    assert found.value == pytest.approx(size * cosine, abs=4 * (2 / 300) ** 0.5)
    along = abs(float(torch.tensor(found.extra["direction"]).sum())) / d**0.5
    assert along == pytest.approx(cosine, abs=0.005)
    assert found.extra["searched"] > found.value
    assert found.extra["held_out"] == [300, 300]


@pytest.mark.parametrize("p", [1, 2])
def test_max_sliced_wasserstein_finds_the_axis_of_another_scale(p: int) -> None:
    x, y = normal(1000, 10, 0), normal(1000, 10, 1)
    y[:, 3] *= 2
    found = max_sliced_wasserstein(x, y, p=1 if p == 1 else 2, permutations=39)
    assert abs(found.extra["direction"][3]) > 0.95
    # W_2 of N(0, 1) and N(0, 4) is 1, W_1 is E|x| = 0.798; four standard errors of 500 rows a side.
    truth = (2 / math.pi) ** 0.5 if p == 1 else 1.0
    assert found.value == pytest.approx(truth, abs=4 * 0.08)
    assert found.p_value == 1 / 40


@pytest.mark.parametrize("p", [1, 2])
def test_no_direction_of_the_plane_is_steeper_than_the_one_found(p: int) -> None:
    x, y = normal(80, 2, 0), normal(60, 2, 1)
    y[:, 0] = y[:, 0].abs() * y[:, 1].sign()  # no difference of the means, nor of the scales
    angles = torch.linspace(0, math.pi, 2001).double()
    grid = torch.stack([angles.cos(), angles.sin()], 1)
    best = _sliced.transport((grid @ x.mT).sort(1).values, (grid @ y.mT).sort(1).values, p).max()
    line = _sliced.steepest(x, y, p, 16, 60, torch.Generator().manual_seed(0))[None]
    found = _sliced.transport((line @ x.mT).sort(1).values, (line @ y.mT).sort(1).values, p)
    assert float(line.norm()) == pytest.approx(1.0)
    assert float(found) > (1 - 1e-3) * float(best)


def test_transport_of_two_uniform_samples() -> None:
    n, repetitions = 20, 2000
    u = torch.rand(2, repetitions, n, generator=torch.Generator().manual_seed(0)).double()
    each = _sliced.transport(u[0].sort(1).values, u[1].sort(1).values, 2)
    error = float(each.std()) / repetitions**0.5  # 2 % of the mean
    assert float(each.mean()) == pytest.approx(1 / (3 * (n + 1)), abs=4 * error)


def test_sliced_wasserstein_of_order_1_in_ten_dimensions() -> None:
    found = sliced_wasserstein(
        normal(4000, 10, 0), normal(4000, 10, 1, shift=1.0), p=1, projections=200, permutations=0
    )
    # The lines give a standard error of about 0.19 / sqrt(200) = 0.013, the rows of 0.008; the
    # value's own bias, E|noise| on lines without shift, stays below 0.01.
    assert found.value == pytest.approx(0.258690, abs=0.06)
