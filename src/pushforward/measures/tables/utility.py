"""Utility of a generated table: a model that is trained on it and tested on real rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.errors import MeasureError, nearest
from pushforward.measures._fitting import sklearn_context
from pushforward.measures._intervals import Z, at_least_binomial
from pushforward.measures.learned import auc
from pushforward.measures.measurement import Measurement
from pushforward.measures.tables._columns import (
    LIMIT,
    Column,
    Columns,
    Floats,
    Ints,
    height,
    read,
    some,
)

CATEGORIES = 255  # the maximum of scikit-learn's trees; with more, codes are used as numbers
CLASSES = 100  # of a target at most: every step fits a tree for each class
RESAMPLES = 200  # bootstrap samples of the test rows

Rows = Ints | slice


def utility(
    x: Any,
    y: Any,
    *,
    train: Any = None,
    target: str | None = None,
    limit: int | None = LIMIT,
    seed: int = 0,
) -> Measurement:
    r"""Train on synthetic, test on real: the score of a model that learns from generated rows.

    Gradient-boosted trees learn the target from the generated rows and predict it for the real
    ones. The value is the area under the ROC curve, averaged over classes (one against the rest),
    or for a numeric target

    $$R^2 = 1 - \sum_i (t_i - \hat t_i)^2 / \sum_i (t_i - \bar t)^2$$

    Args:
        x: the real table to test on: rows that no generator has seen.
        y: the generated table to train on.
        train: real rows to train on for the null, reduced at random to the number of generated
            rows. None: the two halves of `x`, each tested on the other.
        target: the column to predict; None for the last one that varies and has at most 100
            classes.
        limit: maximum rows of each table (None: all); the rest is left out at random.
        seed: of the trees, the halves, the bootstrap and left-out rows.

    Returns:
        The null is the score of the same model trained on real rows. The interval is a bootstrap
        over the test rows, for this trained model; `extra` has the difference from the null, with
        its own interval. If all generated rows have the same class, nothing can be learned: the AUC
        is 1/2.

    Raises:
        MeasureError: as for `column_shapes`; for an unknown target, one with more than 100 classes,
            a table of one column, fewer than 20 rows.

    Sees:
        The relation between the target and all other columns, of any kind and order that trees can
        learn: often what users want generated rows for.

    Misses:
        What does not help to predict the target, and copies: the training rows themselves have the
        best value. A target that cannot be predicted gives 1/2 (or an R² of 0) on both sides, which
        says nothing about the generator.

    Null:
        The score of the same model trained on as many rows of `train`. Without `train` it is
        trained on halves of `x`, so it may be below the value where `y` is larger.

    Cost:
        That of training gradient-boosted trees twice (three times without `train`), O(n d) for each
        of up to 100 trees, and 200 scores of resampled test rows; 3 s for 30,000 and 3,257 rows of
        Adult.

    Reference:
        Esteban, Hyland & Rätsch 2017, "Real-valued (medical) time series generation with recurrent
        conditional GANs".
    """
    known = [] if train is None else [some(train, height(y), seed)]
    columns = read(x, y, *known, min_rows=20, limit=limit, seed=seed)
    task, tested = _prediction_task(columns, target), columns.part(0)
    learned = task.predict(columns.part(1), tested, seed)
    best = (
        task.halves(tested, seed) if train is None else task.predict(columns.part(2), tested, seed)
    )
    value, null = task.score(tested, learned), task.score(tested, best)
    half, half_of_difference = _half_widths(task, tested, learned, best, seed)
    low, high = value - half, min(1.0, value + half)
    if not task.regression:
        low, high = at_least_binomial(value, low, high, columns.rows[0])
    return Measurement(
        "utility",
        value,
        low=low,
        high=high,
        covers="the rows tested on, for this trained model",
        null=null,
        n=columns.rows[0],
        m=columns.rows[1],
        better="higher",
        unit=task.unit,
        reading=f"predicting {task.name}: {task.unit} {value:.3f} when trained on generated rows, "
        f"{null:.3f} on {'halves of the' if train is None else 'as many'} real ones",
        extra={
            **columns.extra,
            "target": task.name,
            "difference": value - null,
            "difference_low": value - null - half_of_difference,
            "difference_high": value - null + half_of_difference,
        },
    )


@dataclass(frozen=True)
class Task:
    """Predict one column from all others.

    Args:
        features: (N, columns - 1), NaN where a number is missing, codes for categories.
        categorical: which features are categories.
        target: numbers, or codes of classes (N,).
        regression: whether the target is a number.
        name: the target's name.
    """

    features: Floats
    categorical: NDArray[np.bool_]
    target: Floats
    regression: bool
    name: str

    @property
    def unit(self) -> str:
        """What `score` returns."""
        return "R²" if self.regression else "AUC"

    def predict(self, train: Rows, test: Rows, seed: int) -> Floats:
        """Return predictions (n,) of numbers or (n, classes) of probabilities."""
        target = self.target[train]
        known = ~np.isnan(target)
        features, target = self.features[train][known], target[known]
        there = ~np.isnan(features).all(0)  # the trees take no column without any value
        if len(np.unique(target)) < 2 or not there.any():
            return self._constant(float(target.mean()) if len(target) else 0.0, self.features[test])
        with sklearn_context(len(target)):
            warnings.filterwarnings("ignore", "The number of unique classes")  # they are classes
            model = self._model(target, self.categorical[there], seed)
            model.fit(features[:, there], target)
            tested = self.features[test][:, there]
            if self.regression:
                return np.asarray(model.predict(tested))
            return self._spread(model.predict_proba(tested), model.classes_)

    def score(self, test: Rows, predictions: Floats) -> float:
        """Return R², or the area under the ROC curve averaged over classes, one against the rest.

        Classes that all or none of the rows have are left out; with only one class it is 1/2.
        """
        target = self.target[test]
        known = ~np.isnan(target)
        target, predictions = target[known], predictions[known]
        if self.regression:
            spread = np.square(target - target.mean()).sum()
            return float(1 - np.square(target - predictions).sum() / spread) if spread else 0.0
        areas = [
            auc(predictions[target != c, int(c)], predictions[target == c, int(c)])[0]
            for c in np.unique(target)
            if (target != c).any()
        ]
        return float(np.mean(areas)) if areas else 0.5

    def halves(self, rows: slice, seed: int) -> Floats:
        """Return predictions for each half of the rows from a model trained on the other half."""
        order = np.random.default_rng(seed).permutation(np.arange(rows.start, rows.stop))
        first, second = np.array_split(order, 2)
        predictions = np.concatenate(
            [self.predict(second, first, seed), self.predict(first, second, seed)]
        )
        return predictions[np.argsort(order)]

    def _constant(self, value: float, features: Floats) -> Floats:
        if self.regression:
            return np.full(len(features), value)
        return np.zeros((len(features), self._classes))

    def _spread(self, probabilities: Floats, classes: Floats) -> Floats:
        """Return one column for each class there is; those never trained on have probability 0."""
        spread = np.zeros((len(probabilities), self._classes))
        spread[:, classes.astype(int)] = probabilities
        return spread

    @property
    def _classes(self) -> int:
        return int(np.nanmax(self.target)) + 1

    def _model(self, target: Floats, categorical: NDArray[np.bool_], seed: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        options = {"categorical_features": categorical, "random_state": seed}
        if self.regression:
            return HistGradientBoostingRegressor(**options)
        # Early stopping holds out rows of each class, for which a rare class has too few.
        rare = np.unique(target, return_counts=True)[1].min() < 10
        return HistGradientBoostingClassifier(early_stopping=False if rare else "auto", **options)


def require_target(real: Any, target: str) -> None:
    """Raise MeasureError for a target that is no column of a real table, or cannot be predicted."""
    columns = read(real)
    column = _named(columns, target)
    classes = _classes(column, columns.part(0))
    if len(classes) < 2:
        raise MeasureError(
            f"the target {target!r} has the same value in every real row; name another column as "
            "target"
        )
    _require_few(column, classes)


def _prediction_task(columns: Columns, target: str | None) -> Task:
    """Return the task of predicting `target` (None: the last column that can be predicted).

    Raises:
        MeasureError: for an unknown target, one with more than 100 classes, and a single column.
    """
    if len(columns) < 2:
        raise MeasureError("utility needs a column besides the target, and the table has only one")
    column = _last_target(columns) if target is None else _named(columns, target)
    others = [c for c in columns if c is not column]
    features = np.stack([c.values if c.numeric else c.codes.astype(float) for c in others], 1)
    categorical = np.array([not c.numeric and c.size <= CATEGORIES for c in others])
    if column.numeric:
        return Task(features, categorical, column.values, True, column.name)
    classes = _classes(column, columns.part(0))
    _require_few(column, classes)
    # Classes that no tested row has are one: a generator may have invented thousands.
    place = np.minimum(np.searchsorted(classes, column.codes), len(classes) - 1)
    truth = np.where(classes[place] == column.codes, place, len(classes)).astype(float)
    return Task(features, categorical, truth, False, column.name)


def _named(columns: Columns, target: str) -> Column:
    names = [c.name for c in columns]
    if target not in names:
        raise MeasureError(f"unknown target {target!r}; {nearest(target, names)}")
    return columns.columns[names.index(target)]


def _last_target(columns: Columns) -> Column:
    """Return the last column that varies and has few classes, else the last that varies."""
    classes = [len(_classes(c, columns.part(0))) for c in columns]
    varied = [c for c, n in zip(columns, classes, strict=True) if n > 1]
    few = [
        c for c, n in zip(columns, classes, strict=True) if n > 1 and (c.numeric or n <= CLASSES)
    ]
    return (few or varied or columns.columns)[-1]


def _classes(column: Column, tested: slice) -> Ints:
    """Return the codes of the real rows."""
    return np.unique(column.codes[tested])


def _require_few(column: Column, classes: Ints) -> None:
    if not column.numeric and len(classes) > CLASSES:
        raise MeasureError(
            f"the target {column.name!r} has {len(classes)} classes, and at most {CLASSES} can be "
            "predicted; name another column as target"
        )


def _half_widths(
    task: Task, rows: slice, first: Floats, second: Floats, seed: int
) -> tuple[float, float]:
    """Return 95 % half-widths over the test rows: of the first score, and of the difference."""
    rng = np.random.default_rng(seed)
    at = np.arange(rows.start, rows.stop)
    draws = [rng.integers(len(at), size=len(at)) for _ in range(RESAMPLES)]
    scores = np.array([[task.score(at[d], p[d]) for p in (first, second)] for d in draws])
    return Z * float(scores[:, 0].std(ddof=1)), Z * float((scores[:, 0] - scores[:, 1]).std(ddof=1))
