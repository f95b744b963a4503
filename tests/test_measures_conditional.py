"""TARP on pairs of normal variables, whose conditional is known: right draws pass, others fail."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import tarp

RHO = 0.8
NOISE = math.sqrt(1 - RHO**2)


def case(kind: str, n: int, draws: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """x, draws of x and what is given, c: x | c is N(0.8 c, 0.36)."""
    rng = torch.Generator().manual_seed(seed)

    def normal(k: int) -> Tensor:
        return torch.randn(k, 1, generator=rng, dtype=torch.float64)

    c = normal(n)
    x, every, e = RHO * c + NOISE * normal(n), c.repeat_interleave(draws, 0), normal(n * draws)
    y = {
        "right": RHO * every + NOISE * e,
        "marginal": e,
        "narrow": RHO * every + 0.6 * NOISE * e,
        "wide": RHO * every + 1.6 * NOISE * e,
        "biased": RHO * every + NOISE * e + 0.7,
    }[kind]
    return x, y, c


@pytest.mark.parametrize("draws", [1, 10])
def test_right_draws_are_refused_as_often_as_the_level_says(draws: int) -> None:
    """p-values are uniform: 300 of them, by their own KS test, which fails once in 1000 times."""
    found = [tarp(*case("right", 100, draws, s)[:2], given=None, seed=s) for s in range(150)]
    found += [
        tarp(x, y, given=c, seed=s)
        for s in range(150)
        for x, y, c in [case("right", 100, draws, 1000 + s)]
    ]
    p_values = [m.p_value for m in found if m.p_value is not None]
    assert len(p_values) == 300
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    null = found[0].null
    assert null is not None
    mean = float(np.mean([m.value for m in found]))
    error = float(np.std([m.value for m in found])) / math.sqrt(300)
    assert abs(mean - null) < 4 * error


@pytest.mark.parametrize(
    ("kind", "draws", "words"),
    [
        ("marginal", 1, "know too little of what is given"),
        ("marginal", 10, "know too little of what is given"),
        ("narrow", 10, "too narrow"),
        ("wide", 10, "spread too far"),
        ("biased", 10, ""),
    ],
)
def test_wrong_draws_are_found(kind: str, draws: int, words: str) -> None:
    for seed in range(5):
        x, y, c = case(kind, 1000, draws, seed)
        found = tarp(x, y, given=c, seed=seed)
        assert found.p_value is not None
        assert found.p_value < 0.001, (kind, seed)
        assert found.null is not None
        assert found.low is not None
        assert found.low > found.null
        assert words in found.reading


def test_the_marginal_passes_where_points_do_not_depend_on_what_is_given() -> None:
    """What the points are for: draws of the marginal are calibrated on average."""
    x, y, _ = case("marginal", 1000, 10, 0)
    found = tarp(x, y)
    assert found.p_value is not None
    assert found.p_value > 0.01


def test_the_statistic_is_that_of_scipy_and_ties_are_uniform() -> None:
    x = torch.zeros(400, 1)
    found = tarp(x, torch.zeros(1200, 1))  # all distances are equal: u is a draw
    assert found.p_value is not None
    assert found.p_value > 0.001
    assert found.m == 3 * found.n == 600
    exact = stats.kstwo.sf(found.value, found.n)
    assert found.p_value == pytest.approx(exact)
    few = tarp(x[:60], torch.zeros(60, 1))
    assert few.null == pytest.approx(stats.kstwo.mean(30), rel=0.01)


def test_a_table_is_measured_by_its_features() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"c": rng.integers(0, 3, 300), "x": rng.normal(size=300)})
    found = tarp(frame.select("x"), frame.select("x").sample(300, seed=1), given=frame.select("c"))
    assert found.n == 150
    assert tarp(frame, frame, features=lambda f: torch.tensor(f["x"].to_list())[:, None]).m == 150


@pytest.mark.parametrize(
    ("x", "y", "given", "message"),
    [
        (torch.zeros(30, 1), torch.zeros(31, 1), None, "same number of draws for each row"),
        (torch.zeros(30, 1), torch.zeros(30, 1), torch.zeros(29, 1), "has 29"),
        (torch.zeros(10, 1), torch.zeros(10, 1), None, "at least 20 rows"),
        (torch.zeros(30, 1), torch.zeros(30, 2), None, "same columns"),
        (torch.zeros(30, 1), torch.zeros(30, 1), torch.full((30, 1), math.nan), "NaN"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    x: Tensor, y: Tensor, given: object, message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        tarp(x, y, given=given)
    with pytest.raises(MeasureError, match="limit"):
        tarp(torch.zeros(30, 1), torch.zeros(30, 1), limit=3)
