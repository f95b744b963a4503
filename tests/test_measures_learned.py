"""The classifier two-sample test: closed forms for Gaussians, scikit-learn, coverage, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import classifier_test
from pushforward.measures._intervals import wilson
from pushforward.measures.learned.classifier import Classifier, auc, fit_classifier
from samples import normal

CLASSIFIERS: tuple[Classifier, ...] = ("trees", "logistic", "network")


def test_a_shift_of_one_has_the_best_accuracy_and_auc() -> None:
    # Phi(1/2) and Phi(1/sqrt(2)). A logistic model is the best classifier here, and from 20,000
    # rows its threshold is off by less than 0.03, which costs less than 0.0002.
    n = 40_000
    found = classifier_test(
        normal(n, 1, 0), normal(n, 1, 1, shift=1.0), classifier="logistic", limit=None
    )
    assert found.extra["held_out"] == n
    accuracy, area = 0.691462, 0.760250
    # Four standard errors of the held-out half.
    assert abs(found.value - accuracy) < 4 * math.sqrt(accuracy * (1 - accuracy) / n) + 0.0002
    assert abs(found.extra["auc"] - area) < 4 * (found.extra["auc_high"] - area) / norm.ppf(0.975)
    assert found.extra["auc_high"] - found.extra["auc_low"] < 0.01


@pytest.mark.parametrize("classifier", ["trees", "network"])
def test_a_scale_of_two_is_seen_by_all_but_the_logistic_model(classifier: Classifier) -> None:
    # The best accuracy is 0.661337; a classifier that was learned stays below it, trees by 0.01 at
    # this size. Four standard errors of 6,000 held-out rows are 0.024.
    x, y = normal(6000, 1, 0), normal(6000, 1, 1, scale=2.0)
    found = classifier_test(x, y, classifier=classifier, limit=None)
    assert 0.661337 - 0.034 < found.value < 0.661337 + 0.024
    blind = classifier_test(x, y, classifier="logistic", limit=None)
    assert abs(blind.value - 0.5) < 0.03


def test_auc_is_that_of_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=300).round(1), rng.normal(0.7, size=200).round(1)
    truth = np.repeat([0, 1], [300, 200])
    expected = roc_auc_score(truth, np.concatenate([low, high]))
    assert auc(low, high)[0] == pytest.approx(expected, abs=1e-12)
    assert auc(high, low)[0] == pytest.approx(1 - expected, abs=1e-12)


def test_the_interval_of_the_auc_holds_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = float(norm.cdf(1 / math.sqrt(2)))
    found = [auc(rng.normal(size=60), rng.normal(1.0, size=80)) for _ in range(200)]
    # At a true coverage of 95 % fewer than 180 or more than 198 hits have a probability of 0.1 %.
    assert 180 <= sum(low <= truth <= high for _, low, high in found) <= 198


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_the_interval_holds_the_classifier_s_own_accuracy(classifier: Classifier) -> None:
    # Not the best classifier's accuracy, but that of the one which was learned, on fresh rows.
    x, y = normal(200, 1, 0), normal(200, 1, 1, shift=1.0)
    score = fit_classifier(x, y, classifier, None, None, 0)[1]
    fresh, other = (
        normal(100_000, 1, seed, shift).reshape(-1, 1) for seed, shift in ((2, 0), (3, 1))
    )
    held_x, held_y = score(fresh), score(other)
    truth = ((held_x < 0.5).mean() + (held_y > 0.5).mean()) / 2
    hits = (held_x < 0.5).reshape(1000, 100).sum(1) + (held_y > 0.5).reshape(1000, 100).sum(1)
    intervals = [wilson(h / 200, 200) for h in hits]
    # At a true coverage of 95 % four standard errors of 1,000 repetitions are 2.8 %.
    assert 922 <= sum(low <= truth <= high for low, high in intervals) <= 978


def test_accuracy_interval_and_p_value_are_binomial() -> None:
    found = classifier_test(normal(200, 2, 0), normal(150, 2, 1, shift=0.7), classifier="logistic")
    trials = found.extra["held_out"]
    assert trials == 150  # both sides have 150 rows, and half of each is held out
    hits = round(found.value * trials)
    test = binomtest(hits, trials, alternative="greater")
    assert found.p_value == pytest.approx(test.pvalue)
    wilson = binomtest(hits, trials).proportion_ci(method="wilson")
    assert found.interval == pytest.approx((wilson.low, wilson.high))


def test_the_p_value_is_valid_without_a_difference() -> None:
    pairs = [(normal(60, 2, 2 * i), normal(60, 2, 2 * i + 1)) for i in range(200)]
    found = [classifier_test(x, y, classifier="logistic") for x, y in pairs]
    rejected = sum(m.p_value is not None and m.p_value <= 0.05 for m in found)
    # A discrete exact test rejects at most 5 %: more than 19 of 200 have a probability of 0.3 %.
    assert rejected <= 19
    values = np.array([m.value for m in found])
    assert abs(values.mean() - 0.5) < 4 * values.std() / 200**0.5


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_seeds(classifier: Classifier) -> None:
    x, y = normal(80, 2, 0), normal(80, 2, 1, shift=0.5)
    first = classifier_test(x, y, classifier=classifier, seed=1)
    assert first == classifier_test(x, y, classifier=classifier, seed=1)
    assert first != classifier_test(x, y, classifier=classifier, seed=2)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_constants_cannot_be_told_apart_unless_they_differ(classifier: Classifier) -> None:
    same = classifier_test(torch.ones(60, 2), torch.ones(60, 2), classifier=classifier)
    assert same.value == same.extra["auc"] == 0.5
    assert same.p_value is not None
    assert same.p_value > 0.5
    apart = classifier_test(torch.ones(400, 2), torch.zeros(400, 2), classifier=classifier)
    assert apart.value == apart.extra["auc"] == 1.0


def test_the_positions_of_rows_do_not_matter() -> None:
    # Sorted samples: a split into first and last halves would learn on other rows than it tests on.
    x, y = normal(400, 1, 0).sort(0).values, normal(400, 1, 1).sort(0).values
    assert abs(classifier_test(x, y).value - 0.5) < 4 * 0.5 / 400**0.5


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (torch.zeros(19, 2), torch.zeros(50, 2), {}, "at least 20 rows on each side"),
        (torch.zeros(50, 2), torch.zeros(50, 1), {}, "same columns"),
        (torch.zeros(50, 2), torch.full((50, 2), torch.inf), {}, "generated sample has NaN"),
        (torch.zeros(50, 2), torch.zeros(50, 2), {"classifier": "tree"}, "did you mean 'trees'"),
    ],
)
def test_bad_input_is_refused(x: Tensor, y: Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        classifier_test(x, y, **options)


def test_shared_rows_make_the_accuracy_lower_than_chance() -> None:
    rows = np.random.default_rng(0).normal(size=(600, 3))
    found = classifier_test(rows, rows.copy())
    assert found.high is not None
    assert found.high < 0.5
