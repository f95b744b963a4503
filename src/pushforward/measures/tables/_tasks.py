"""The task of predicting one column of a table from all others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.measures._fitting import sklearn_context
from pushforward.measures._roc import roc_area
from pushforward.measures.tables._columns import Column, Columns, Floats, Ints

CATEGORIES = 255  # the maximum of scikit-learn's trees; with more, codes are used as numbers
FOREST, MIN_LEAF = 20, 5  # trees of a forest, and rows of a leaf

Rows = Ints | slice


def task_of(columns: Columns, column: Column, *, forest: bool = False) -> Task:
    """Return the task of predicting a column from all others."""
    others = [c for c in columns if c is not column]
    features = np.stack([c.values if c.numeric else c.codes.astype(float) for c in others], 1)
    categorical = np.array([not c.numeric and c.size <= CATEGORIES for c in others])
    if column.numeric:
        return Task(features, categorical, column.values, True, column.name, forest)
    classes = classes_of(column, columns.part(0))
    # Classes that no tested row has are one: a generator may have invented thousands.
    place = np.minimum(np.searchsorted(classes, column.codes), len(classes) - 1)
    truth = np.where(classes[place] == column.codes, place, len(classes)).astype(float)
    return Task(features, categorical, truth, False, column.name, forest)


def classes_of(column: Column, tested: slice) -> Ints:
    """Return the codes of the real rows."""
    return np.unique(column.codes[tested])


@dataclass(frozen=True)
class Task:
    """Predict one column from all others.

    Args:
        features: (N, columns - 1), NaN where a number is missing, codes for categories.
        categorical: which features are categories.
        target: numbers, or codes of classes (N,).
        regression: whether the target is a number.
        name: the target's name.
        forest: whether a small forest learns, which is much cheaper for many classes.
    """

    features: Floats
    categorical: NDArray[np.bool_]
    target: Floats
    regression: bool
    name: str
    forest: bool = False

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
            roc_area(predictions[target != c, int(c)], predictions[target == c, int(c)])[0]
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
        if self.forest:
            return self._forest(seed)
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        options = {"categorical_features": categorical, "random_state": seed}
        if self.regression:
            return HistGradientBoostingRegressor(**options)
        # Early stopping holds out rows of each class, for which a rare class has too few.
        rare = np.unique(target, return_counts=True)[1].min() < 10
        return HistGradientBoostingClassifier(early_stopping=False if rare else "auto", **options)

    def _forest(self, seed: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        forest = RandomForestRegressor if self.regression else RandomForestClassifier
        return forest(FOREST, min_samples_leaf=MIN_LEAF, max_features="sqrt", random_state=seed)
