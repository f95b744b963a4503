"""Intervals and p-values of differences are SciPy's, and hold what they promise in simulations."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from pushforward.comparison.contrasts import contrast, mean_interval
from pushforward.comparison.losses import Losses, average
from pushforward.measures._intervals import holm

Draws = tuple[Losses, Losses]


def test_without_row_noise_it_is_welchs_t_test() -> None:
    a, b = (0.31, 0.42, 0.35, 0.50), (0.61, 0.90, 0.40)
    found = contrast(Losses(a), Losses(b))
    expected = stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.p_value(matters=0) == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.freedom == pytest.approx(expected.df, rel=1e-9)
    assert found.interval() == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_the_interval_of_one_mean_is_students() -> None:
    values = (0.1, 0.4, 0.35, 0.2, 0.6)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(Losses(values)) == pytest.approx((expected.low, expected.high))
    assert mean_interval(Losses((1.0,))) is None


def test_rows_that_both_models_share_are_paired() -> None:
    """What the test rows do to both alike cancels; what they do to one of them stays."""
    noise = (0.3, -0.1, 0.2, -0.4)
    same = contrast(Losses((0.1, 0.2), noise), Losses((0.5, 0.6), noise))
    assert same.rows[0].value == 0
    one = contrast(Losses((0.1, 0.2), noise), Losses((0.5, 0.6), (0.0,) * 4))
    assert one.rows[0].value == pytest.approx(np.mean(np.square(noise)))
    assert one.rows[0].freedom == 4


def test_no_number_of_seeds_removes_the_noise_of_the_rows() -> None:
    rows = (0.1, -0.1, 0.1, -0.1)
    few, many = (contrast(Losses((0.0, 0.02) * n, rows), Losses((0.1, 0.12) * n)) for n in (1, 500))
    assert many.error == pytest.approx(0.1, rel=1e-2)
    assert few.error > many.error
    assert many.seeds_needed() is None


def test_a_difference_must_exceed_what_matters() -> None:
    """At a true difference of exactly what matters, errors are one-sided: p is half of its size."""
    found = contrast(Losses((0.0, 0.01, 0.02)), Losses((0.1, 0.11, 0.12)))
    below = stats.t.sf((0.1 - 0.04) / found.error, found.freedom)
    above = stats.t.sf((0.1 + 0.04) / found.error, found.freedom)
    assert found.p_value(0.04) == pytest.approx(below + above)
    assert found.p_value(0.2) > 0.5
    exact = contrast(Losses((0.0, 0.0)), Losses((0.1, 0.1)))
    assert (exact.p_value(0.02), exact.p_value(0.2)) == (0.0, 1.0)


def test_holms_correction_is_his_step_down_procedure() -> None:
    """A claim holds at a level iff Holm's procedure, as he wrote it, rejects at this level."""
    p = np.random.default_rng(0).uniform(0, 0.2, 12).tolist()
    corrected = holm(p)
    for level in np.linspace(0.001, 1, 200):
        rejected = set()
        for k, i in enumerate(sorted(range(12), key=p.__getitem__)):
            if p[i] > level / (12 - k):
                break
            rejected.add(i)
        assert {i for i in range(12) if corrected[i] <= level} == rejected


def test_an_aspect_is_the_mean_of_its_measures() -> None:
    first = Losses((0.2, 0.4), (0.1, -0.2))
    second = Losses((0.6, 0.0), (0.3, 0.2), row_variance=0.08)
    mean = average([first, second])
    assert mean.by_seed == pytest.approx((0.4, 0.2))
    assert mean.row_noise == pytest.approx((0.2, 0.0))
    assert mean.row_variance == pytest.approx(0.02)
    assert average([first]) == first


def simulated(
    repeats: int, seeds: int, difference: float, *, rows: float, shared: float
) -> Iterator[Draws]:
    """Losses of two models: seeds of spread 0.1, and errors by the rows, a share of them common."""
    rng = np.random.default_rng(0)
    for _ in range(repeats):
        common = rng.normal(0, rows * math.sqrt(shared), 5)
        own = rng.normal(0, rows * math.sqrt(1 - shared), (2, 5)) + common
        by_seed = 0.5 + rng.normal(0, 0.1, (2, seeds)) + own[:, :1]
        by_seed[0] += difference
        first, second = (
            Losses(tuple(s), tuple(n[1:]))
            for s, n in zip(by_seed.tolist(), own.tolist(), strict=True)
        )
        yield first, second


@pytest.mark.parametrize("rows", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("seeds", [3, 5])
def test_equal_models_differ_in_at_most_five_percent(seeds: int, rows: float) -> None:
    """2,000 pairs, rows that bring no, little and most of the noise; plus 3 standard errors."""
    pairs = simulated(2000, seeds, 0.0, rows=rows, shared=0.5)
    share = np.mean([contrast(a, b).p_value(matters=0) <= 0.05 for a, b in pairs])
    assert share < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    assert share > 0.01  # the test is not empty


@pytest.mark.parametrize("rows", [0.05, 0.3])
def test_a_detectable_difference_is_found_in_four_of_five_cases(rows: float) -> None:
    """With the true variances; the formula is an approximation, good to 4 points.

    2,000 repeats: a standard error of 0.9 points.
    """
    noise = rows / math.sqrt(2)  # of either model, so that their difference has 2 rows^2
    by_seed = (0.4, 0.5, 0.6)  # of variance 0.01
    known = contrast(Losses(by_seed, (noise,) * 4), Losses(by_seed, (-noise,) * 4))
    size = known.detectable(3, matters=0.02)
    pairs = simulated(2000, 3, size, rows=rows, shared=0.0)
    share = np.mean([contrast(a, b).p_value(0.02) <= 0.05 for a, b in pairs])
    assert abs(share - 0.8) < 0.04 + 3 * 0.009
