"""The classifier two-sample test: closed forms for Gaussians, scikit-learn, coverage, bad input."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import binomtest, norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import classifier_test
from pushforward.measures import measure as measured
from pushforward.measures._intervals import wilson
from pushforward.measures._roc import auc
from pushforward.measures.learned._split import split
from pushforward.measures.learned.classifier import Classifier, classifier_score
from samples import normal, table

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
    assert auc((low, high))[0] == pytest.approx(expected, abs=1e-12)
    assert auc((high, low))[0] == pytest.approx(1 - expected, abs=1e-12)


def test_the_interval_of_the_auc_holds_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = float(norm.cdf(1 / math.sqrt(2)))
    found = [auc((rng.normal(size=60), rng.normal(1.0, size=80))) for _ in range(200)]
    # At a true coverage of 95 % fewer than 180 or more than 198 hits have a probability of 0.1 %.
    assert 180 <= sum(low <= truth <= high for _, low, high in found) <= 198


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_the_interval_holds_the_classifier_s_own_accuracy(classifier: Classifier) -> None:
    # Not the best classifier's accuracy, but that of the one which was learned, on fresh rows.
    x, y = normal(200, 1, 0), normal(200, 1, 1, shift=1.0)
    rng = torch.Generator().manual_seed(0)
    both = split(x, y, share=0.5, limit=None, features=None, generator=rng)
    score = classifier_score(classifier, *both.training_rows(), 0)
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
        *(
            (torch.zeros(50, 2), torch.zeros(60, 2), {"folds": folds}, "at most the 50 rows a side")
            for folds in (0, 1, 51)
        ),
        (table(19, 0), table(50, 1), {}, r"at least 20 rows, and they have \[19, 50\]"),
        (table(50, 0), table(50, 1).drop("d"), {}, "the second lacks 'd'"),
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


# --- folds ---


def test_folds_are_the_cross_validation_of_scikit_learn() -> None:
    x, y = normal(150, 3, 0), normal(150, 3, 1, shift=0.7)
    found = classifier_test(x, y, classifier="logistic", folds=4, seed=7)
    rows, labels = np.concatenate([x, y]), np.repeat([0, 1], 150)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(4, shuffle=True, random_state=7)
    areas = cross_val_score(model, rows, labels, cv=folds, scoring="roc_auc")
    assert found.extra["auc_by_fold"] == pytest.approx(areas.tolist(), abs=1e-12)
    assert found.extra["auc"] == found.vote == pytest.approx(areas.mean(), abs=1e-12)
    chance = cross_val_predict(model, rows, labels, cv=folds, method="predict_proba")[:, 1]
    assert found.value == pytest.approx(np.mean((chance > 0.5) == labels), abs=1e-12)
    assert (found.n, found.m, found.extra["held_out"]) == (150, 150, 300)
    # of all rows, each held out once, the most certain ones
    assert found.extra["witness"]["real"] == np.argsort(chance[:150])[:10].tolist()
    assert found.extra["witness"]["generated"] == np.argsort(-chance[150:])[:10].tolist()


def test_xgboost_with_folds_is_the_published_protocol() -> None:
    """By hand: XGBoost with its defaults and scikit-learn, and Polars' one-hot categories."""
    booster = pytest.importorskip("xgboost").XGBClassifier
    x, y = table(400, 0), table(300, 1, shift=0.5)
    found = classifier_test(x.head(300), y, classifier="xgboost", folds=3, limit=None)
    whole = pl.concat([x.head(300), y]).to_dummies(["c", "d"]).cast(pl.Float64).to_numpy()
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    model, labels = booster(random_state=0, n_jobs=1), np.repeat([0, 1], 300)
    areas = cross_val_score(model, whole, labels, cv=folds, scoring="roc_auc")
    assert found.extra["auc_by_fold"] == pytest.approx(areas.tolist(), abs=1e-9)
    named = measured(x.head(300), y, measures="classifier_test_xgboost")["classifier_test_xgboost"]
    assert named.extra["auc"] == found.extra["auc"]
    assert named.aspect == "joint structure"
    # 100 real rows fewer are drawn at random, so that both sides have 300
    fewer = classifier_test(x, y, classifier="xgboost", folds=3, limit=None)
    assert (fewer.n, fewer.m, fewer.extra["held_out"]) == (300, 300, 600)


