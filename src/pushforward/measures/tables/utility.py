"""Utility of a generated table: a model that is trained on it and tested on real rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from pushforward.errors import MeasureError, nearest
from pushforward.measures._intervals import Z, at_least_binomial
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
from pushforward.measures.tables._relative import CLASSES, RESAMPLES, relative
from pushforward.measures.tables._tasks import Task, classes_of, task_of


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

    Without a target, the value is the mean over columns of what generated rows are worth, relative
    to real ones (after
    the *global utility* of TabStruct, whose scores are others):

    $$\frac1C \sum_c \max(0, R^2_c(y)) / R^2_c(train)$$

    Here small random forests learn, and the R² of a category is that of the probabilities of its
    classes (Brier's skill score), so that 0 is chance for every column. Columns that real rows do
    not predict better than chance (by two standard errors) are left out; they are the same for all
    generators.

    Args:
        x: the real table to test on: rows that no generator has seen.
        y: the generated table to train on.
        train: real rows to train on for the null, reduced at random to the number of generated
            rows. None: the two halves of `x`, each tested on the other.
        target: the column to predict; None for every column in turn that varies and has at most 100
            classes (of more than 20 such columns, 20 at random).
        limit: maximum rows of each table (None: all); the rest is left out at random.
        seed: of the trees, the halves, the bootstrap and left-out rows.

    Returns:
        With a target, the null is the score of the same model trained on real rows. The interval is
        a bootstrap over the test rows, for this trained model; `extra` has the difference from
        the null, with its own interval. If all generated rows have the same class, nothing can be
        learned: the AUC is 1/2. Without a target, the null is 1 (`relative` to real rows), the
        interval is a bootstrap over the test rows, and `extra` has the value of each column
        (`columns`) and which cannot be predicted (`unpredictable`).

    Raises:
        MeasureError: as for `column_shapes`; for an unknown target, one with more than 100 classes,
            a table of one column, fewer than 20 rows, and without a target for a table of which no
            column can be predicted.

    Sees:
        The relation between the target and all other columns, of any kind and order that trees can
        learn: often what users want generated rows for.

    Misses:
        What does not help to predict the target, and copies: the training rows themselves have the
        best value. A target that cannot be predicted gives 1/2 (or an R² of 0) on both sides, which
        says nothing about the generator.

    Null:
        The score of the same model trained on as many rows of `train`. Without `train` it is
        trained on halves of `x`, so it may be below the value where `y` is larger. Without a target
        it is 1.

    Cost:
        That of training gradient-boosted trees twice (three times without `train`), O(n d) for each
        of up to 100 trees, and 200 scores of resampled test rows; 3 s for 30,000 and 3,257 rows of
        Adult.

    Reference:
        Esteban, Hyland & Rätsch 2017, "Real-valued (medical) time series generation with recurrent
        conditional GANs"; Jiang, Simidjievski & Jamnik 2026, "TabStruct: measuring structural
        fidelity of tabular data".
    """
    known = [] if train is None else [some(train, height(y), seed)]
    columns = read(x, y, *known, min_rows=20, limit=limit, seed=seed)
    if len(columns) < 2:
        raise MeasureError("utility needs a column besides the target, and the table has only one")
    if target is None:
        return _of_all_columns(columns, seed)
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


def _of_all_columns(columns: Columns, seed: int) -> Measurement:
    found = relative(columns, seed)
    worst = min(found.columns, key=lambda name: found.columns[name])
    return Measurement(
        "utility",
        found.mean,
        low=max(0.0, found.mean - found.half),
        high=found.mean + found.half,
        covers="the rows tested on, for these trained models",
        null=1.0,
        n=columns.rows[0],
        m=columns.rows[1],
        better="higher",
        unit="relative",
        reading=f"predicting each of {len(found.columns)} columns, generated rows are worth "
        f"{found.mean:.3f} of real ones; least for {worst} ({found.columns[worst]:.3f})",
        extra={
            **columns.extra,
            "columns": found.columns,
            "unpredictable": found.unpredictable,
        },
    )


def require_target(real: Any, target: str) -> None:
    """Raise MeasureError for a target that is no column of a real table, or cannot be predicted."""
    columns = read(real)
    column = _named(columns, target)
    classes = classes_of(column, columns.part(0))
    if len(classes) < 2:
        raise MeasureError(
            f"the target {target!r} has the same value in every real row; name another column as "
            "target"
        )
    _require_few(column, classes)


def _prediction_task(columns: Columns, target: str) -> Task:
    """Return the task of predicting a column; MeasureError where it is unknown, or has no task."""
    column = _named(columns, target)
    if not column.numeric:
        _require_few(column, classes_of(column, columns.part(0)))
    return task_of(columns, column)


def _named(columns: Columns, target: str) -> Column:
    names = [c.name for c in columns]
    if target not in names:
        raise MeasureError(f"unknown target {target!r}; {nearest(target, names)}")
    return columns.columns[names.index(target)]


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
