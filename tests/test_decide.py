"""A recommendation follows from paired differences, or says that they do not allow one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from scipy import stats

from comparisons import scorecard
from pushforward.comparison.decide import (
    decide,
    floor_warning,
    interval,
    loss,
    paired_difference,
    paired_differences,
    recommend,
)
from pushforward.measures import Measurement, Scorecard

GOOD, BAD = (0.1, 0.9, 1.0), (0.5, 0.5, 0.4)  # mmd, coverage, density


def card(values: Iterable[float]) -> Scorecard:
    mmd, coverage, density = values
    return scorecard(mmd=mmd, coverage=coverage, density=density)


def cards(center: Sequence[float], seeds: int = 4, noise: float = 1e-3) -> list[Scorecard]:
    rng = np.random.default_rng(0)
    return [card(np.array(center) + noise * rng.standard_normal(3)) for _ in range(seeds)]


def test_the_interval_is_students() -> None:
    values = [0.1, 0.4, 0.35, 0.2, 0.6]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((expected.low, expected.high))
    assert interval([1.0]) is None


def test_a_difference_is_paired() -> None:
    """Seeds that vary much more than the models differ must not hide a steady difference."""
    first = np.array([0.0, 5.0, -3.0, 9.0])
    second = first + np.array([0.1, 0.11, 0.09, 0.1])
    difference = paired_difference("mmd", ("a", list(first)), ("b", list(second)))
    assert difference.better == "a"
    assert difference.mean == pytest.approx(-0.1)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high))


def test_losses_point_the_same_way() -> None:
    assert loss(Measurement("m", 2.0, better="lower")) == 2.0
    assert loss(Measurement("m", 2.0, better="higher")) == -2.0
    assert loss(Measurement("m", 0.7, null=1.0, better="null")) == pytest.approx(0.3)
    assert loss(Measurement("m", 1.3, null=1.0, better="null")) == pytest.approx(0.3)


def test_the_better_model_is_recommended_with_its_measures() -> None:
    differences = paired_differences({"a": cards(BAD), "b": cards(GOOD)})
    advice = recommend(differences, ["a", "b"], 4)
    assert advice.model == "b"
    assert "mmd, coverage and density" in advice.sentence
    assert "a is better by 0 of 3 measures, b by 3; 0" in advice.evidence[0]


def test_equal_models_give_no_difference() -> None:
    first = cards((0.5, 0.5, 1.0), noise=0.1)
    advice = recommend(paired_differences({"a": first, "b": first[::-1]}), ["a", "b"], 4)
    assert advice.model is None
    assert advice.sentence.startswith("No difference found between a and b")


def test_measures_that_disagree_are_named() -> None:
    differences = paired_differences({"a": cards((0.1, 0.5, 1.0)), "b": cards((0.5, 0.9, 1.0))})
    advice = recommend(differences, ["a", "b"], 4)
    assert advice.model is None
    assert "a is better by mmd; b is better by coverage" in advice.sentence


def test_two_equal_models_ahead_of_a_third_are_both_named() -> None:
    all_cards = {"a": cards(GOOD), "b": cards(BAD), "c": cards(GOOD)[::-1]}
    advice = recommend(paired_differences(all_cards), list(all_cards), 4)
    assert advice.model is None
    assert advice.sentence.startswith("No difference found between a and c")


def test_one_seed_allows_no_recommendation() -> None:
    differences = paired_differences({"a": cards(GOOD, 1), "b": cards(BAD, 1)})
    advice = recommend(differences, ["a", "b"], 1)
    assert advice.model is None
    assert "a scored better by every measure" in advice.sentence
    assert all(d.low is None and d.better is None for d in differences)


def test_without_a_shared_measure_there_is_no_recommendation() -> None:
    advice = recommend([], ["a", "b"], 3)
    assert advice.model is None
    assert advice.sentence.startswith("No recommendation")


def test_under_no_difference_a_measure_errs_in_five_percent() -> None:
    """2,000 pairs of equal models, 5 seeds: the share of significant ones is 0.05 +- 4 errors."""
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((2000, 2, 5)).tolist()
    better = [paired_difference("m", ("a", a), ("b", b)).better for a, b in draws]
    share = np.mean([model is not None for model in better])
    assert abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_a_model_that_does_not_pass_the_floor_is_named() -> None:
    floor = card((0.3, 0.7, 0.5))
    warning = floor_warning("a", cards((0.5, 0.9, 0.4)), floor)
    assert warning is not None
    assert "2 of 3 measures: mmd and density" in warning
    assert floor_warning("a", cards(GOOD), floor) is None


def test_the_decision_names_both_the_winner_and_a_loser_below_the_floor() -> None:
    differences, advice = decide({"a": cards(BAD), "b": cards(GOOD)}, card((0.3, 0.7, 0.5)))
    assert [d.measure for d in differences] == ["mmd", "coverage", "density"]
    assert advice.model == "b"
    assert advice.evidence[1].startswith("a ")
    assert "3 of 3 measures" in advice.evidence[1]
    assert len(advice.evidence) == 2