def test_without_xgboost_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    message = r"needs the package xgboost-cpu .*pip install xgboost-cpu"
    with pytest.raises(MeasureError, match=message):
        classifier_test(torch.zeros(50, 2), torch.zeros(50, 2), classifier="xgboost")
    with pytest.raises(MeasureError, match=message):
        measured(table(60, 0), table(60, 1), measures=["energy", "classifier_test_xgboost"])


def test_the_p_value_of_folds_is_valid_without_a_difference() -> None:
    found = [
        classifier_test(
            normal(40, 2, 2 * i), normal(40, 2, 2 * i + 1), classifier="logistic", folds=3
        )
        for i in range(60)
    ]
    # At a level of 5 % more than 8 of 60 have a probability of 0.3 %.
    assert sum(m.p_value is not None and m.p_value <= 0.05 for m in found) <= 8
    areas = np.array([m.extra["auc"] for m in found])
    assert abs(areas.mean() - 0.5) < 4 * areas.std() / 60**0.5


def test_the_p_values_of_folds_are_combined_by_the_middle_one() -> None:
    x, y = normal(150, 1, 0), normal(150, 1, 1, shift=0.4)
    found = classifier_test(x, y, classifier="logistic", folds=3, seed=1)
    folds = StratifiedKFold(3, shuffle=True, random_state=1)
    model, labels = make_pipeline(StandardScaler(), LogisticRegression()), np.repeat([0, 1], 150)
    rows = np.concatenate([x, y])
    right = cross_val_predict(model, rows, labels, cv=folds) == labels
    tests = [
        binomtest(int(right[test].sum()), len(test), alternative="greater").pvalue
        for _, test in folds.split(rows, labels)
    ]
    assert found.p_value == pytest.approx(1.5 * sorted(tests)[1])


# --- tables ---


def test_categories_and_missing_values_of_tables_are_seen() -> None:
    """All else is equal in distribution: the best AUC is that of one flag that is more frequent."""
    n = 4000
    rng = np.random.default_rng(0)
    base = {"a": rng.normal(size=2 * n), "c": rng.choice(list("klm"), size=2 * n)}
    whole = pl.DataFrame(base)
    real, fake = whole.head(n), whole.tail(n)
    gaps = [pl.Series(rng.random(n) < share) for share in (0.1, 0.4)]
    for name, other in (("a", None), ("c", None), ("c", "new")):
        changed = [
            side.with_columns(pl.when(gap).then(pl.lit(other)).otherwise(pl.col(name)).alias(name))
            for side, gap in zip((real, fake), gaps, strict=True)
        ]
        found = classifier_test(*changed, limit=None)
        # 1/2 + (0.4 - 0.1) / 2; the standard error of 2,000 rows on either side is at most 0.009
        assert found.extra["auc"] == pytest.approx(0.65, abs=4 * 0.009), (name, other)


def test_numeric_data_frames_give_what_their_arrays_give() -> None:
    x, y = normal(100, 2, 0).numpy(), normal(90, 2, 1, shift=1.0).numpy()
    frames = [pl.DataFrame(rows, schema=["a", "b"]) for rows in (x, y)]
    assert classifier_test(frames[0], frames[1].select("b", "a")) == classifier_test(x, y)


def test_times_that_float32_cannot_hold_are_compared() -> None:
    seconds = np.random.default_rng(0).integers(0, 86_400, 1200)
    day = pl.Series(seconds * 1_000_000 + 1_700_000_000_000_000).cast(pl.Datetime("us"))
    frame = pl.DataFrame({"at": day})
    later = frame.with_columns(pl.col("at") + pl.duration(hours=6))
    pytest.importorskip("xgboost")
    found = classifier_test(frame[:600], later[600:], classifier="xgboost", folds=3)
    # P(u < v) for u of U(0, 1), v of U(1/4, 5/4) is 1 - (3/4)^2 / 2 for scores that rise, and a
    # classifier has ties in the middle: the two ends, a quarter each, are certain.
    assert found.extra["auc"] == pytest.approx(1 - (3 / 4) ** 2 / 2, abs=0.07)


def test_columns_of_many_categories_are_ranks() -> None:
    rng = np.random.default_rng(0)
    names = np.array([f"{i:04}" for i in range(600)])
    sides = [pl.DataFrame({"a": rng.choice(part, 2000)}) for part in (names[:400], names[200:])]
    found = classifier_test(*sides)
    # a half of either side is certain, the others are even
    assert found.extra["auc"] == pytest.approx(1 - 0.25 / 2, abs=0.05)
