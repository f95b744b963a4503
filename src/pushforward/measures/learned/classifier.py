"""The classifier two-sample test: trained on some of the rows, tested on the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.errors import MeasureError, nearest
from pushforward.measures._fitting import sklearn_context
from pushforward.measures._inputs import FeatureFunction
from pushforward.measures._intervals import verdict, wilson
from pushforward.measures._optional import import_optional
from pushforward.measures._roc import auc
from pushforward.measures.learned._split import MIN_ROWS, Split, cross_splits, split, witness
from pushforward.measures.measurement import Measurement
from pushforward.measures.tables._matrix import are_tables, matrices

Classifier = Literal["trees", "logistic", "network", "xgboost"]
Floats = NDArray[np.float64]
Score = Callable[[Tensor], Floats]


def classifier_test(
    x: Any,
    y: Any,
    *,
    classifier: Classifier = "trees",
    folds: int | None = None,
    limit: int | None = 5000,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Classifier two-sample test: how well a classifier distinguishes real from generated rows.

    $$\frac1t \sum_{i=1}^{t} 1\left[(s(v_i) > \tfrac12) = l_i\right]$$

    over the t held-out rows v with labels l; s is the classifier's score. Both samples are reduced
    to the same size, and half of each is held out, or each row once, by `folds`.

    Of data frames, each category is a column of its own, and so are the missing values of a column,
    which are its mean otherwise; a column of more than 256 categories is ranks.

    The protocol by which generators of tables are compared in the literature is
    `classifier="xgboost", folds=3, limit=None`, of all training rows and as many generated ones;
    `classifier_test_xgboost` is its name in `measure` and `compare`, for tables alone. What is
    published is `extra["auc"]`, or 2 (1 - AUC), cut off at 1.

    Args:
        x: the real sample: tensor, array or data frame (n, ...).
        y: the generated sample (m, ...).
        classifier: `"trees"` (gradient-boosted trees, which see every kind of difference and are
            the strongest on tables), `"logistic"` (logistic regression, which sees differences of
            means only, but is the strongest for those, and the fastest), `"network"` (two hidden
            layers of 64) or `"xgboost"` (other gradient-boosted trees, with the defaults of
            XGBoost, on one thread; it needs `pip install 'pushforward[boosting]'`).
        folds: number of parts, each of which is held out once while the classifier learns from all
            others; None: half of the rows are held out.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of the split, the classifier and left-out rows.

    Returns:
        The held-out accuracy, with Wilson's interval and an exact one-sided binomial p-value. They
        cover the held-out rows, for this classifier: the interval is for its own accuracy, not for
        that of the best one. A score of exactly 1/2 counts as half a hit. `extra` has the area
        under the ROC curve with DeLong's interval (`auc`, `auc_low`, `auc_high`), and the
        `witness`: the indices, in x (`real`) and in y (`generated`), of the ten held-out rows of
        each sample that the classifier is most certain about. With folds, accuracy and area are
        means over them (`extra["auc_by_fold"]`), and the intervals are for the mean of their
        classifiers. Folds share training rows, so that their p-values depend on one another: of K
        of them the k-th smallest counts, times K / k, with k the half of K, rounded up.

    Raises:
        MeasureError: for fewer than 20 rows of a sample, different widths or columns, NaN (in
            arrays) or infinity, an unknown classifier, a single fold, and where XGBoost is asked
            for and not installed.

    Sees:
        what the classifier can learn from all columns together: trees and network every kind of
        difference, the logistic model differences of means only. N(0, 1) against N(1, 1) gives at
        best an accuracy of 0.6915 and an AUC of 0.7602.

    Misses:
        what takes more rows to learn; the value is a lower bound of that of the best classifier. It
        shows that the samples differ, not how much it matters: one revealing column of many is
        enough for 1. Copies of one row within a sample may lie in both halves. XGBoost compares in
        float32: times that differ by less than a ten-millionth of the table's span are equal.

    Null:
        1/2 for accuracy and AUC, for every classifier. Rows that both samples share, or copies of
        rows, give less. Without a difference, the AUC of n rows a side, each held out once, has a
        standard error of about

        $$1 / \sqrt{6 n}$$

        that is 0.0024 at 29,304.

    Cost:
        one fit on n rows; for n = m = 5000, d = 10, trees and the network take 0.2 seconds of one
        core, the logistic model 0.02. With folds, one fit on n + m rows for each but the first;
        XGBoost, 3 folds, 29,304 rows of Adult on each side (110 columns): 3 s of one core.

    Reference:
        Lopez-Paz & Oquab 2017, "Revisiting classifier two-sample tests"; DeLong et al. 1988; LeDell
        et al. 2015 (folds); Rüger 1978, "Das maximale Signifikanzniveau des Tests: Lehne H0 ab,
        wenn k unter n gegebenen Tests zur Ablehnung führen"; Scassola, Ponsford et al. 2026, "A
        sobering look at tabular data generation via probabilistic circuits" (the protocol).
    """
    if classifier not in CLASSIFIERS:
        raise MeasureError(f"unknown classifier {classifier!r}; {nearest(classifier, CLASSIFIERS)}")
    if features is None and are_tables(x, y):
        x, y = matrices(x, y, MIN_ROWS)
    splits = _splits(x, y, folds, limit, features, seed)
    return accuracy_measurement(
        [(both, classifier_score(classifier, *both.training_rows(), seed)) for both in splits],
        classifier,
    )


