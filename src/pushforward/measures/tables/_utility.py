"""A model that is trained on one table and judged on another."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.errors import MeasureError, nearest
from pushforward.measures._fitting import sklearn_context
from pushforward.measures._intervals import Z
from pushforward.measures.learned import auc
from pushforward.measures.tables._columns import Columns, Floats, Ints

CATEGORIES = 255  # scikit-learn's trees split no more; with more, codes are taken as numbers
CLASSES = 100  # one tree a class and step: a target with more is hardly meant
RESAMPLES = 200

Rows = Ints | slice


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
        if len(np.unique(target)) < 2:
            return self._constant(float(target[0]) if len(target) else 0.0, self.features[test])
        with sklearn_context(len(target)):
            warnings.filterwarnings("ignore", "The number of unique classes")  # they are classes
            model = self._model(target, seed).fit(features, target)
            if self.regression:
                return np.asarray(model.predict(self.features[test]))
            return self._spread(model.predict_proba(self.features[test]), model.classes_)

    def score(self, test: Rows, predictions: Floats) -> float:
        """Return R², or the area under the ROC curve averaged over classes, one against the rest.

        Classes that all or none of the rows have are left out; with one class only it is 1/2.
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

    def _model(self, target: Floats, seed: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        options = {"categorical_features": self.categorical, "random_state": seed}
        if self.regression:
            return HistGradientBoostingRegressor(**options)
        # Early stopping sets rows of each class aside, for which a rare class has too few.
        rare = np.unique(target, return_counts=True)[1].min() < 10
        return HistGradientBoostingClassifier(early_stopping=False if rare else "auto", **options)


def prediction_task(columns: Columns, target: str | None) -> Task:
    """Return the task of predicting `target` (None: the last column that varies).

    Raises:
        MeasureError: for an unknown target, one with more than 100 classes, and a single column.
    """
    names = [c.name for c in columns]
    if target is None:  # the last one that varies
        varied = [c.name for c in columns if len(np.unique(c.codes[columns.part(0)])) > 1]
        target = (varied or names)[-1]
    if target not in names:
        raise MeasureError(f"unknown target {target!r}; {nearest(target, names)}")
    if len(names) < 2:
        raise MeasureError("utility needs a column beside the target, and the table has one")
    column = columns.columns[names.index(target)]
    if not column.numeric and column.size > CLASSES + 1:
        raise MeasureError(
            f"the target {target!r} has {column.size - 1} classes, and at most {CLASSES} can be "
            "predicted; name another column as target"
        )
    others = [c for c in columns if c is not column]
    features = np.stack([c.values if c.numeric else c.codes.astype(float) for c in others], 1)
    categorical = np.array([not c.numeric and c.size <= CATEGORIES for c in others])
    truth = column.values if column.numeric else column.codes.astype(float)
    return Task(features, categorical, truth, column.numeric, target)


def errors(
    task: Task, rows: slice, first: Floats, second: Floats, seed: int
) -> tuple[float, float]:
    """Return 95 % half-widths over the test rows: of the first score, and of the difference."""
    rng = np.random.default_rng(seed)
    at = np.arange(rows.start, rows.stop)
    draws = [rng.integers(len(at), size=len(at)) for _ in range(RESAMPLES)]
    scores = np.array([[task.score(at[d], p[d]) for p in (first, second)] for d in draws])
    return Z * float(scores[:, 0].std(ddof=1)), Z * float((scores[:, 0] - scores[:, 1]).std(ddof=1))
