"""A recommendation follows from paired differences, and says so when they do not tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from pushforward.comparison.decide import (
    beside_floor,
    difference,
    differences,
    interval,
    loss,
    recommend,
)
from pushforward.measures import Measurement, Scorecard

GAPS = np.array([0.1, 0.11, 0.09, 0.1])


def card(mmd: float, coverage: float, density: float) -> Scorecard:
    return Scorecard(
        {
            "mmd": Measurement("mmd", mmd, better="lower"),
            "coverage": Measurement("coverage", coverage, better="higher"),
            "density": Measurement("density", density, null=1.0, better="null"),
        }
    )


def cards(center: Sequence[float], seeds: int = 4, noise: float = 1e-3) -> list[Scorecard]:
    rng = np.random.default_rng(0)
    return [card(*(np.array(center) + noise * rng.standard_normal(3))) for _ in range(seeds)]


def test_the_interval_is_students() -> None:
    values = [0.1, 0.4, 0.35, 0.2, 0.6]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((expected.low, expected.high))
    assert interval([1.0]) is None


def test_a_difference_is_paired() -> None:
    """Seeds that vary much more than the models differ must not hide a steady difference."""
    seeds = np.array([0.0, 5.0, -3.0, 9.0])
    found = difference("mmd", ("a", list(seeds)), ("b", list(seeds + GAPS)))
    assert found.better == "a"
    assert found.mean == pytest.approx(-0.1)
    paired = stats.ttest_rel(seeds, seeds + GAPS).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((paired.low, paired.high))


def test_losses_point_the_same_way() -> None:
    assert loss(Measurement("m", 2.0, better="lower")) == 2.0
    assert loss(Measurement("m", 2.0, better="higher")) == -2.0
    assert loss(Measurement("m", 0.7, null=1.0, better="null")) == pytest.approx(0.3)
    assert loss(Measurement("m", 1.3, null=1.0, better="null")) == pytest.approx(0.3)


def test_the_better_model_is_recommended_with_its_measures() -> None:
    found = differences({"a": cards((0.5, 0.5, 0.4)), "b": cards((0.1, 0.9, 1.0))})
    told = recommend(found, ["a", "b"], 4)
    assert told.model == "b"
    assert "mmd, coverage and density" in told.sentence
    assert "a against b: 0 of 3 measures for a, 3 for b, 0 without" in told.evidence[0]


def test_equal_models_give_no_difference() -> None:
    same = cards((0.5, 0.5, 1.0), noise=0.1)
    other = [card(*(m.value for m in c.values())) for c in reversed(same)]
    told = recommend(differences({"a": same, "b": other}), ["a", "b"], 4)
    assert told.model is None
    assert told.sentence.startswith("No difference found")


def test_measures_that_disagree_are_named() -> None:
    found = differences({"a": cards((0.1, 0.5, 1.0)), "b": cards((0.5, 0.9, 1.0))})
    told = recommend(found, ["a", "b"], 4)
    assert told.model is None
    assert "a is better by mmd; b is better by coverage" in told.sentence


def test_two_equal_models_ahead_of_a_third_are_not_told_apart() -> None:
    good, again = cards((0.1, 0.9, 1.0)), cards((0.1, 0.9, 1.0))[::-1]
    found = differences({"a": good, "b": cards((0.5, 0.5, 0.4)), "c": again})
    told = recommend(found, ["a", "b", "c"], 4)
    assert told.model is None
    assert told.sentence.startswith("No difference found between a and c: either beats the rest")


def test_one_seed_allows_no_recommendation() -> None:
    found = differences({"a": cards((0.1, 0.9, 1.0), 1), "b": cards((0.5, 0.5, 0.5), 1)})
    told = recommend(found, ["a", "b"], 1)
    assert told.model is None
    assert "a scored better by every measure" in told.sentence
    assert all(d.low is None and d.better is None for d in found)


def test_under_no_difference_a_measure_errs_in_five_percent() -> None:
    """2,000 pairs of equal models, 5 seeds: the share of "real" differences is 0.05 +- 4 errors."""
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((2000, 2, 5))
    real = np.mean(
        [difference("m", ("a", list(a)), ("b", list(b))).better is not None for a, b in draws]
    )
    assert abs(real - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_a_model_that_does_not_pass_the_floor_is_told() -> None:
    floor = card(0.3, 0.7, 0.5)
    told = beside_floor("a", cards((0.5, 0.9, 0.4)), floor)
    assert told == "a is no better than the floor by 2 of 3 measures: mmd and density."
    assert beside_floor("a", cards((0.1, 0.9, 1.0)), floor) is None
