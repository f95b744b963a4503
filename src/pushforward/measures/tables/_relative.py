"""The utility of all columns: how well each is predicted, relative to real training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pushforward.errors import MeasureError
from pushforward.measures._intervals import Z
from pushforward.measures.tables._columns import Columns, Floats
from pushforward.measures.tables._tasks import Task, classes_of, task_of

CLASSES = 100  # of a column that is predicted, at most
COLUMNS = 20  # that are predicted, at most; of more, some at random
RESAMPLES = 200  # bootstrap samples of the test rows


@dataclass(frozen=True)
class Relative:
    """The utility of each column that real rows predict, and the interval of their mean."""

    columns: dict[str, float]
    half: float
    unpredictable: list[str]

    @property
    def mean(self) -> float:
        """The value."""
        return float(np.mean(list(self.columns.values())))


def relative(columns: Columns, seed: int) -> Relative:
    """Predict each column from the others, by forests that learn from generated and real rows.

    MeasureError where no column can be predicted from the real rows.

    Args:
        columns: of the rows tested on, the generated ones, and real training rows, if there are.
        seed: of forests, halves, bootstrap, and the choice of columns.
    """
    rng = np.random.default_rng(seed)
    tasks, tested = _tasks(columns, rng), columns.part(0)
    n = columns.rows[0]
    weights = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)])
    shares: dict[str, Floats] = {}
    for task in tasks:
        skills = [_skills(task, tested, p, weights) for p in _predictions(task, columns, seed)]
        if skills[1][0] > Z * skills[1][1:].std(ddof=1):
            shares[task.name] = _shares(*skills)
    if not shares:
        raise MeasureError(
            "no column can be predicted from the others, even by a model that learned from real "
            "rows; name one as target"
        )
    means = np.stack(list(shares.values())).mean(0)
    return Relative(
        {name: float(of_column[0]) for name, of_column in shares.items()},
        Z * float(means[1:].std(ddof=1)),
        [task.name for task in tasks if task.name not in shares],
    )


def _tasks(columns: Columns, rng: np.random.Generator) -> list[Task]:
    """Return the tasks of the columns that vary and have few classes, at most 20 at random."""
    counts = [len(classes_of(c, columns.part(0))) for c in columns]
    suited = [
        c
        for c, count in zip(columns, counts, strict=True)
        if count > 1 and (c.numeric or count <= CLASSES)
    ]
    kept = np.sort(rng.permutation(len(suited))[:COLUMNS])
    return [task_of(columns, suited[i], forest=True) for i in kept]


def _predictions(task: Task, columns: Columns, seed: int) -> tuple[Floats, Floats]:
    """Return the predictions of what learned from generated rows, and of what did from real."""
    tested = columns.part(0)
    learned = task.predict(columns.part(1), tested, seed)
    if len(columns.rows) == 2:
        return learned, task.halves(tested, seed)
    return learned, task.predict(columns.part(2), tested, seed)


def _skills(task: Task, tested: slice, predictions: Floats, weights: Floats) -> Floats:
    """Return R^2, of the classes' probabilities where it is no number, for weights (B, n) of rows.

    It is 1 - sum of squared errors / the same of the tested rows' own mean.
    """
    target = task.target[tested]
    known = ~np.isnan(target)
    if task.regression:
        truth, predicted = target[known, None], predictions[known, None]
    else:
        truth, predicted = np.eye(predictions.shape[1])[target.astype(int)], predictions
    errors = np.square(truth - predicted).sum(1)
    spread = np.square(truth - truth.mean(0)).sum(1)
    weights = weights[:, known]
    return np.asarray(1 - (weights @ errors) / np.maximum(weights @ spread, 1e-300))


def _shares(generated: Floats, real: Floats) -> Floats:
    """Return the skill relative to that of real rows; below 0 counts as 0.

    The smallest real skill that a resample divides by is half of the value: it lies two standard
    errors above 0, so that a resample may reach 0 and below.
    """
    return np.asarray(np.maximum(generated, 0) / np.maximum(real, real[0] / 2))
