"""A share of exactly 0 or 1 has the interval of a binomial, whichever measure gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pushforward.measures import (
    Measurement,
    authenticity,
    classifier_test,
    closest_record,
    column_shapes,
    exact_matches,
    membership_inference,
    nearest_neighbour_test,
    prdc,
    utility,
)
from pushforward.measures._intervals import at_least_binomial, share_interval

N = 300
X, FAR = (np.random.default_rng(i).normal(50 * i, 1, size=(N, 2)) for i in range(2))
TRAIN = np.random.default_rng(7).normal(size=(N, 2))
Case = tuple[Callable[[], Measurement], int]
MORE = np.random.default_rng(8).normal(size=(4 * N, 2))


def wilson(hits: int, trials: int) -> tuple[float, float]:
    found = binomtest(hits, trials).proportion_ci(method="wilson")
    return found.low, found.high


@given(
    share=st.sampled_from([0.0, 1.0]),
    variance=st.floats(0, 1),
    trials=st.integers(1, 10_000),
)
def test_an_estimated_variance_takes_nothing_from_a_share_of_0_or_1(
    share: float, variance: float, trials: int
) -> None:
    expected = pytest.approx(wilson(int(share) * trials, trials), abs=1e-12)
    assert share_interval(share, variance, trials) == expected
    assert at_least_binomial(share, share, share, trials) == expected


@given(share=st.floats(0.01, 0.99), variance=st.floats(0, 1), trials=st.integers(2, 10_000))
def test_an_interval_is_never_narrower_than_a_binomial_one(
    share: float, variance: float, trials: int
) -> None:
    low, high = share_interval(share, variance, trials)
    least = share_interval(share, 0.0, trials)
    assert low <= least[0] <= share <= least[1] <= high


def test_recall_of_1_among_300_rows() -> None:
    found = prdc(X, MORE, k=20)["recall"]  # balls so large that every real row is in one
    assert found.value == 1.0
    assert found.interval == pytest.approx(wilson(N, N))


def neighbours(name: str, x: Any, y: Any) -> Case:
    return lambda: prdc(x, y)[name], N


SHARES: dict[str, Case] = {  # measurements of exactly 0 or 1, and their number of trials
    **{f"{name}, apart": neighbours(name, X, FAR) for name in prdc(X, FAR)},
    **{f"{name}, copies": neighbours(name, X, X) for name in prdc(X, X) if name != "density"},
    "classifier_test": (lambda: classifier_test(X, FAR), N),
    "nearest_neighbour_test": (lambda: nearest_neighbour_test(X, FAR), 2 * N),
    "closest_record": (lambda: closest_record(FAR, TRAIN, train=TRAIN), N),
    "authenticity": (lambda: authenticity(X, TRAIN, train=TRAIN), N),
    "exact_matches": (lambda: exact_matches(X, TRAIN, train=TRAIN), N),
    "membership_inference": (lambda: membership_inference(FAR, TRAIN, train=TRAIN), N),
    "column_shapes, apart": (lambda: column_shapes(*map(pl.DataFrame, (X, FAR))), N),
    "column_shapes, constant": (
        lambda: column_shapes(*(pl.DataFrame({"a": ["one"] * N}) for _ in range(2))), N,
    ),
    "utility": (
        lambda: utility(*(pl.DataFrame({"a": x, "b": x > 0}) for x in (X[:, 0], TRAIN[:, 0])),
                        target="b"), N,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARES)
def test_no_share_of_0_or_1_is_known_exactly_or_by_one_trial(name: str) -> None:
    measured, trials = SHARES[name]
    found = measured()
    assert round(found.value, 12) in (0.0, 1.0)
    low, high = wilson(round(found.value) * trials, trials)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    assert found.high - found.low > 0.9 * (high - low), "no narrower than that of a binomial"
    # A spread over subsamples, or a half of the rows that was held out, may add to it.
    assert found.high - found.low < 0.05
