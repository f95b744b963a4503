"""A tree for each column given those before it: what tables could be generated with in the 1990s.

The first column is drawn from its training values. Each next one has a tree (CART) that is grown on
the columns before it; a generated row is led to its leaf, and takes the value of one of the
training rows there. So each column is drawn from an estimate of its conditional distribution, and
their product is that of the table. As only training values are drawn, every generated value is one
of the training rows' (whole rows are not: each column takes another training row's value).

Numbers are regressed by their ranks, so that one outlier does not decide all splits; a missing
value of theirs is a second output. A split of categories puts them in the order in which the target
varies most, which for two classes and for numbers contains the best split of all.

Reference:
    Breiman et al. 1984, "Classification and regression trees"; Reiter 2005, "Using CART to generate
    partially synthetic, public use microdata"; Nowok, Raab & Dibben 2016, "synthpop: bespoke
    creation of synthetic data in R"; for the order of categories Coppersmith, Hong & Hosking 1999,
    "Partitioning nominal attributes in decision trees".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pushforward.comparison.references import LabelledRows
from pushforward.data import Dataset, TableSchema
from pushforward.data.numeric import Floats, Ints

MIN_LEAF = 5  # training rows of a leaf, as in synthpop
MAX_CLASSES = 50  # that a tree distinguishes; of more categories, the rare ones are one class
MAX_ROWS = 50_000  # training rows, at most
MAX_WORK = 400_000_000  # training rows times the square of the columns: 10,000 rows of 200 columns


def cart_rows(data: Dataset, n: int, generator: torch.Generator) -> LabelledRows:
    """Return n rows of a table, each column drawn by a tree given those before it.

    The condition's classes, if there are any, are the first column. At most 50,000 training rows
    are used, and fewer of tables with more than 89 columns.
    """
    assert isinstance(data.schema, TableSchema)
    rows, labels = _training_rows(data, generator)
    columns = [
        TreeColumn.of(rows[:, j].numpy(), numeric=codec.kind == "numeric")
        for j, codec in enumerate(data.schema.columns)
    ]
    classes = [] if labels is None else [TreeColumn.of(labels.double().numpy(), numeric=False)]
    seed = int(torch.randint(2**31, (1,), generator=generator))
    drawn = draw_columns([*classes, *columns], n, np.random.default_rng(seed))
    picked = torch.from_numpy(drawn[:, len(classes) :])
    fake = rows.gather(0, picked)
    return fake, None if labels is None else labels[torch.from_numpy(drawn[:, 0])]


def _training_rows(data: Dataset, generator: torch.Generator) -> LabelledRows:
    rows, labels = data.subset("train")
    size = min(MAX_ROWS, max(1, MAX_WORK // rows.shape[1] ** 2))
    kept = torch.randperm(len(rows), generator=generator)[:size]
    return rows[kept].cpu(), None if labels is None else labels[kept].cpu()


@dataclass(frozen=True)
class TreeColumn:
    """A column of the training rows.

    Args:
        codes: dense, in the order of the values; that of missing ones is the last (N,).
        size: how many codes there are.
        missing: which values are missing (N,).
        numeric: whether it holds numbers, else categories.
    """

    codes: Ints
    size: int
    missing: NDArray[np.bool_]
    numeric: bool

    @classmethod
    def of(cls, values: Floats, *, numeric: bool) -> TreeColumn:
        """Return the column of these numbers, NaN where missing."""
        distinct, codes = np.unique(values, return_inverse=True)  # NaN is one value, the last
        return cls(codes.astype(np.int64), len(distinct), np.isnan(values), numeric)


def draw_columns(columns: Sequence[TreeColumn], n: int, rng: np.random.Generator) -> Ints:
    """Return, for each of n generated rows and each column, the training row of its value."""
    drawn = np.empty((n, len(columns)), dtype=np.int64)
    drawn[:, 0] = rng.integers(len(columns[0].codes), size=n)
    for j in range(1, len(columns)):
        drawn[:, j] = _draw_given(columns[:j], columns[j], drawn[:, :j], rng)
    return drawn


def _draw_given(
    before: Sequence[TreeColumn], column: TreeColumn, drawn: Ints, rng: np.random.Generator
) -> Ints:
    """Return the training rows (n,) whose values a column takes, given the columns before it."""
    if column.size == 1:
        return rng.integers(len(column.codes), size=len(drawn))
    target = _ranks(column) if column.numeric else _classes(column)
    features = np.stack([_feature(known, target) for known in before], axis=1)
    tree = _tree(target, int(rng.integers(2**31))).fit(features, target)
    generated = np.stack([features[drawn[:, i], i] for i in range(len(before))], axis=1)
    return _from_leaves(tree.apply(features), tree.apply(generated), rng)


def _tree(target: Any, seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    tree = DecisionTreeClassifier if target.dtype.kind == "i" else DecisionTreeRegressor
    return tree(min_samples_leaf=MIN_LEAF, random_state=seed)


def _ranks(column: TreeColumn) -> Floats:
    """Return ranks in units of their deviation, and beside them whether values are missing."""
    below = np.cumsum(np.bincount(column.codes)) - np.bincount(column.codes) / 2
    ranks = below[column.codes]
    known = ~column.missing
    outputs = [np.where(known, ranks, ranks[known].mean())] if known.any() else []
    outputs += [column.missing.astype(np.float64)] if column.missing.any() else []
    return np.stack([values / (values.std() or 1.0) for values in outputs], axis=1)


def _classes(column: TreeColumn) -> Ints:
    """Return the codes, those of rare categories as one where there are too many."""
    if column.size <= MAX_CLASSES:
        return column.codes
    frequent = np.argsort(-np.bincount(column.codes), kind="stable")[: MAX_CLASSES - 1]
    place = np.full(column.size, MAX_CLASSES - 1, dtype=np.int64)
    place[frequent] = np.arange(len(frequent))
    return place[column.codes]


def _feature(column: TreeColumn, target: Any) -> NDArray[np.float32]:
    """Return what a tree splits: the order of numbers, and of categories that of the target."""
    places = column.codes if column.numeric else _places(column, target)[column.codes]
    return places.astype(np.float32)


def _places(column: TreeColumn, target: Any) -> Floats:
    """Return the categories' places along the direction in which the target's means vary most.

    Categories with fewer rows than a leaf stand at the mean of all: theirs would be noise.
    """
    sums = _sums(column, target)
    counts = np.bincount(column.codes, minlength=column.size)[:, None]
    means = np.where(counts < MIN_LEAF, 0.0, sums / counts - sums.sum(0) / counts.sum())
    direction = np.linalg.eigh(means.T @ (counts * means))[1][:, -1]
    return np.asarray(means @ direction)


def _sums(column: TreeColumn, target: Any) -> Floats:
    """Return the sums (categories, outputs) of a target's outputs; of classes, how many rows."""
    if target.dtype.kind == "i":
        width = int(target.max()) + 1
        cells = np.bincount(column.codes * width + target, minlength=column.size * width)
        return cells.reshape(column.size, width).astype(np.float64)
    return np.stack([np.bincount(column.codes, y, column.size) for y in target.T], axis=1)


def _from_leaves(training: Ints, generated: Ints, rng: np.random.Generator) -> Ints:
    """Return, for each generated row, a training row that lies in the same leaf."""
    order = np.argsort(training, kind="stable")
    counts = np.bincount(training)
    start = np.cumsum(counts) - counts
    return np.asarray(order[start[generated] + rng.integers(counts[generated])])