def _splits(
    x: Any,
    y: Any,
    folds: int | None,
    limit: int | None,
    features: FeatureFunction | None,
    seed: int,
) -> list[Split]:
    if folds is not None:
        return cross_splits(x, y, folds=folds, limit=limit, features=features, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    return [split(x, y, share=0.5, limit=limit, features=features, generator=rng, equal_sizes=True)]


def accuracy_measurement(tested: Sequence[tuple[Split, Score]], classifier: str) -> Measurement:
    """Return the accuracy of fitted classifiers on the rows that each has not seen."""
    scores = [_test_scores(both, score) for both, score in tested]
    trials = [len(real) + len(fake) for real, fake in scores]
    hits = [_hits(fake - 0.5) + _hits(0.5 - real) for real, fake in scores]
    accuracy = sum(hits) / sum(trials)
    low, high = wilson(accuracy, sum(trials))
    p_value = _combined([_binomial_p(int(h), t) for h, t in zip(hits, trials, strict=True)])
    area, area_low, area_high = auc(*scores)
    n, m = tested[0][0].x.size, tested[0][0].y.size
    return Measurement(
        "classifier_test",
        accuracy,
        low=low,
        high=high,
        covers="held-out rows, for this classifier",
        null=0.5,
        p_value=p_value,
        n=n,
        m=m,
        unit="share",
        reading=f"{_outcome(p_value, high)}; AUC {area:.3f}",
        vote=area,
        extra={
            "auc": area,
            "auc_low": area_low,
            "auc_high": area_high,
            **({"auc_by_fold": [auc(both)[0] for both in scores]} if len(scores) > 1 else {}),
            "classifier": classifier,
            "held_out": sum(trials),
            "witness": _witness([both for both, _ in tested], scores),
            **tested[0][0].extra,
        },
    )


def _test_scores(both: Split, score: Score) -> tuple[Floats, Floats]:
    real, fake = both.test_rows()
    return score(real), score(fake)


def _combined(p_values: Sequence[float]) -> float:
    """Return a p-value from several that depend on one another in an unknown way."""
    middle = (len(p_values) + 1) // 2
    return min(1.0, sorted(p_values)[middle - 1] * len(p_values) / middle)


def _witness(
    splits: Sequence[Split], scores: Sequence[tuple[Floats, Floats]]
) -> dict[str, list[int]]:
    x, y = (torch.cat([getattr(s, side).test_index for s in splits]) for side in "xy")
    on_x, on_y = (torch.from_numpy(-np.concatenate(side)) for side in zip(*scores, strict=True))
    return witness(x, y, on_x, on_y)


def _outcome(p_value: float, high: float) -> str:
    if high >= 0.5:
        return verdict(p_value)
    return "right less often than by chance: the samples share rows, or copies of rows"


def classifier_score(classifier: str, real: Tensor, fake: Tensor, seed: int) -> Score:
    """Return the score ("generated") of rows (n, d) that a classifier learns from both samples."""
    rows = [_array(side) for side in (real, fake)]
    with sklearn_context(len(real) + len(fake)):
        model = CLASSIFIERS[classifier](seed)
        model.fit(np.concatenate(rows), np.repeat([0, 1], [len(real), len(fake)]))

    def score(queries: Tensor) -> Floats:
        with sklearn_context(len(queries)):
            return np.asarray(model.predict_proba(_array(queries))[:, 1])

    return score


def _array(rows: Tensor) -> Floats:
    return np.asarray(rows.cpu())


def _hits(margin: Floats) -> float:
    return float((margin > 0).sum() + 0.5 * (margin == 0).sum())


def _binomial_p(hits: int, trials: int) -> float:
    from scipy.stats import binom

    return float(binom.sf(hits - 1, trials, 0.5))


def _trees(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed)


def _logistic(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _standardised(LogisticRegression(max_iter=1000, random_state=seed))


def _network(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return _standardised(MLPClassifier((64, 64), early_stopping=True, random_state=seed))


def _xgboost(seed: int) -> Any:
    package = import_optional("xgboost", "xgboost-cpu", 'classifier "xgboost"')
    return package.XGBClassifier(random_state=seed, n_jobs=1)


def _standardised(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "trees": _trees,
    "logistic": _logistic,
    "network": _network,
    "xgboost": _xgboost,
}
