"""The Fréchet distance: matrix roots, closed forms, its null, its extrapolation, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch.distributions import MultivariateNormal

from pushforward.errors import MeasureError
from pushforward.measures import frechet, frechet_gaussian
from pushforward.measures._intervals import squared_distance_interval
from pushforward.measures.samples import _gaussian
from samples import normal


def mixed(n: int, d: int, seed: int) -> Tensor:
    """n rows with correlated columns of very different spreads."""
    rng = torch.Generator().manual_seed(1000 + seed)
    return normal(n, d, seed) @ torch.randn(d, d, generator=rng).double() * torch.logspace(-2, 1, d)


def with_root(x: Tensor, y: Tensor) -> float:
    """The distance by the root of the product of both covariances, as FID scripts take it."""
    a, b = (np.atleast_2d(np.cov(side.numpy(), rowvar=False)) for side in (x, y))
    shift = float((x.mean(0) - y.mean(0)).square().sum())
    return shift + float(np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b)).real)


def plug_in(x: Tensor, y: Tensor) -> float:
    return frechet(x, y, permutations=0, groups=0).value


@pytest.mark.parametrize("d", [1, 2, 20, 60])
def test_it_is_the_matrix_root(d: int) -> None:
    x, y = normal(150, d, 0), normal(90, d, 1, shift=0.3, scale=2.0)
    assert plug_in(x, y) == pytest.approx(with_root(x, y), rel=1e-10)
    x, y = mixed(150, d, 0), mixed(90, d, 1) + 0.3
    assert plug_in(x, y) == pytest.approx(with_root(x, y), rel=1e-6)  # the root's own digits
    assert plug_in(x, y) == pytest.approx(plug_in(y, x), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(12, 15), (12, 80), (80, 12), (30, 30)])
def test_fewer_rows_than_columns(n: int, m: int) -> None:
    # With singular covariances a root loses half the digits; the singular values of the product
    # of the centred rows lose none.
    x, y = mixed(n, 30, 0), mixed(m, 30, 1) + 0.3
    a, b = ((s - s.mean(0)).numpy() / math.sqrt(len(s) - 1) for s in (x, y))
    shift = float((x.mean(0) - y.mean(0)).square().sum())
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    expected = shift + np.square(a).sum() + np.square(b).sum() - 2 * root
    assert plug_in(x, y) == pytest.approx(expected, rel=1e-9)


def test_gaussians_in_closed_form() -> None:
    rows = [mixed(50, 6, seed) for seed in (0, 1)]
    p, q = (MultivariateNormal(x.mean(0), torch.cov(x.mT)) for x in rows)
    assert plug_in(*rows) == pytest.approx(frechet_gaussian(p, q).value, rel=1e-9)
    eye = torch.eye(3).double()
    one, other = _gaussian.gaussian(0 * eye[0], eye), _gaussian.gaussian(eye[0], 4 * eye)
    assert _gaussian.squared_distance(one, other) == pytest.approx(4.0, abs=1e-12)


def test_samples_of_gaussians_come_to_the_closed_form() -> None:
    found = frechet(normal(4000, 3, 0), normal(4000, 3, 1, shift=1.0, scale=2.0))
    assert found.low is not None
    assert found.high is not None
    # The interval's width is four standard errors: 13 % of the value, where a factor is 50 % off.
    assert abs(found.extra["debiased"] - 4.0) < found.high - found.low < 0.6
    assert found.p_value == 1 / 40


@pytest.mark.parametrize(("n", "d"), [(40, 1), (40, 8), (10, 30)])
def test_an_exact_shift_is_its_square(n: int, d: int) -> None:
    x, delta = mixed(n, d, 0), torch.linspace(0.5, 1.5, d).double()
    assert plug_in(x, x + delta) == pytest.approx(float(delta.square().sum()), rel=1e-9)
    assert plug_in(x, x) == pytest.approx(0.0, abs=1e-10 * float(x.square().mean()))


def test_constant_and_repeated_columns_change_nothing_that_they_should_not() -> None:
    x, y = normal(60, 3, 0), normal(50, 3, 1, shift=0.5, scale=2.0)
    expected = plug_in(x, y)
    beside = [torch.cat([side, torch.full((len(side), 1), 7.0)], 1) for side in (x, y)]
    assert plug_in(beside[0], beside[1]) == pytest.approx(expected, rel=1e-9)
    twice = [torch.cat([side, side], 1) for side in (x, y)]
    assert plug_in(twice[0], twice[1]) == pytest.approx(2 * expected, rel=1e-7)


def test_one_side_constant_has_the_other_sides_variance() -> None:
    x, y = torch.full((20, 3), 2.0).double(), normal(30, 3, 0)
    expected = float((y.mean(0) - 2).square().sum() + y.var(0).sum())
    assert frechet(x, y).value == pytest.approx(expected, rel=1e-12)


def test_equal_constants_are_no_difference() -> None:
    found = frechet(torch.ones(10, 2), torch.ones(12, 2))
    assert (found.value, found.low, found.high, found.null, found.p_value) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize("unit", [1e-60, 1e-3, 1e6, 1e140])
def test_it_has_the_square_of_the_datas_unit(unit: float) -> None:
    x, y = mixed(60, 4, 0), mixed(50, 4, 1)
    plain, scaled = frechet(x, y), frechet(unit * x, unit * y)
    for name in ("value", "low", "high", "null"):
        expected = getattr(plain, name) * unit**2
        assert getattr(scaled, name) == pytest.approx(expected, rel=1e-6), name
    assert scaled.p_value == plain.p_value


def test_the_null_formula_for_gaussians() -> None:
    # (1/n + 1/m)(d + d(d + 1)/4) is the leading term; the next one is of the order d/n of it: 2 %
    # here, which the tolerance leaves beside four standard errors (of 200 values, each 35 %).
    n, m, d = 300, 200, 4
    drawn = [plug_in(normal(n, d, 2 * i), normal(m, d, 2 * i + 1)) for i in range(200)]
    formula = (1 / n + 1 / m) * (d + d * (d + 1) / 4)
    assert np.mean(drawn) == pytest.approx(formula, rel=0.02 + 4 * 0.35 / math.sqrt(200))
    # The measure's own null is the mean over 200 splits of one pair of samples.
    null = frechet(normal(n, d, 0), normal(m, d, 1), permutations=200, groups=0).null
    assert null == pytest.approx(formula, rel=0.02 + 4 * 0.35 / math.sqrt(200) + 0.05)


def heavy(n: int, d: int, seed: int) -> Tensor:
    """Rows of a scale mixture: uncorrelated, dependent, with a kurtosis far above 3."""
    rng = torch.Generator().manual_seed(5000 + seed)
    return normal(n, d, seed) * (0.2 + 2 * torch.rand(n, 1, generator=rng).double())


def test_the_null_holds_for_heavy_tails_and_hardly_more_rows_than_columns() -> None:
    n, d = 40, 20
    drawn = np.array([plug_in(heavy(n, d, 2 * i), heavy(n, d, 2 * i + 1)) for i in range(100)])
    nulls = [
        frechet(heavy(n, d, 2 * i), heavy(n, d, 2 * i + 1), permutations=5, groups=0).null
        for i in range(40)
    ]
    error = math.hypot(drawn.std() / 10, float(np.std(np.array(nulls, float))) / math.sqrt(40))
    assert np.mean(np.array(nulls, float)) == pytest.approx(drawn.mean(), abs=4 * error)
    formula = 2 / n * (d + d * (d + 1) / 4) * float(heavy(100_000, 1, 9).var())
    assert abs(drawn.mean() - formula) > 4 * error  # where the Gaussians' formula is wrong


def test_the_extrapolation_is_the_jackknife() -> None:
    x, y = normal(9, 2, 0), normal(9, 2, 1, shift=1.0)
    found = frechet(x, y, groups=9, permutations=40, seed=3)
    rng = torch.Generator().manual_seed(3)
    splits = _gaussian.permuted(x, y, 40, rng)
    order = [torch.randperm(9, generator=rng) for _ in range(2)]
    without = np.array(
        [with_root(x[order[0] != g], y[order[1] != g]) for g in range(9)]
    )  # groups of one row
    debiased = 9 * with_root(x, y) - 8 * without.mean()
    assert found.extra["debiased"] == pytest.approx(debiased, rel=1e-9)
    unbiased = (splits - splits.mean()).numpy()
    interval = squared_distance_interval(
        debiased, found.value - debiased, unbiased, 8 * float(without.var())
    )
    assert None not in interval
    assert found.interval == pytest.approx([max(0.0, end or 0.0) for end in interval], rel=1e-9)


def test_the_extrapolation_takes_the_bias_off() -> None:
    # The plug-in is 3.6 times the truth; what is left of the bias is below three standard errors
    # of the mean over 40 pairs (0.21 each).
    found = [
        frechet(normal(100, 15, 2 * i), normal(100, 15, 2 * i + 1, 1.0), permutations=0)
        for i in range(40)
    ]
    debiased = np.array([m.extra["debiased"] for m in found])
    assert np.mean([m.value for m in found]) > 2.2
    assert debiased.mean() == pytest.approx(1.0, abs=3 * debiased.std() / math.sqrt(40))


def test_too_few_rows_have_no_interval_and_say_so() -> None:
    found = frechet(normal(30, 20, 0), normal(40, 20, 1))
    assert found.interval is None
    assert {"30", "20"} <= set(found.reading.split())
    assert found.null is not None
    assert found.p_value is not None


def test_the_same_seed_gives_the_same_measurement() -> None:
    x, y = normal(60, 3, 0), normal(50, 3, 1)
    assert frechet(x, y, seed=4) == frechet(x, y, seed=4)
    assert frechet(x, y, limit=40).extra["given"] == [60, 50]


@pytest.mark.parametrize(
    ("x", "y", "options", "said"),
    [
        (torch.zeros(9, 2), torch.zeros(9, 3), {}, "same columns"),
        (torch.zeros(2, 2), torch.zeros(9, 2), {}, "at least 3 rows"),
        (torch.tensor([[0.0], [math.nan], [1.0]]), torch.zeros(9, 1), {}, "NaN or infinity"),
        (torch.zeros(9, 2), torch.zeros(9, 2), {"permutations": -1}, "permutations must be"),
        (torch.zeros(9, 2), torch.zeros(9, 2), {"groups": 1}, "groups 0 or at least 2"),
    ],
)
def test_bad_input_is_told(x: Tensor, y: Tensor, options: dict[str, Any], said: str) -> None:
    with pytest.raises(MeasureError, match=said):
        frechet(x, y, **options)
