"""Distances between columns and between pairs of columns, over any choice of rows.

A distance is an object that holds the coded columns and is called with two sets of rows: the same
code gives the value, the random permutations for its null and the bootstrap for its interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from itertools import combinations

import numpy as np

from pushforward.errors import MeasureError
from pushforward.measures._intervals import at_least_binomial, permutation_p, verdict
from pushforward.measures.measurement import Measurement
from pushforward.measures.tables._columns import (
    BINS,
    Coded,
    Column,
    Columns,
    Edge,
    Floats,
    Ints,
    binned,
)

Rows = Ints | slice
Distances = Callable[[Rows, Rows], Floats]
DENSE = 1 << 20  # cells of a joint table that are counted in an array
NULL_REACH = 3  # in units of the null: below this, a distance still has the noise of the null
UNTESTED = "the value alone; permutations add the null, resamples the interval"


class Shapes:
    """The distance of each column: Kolmogorov-Smirnov for numbers, total variation for others."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def __call__(self, real: Rows, fake: Rows) -> Floats:
        """Return the distances (columns,) between two sets of rows."""
        return np.array([self._distance(column, real, fake) for column in self.columns])

    @staticmethod
    def _distance(column: Column, real: Rows, fake: Rows) -> float:
        difference = shares(column.codes[real], column.size) - shares(
            column.codes[fake], column.size
        )
        return float(
            np.abs(difference.cumsum()).max() if column.numeric else np.abs(difference).sum() / 2
        )


class Pairs:
    """Pairs of columns as codes.

    A number among categories is cut into bins of the real column's range, for both tables.
    """

    edge: Edge = "right"

    def __init__(self, columns: Columns, pairs: Ints) -> None:
        self.columns, self.pairs = columns, pairs

    def coded(self, rows: Rows) -> list[Coded]:
        """Return each column of these rows as codes."""
        return [(codes[rows], size) for codes, size in self._binned]

    @cached_property
    def _binned(self) -> list[Coded]:
        return [binned(c, self.columns.part(0), self.edge) for c in self.columns]

    def name(self, at: int) -> list[str]:
        """Return the two columns of a pair."""
        return [self.columns.columns[i].name for i in self.pairs[at]]


class Trends(Pairs):
    """The distance of each pair: correlations for two numbers, else total variation."""

    def __init__(self, columns: Columns, pairs: Ints) -> None:
        super().__init__(columns, pairs)
        self.values = numbers(columns)
        self.place = columns.numeric.cumsum() - 1  # of a numeric column among the numbers
        self.correlated = columns.numeric[pairs].all(1)

    def __call__(self, real: Rows, fake: Rows) -> Floats:
        """Return the distances (pairs,) between two sets of rows."""
        distances = np.empty(len(self.pairs))
        distances[self.correlated] = np.abs(self.related(real) - self.related(fake)) / 2
        both = [self.coded(rows) for rows in (real, fake)]
        for at in np.flatnonzero(~self.correlated):
            a, b = self.pairs[at]
            p, q = (pair_codes(side[a][0], *side[b]) for side in both)
            distances[at] = total_variation(p, q, both[0][a][1] * both[0][b][1])
        return distances

    def related(self, rows: Rows) -> Floats:
        """Return the correlation of each pair of numbers; 0 with a constant."""
        i, j = self.place[self.pairs[self.correlated]].T
        return np.asarray(np.nan_to_num(correlations(self.values[rows])[i, j]))


class SeparateTrends(Trends):
    """The same as in sdmetrics: each table is cut into bins of its own range.

    So a shift of the whole column is not seen. The largest value and missing ones share a bin, and
    pairs with an undefined correlation in either table are left out.
    """

    def __init__(self, columns: Columns, pairs: Ints) -> None:
        tables = [correlations(numbers(columns)[columns.part(table)]) for table in range(2)]
        undefined = np.zeros((len(columns), len(columns)), dtype=bool)
        undefined[np.ix_(columns.numeric, columns.numeric)] = np.isnan(tables[0] + tables[1])
        super().__init__(columns, pairs[~undefined[tuple(pairs.T)]])

    def coded(self, rows: Rows) -> list[Coded]:
        """Return each column of these rows as codes."""
        return [
            _cut(column.values[rows]) if column.numeric else (column.codes[rows], column.size)
            for column in self.columns
        ]


class Information(Pairs):
    """The error of each pair's information, times its weight, which is 1 in the mean over pairs."""

    edge = "left"  # as in pandas' `cut`, by which the published numbers were made

    def __call__(self, real: Rows, fake: Rows) -> Floats:
        """Return the weighted errors (pairs,) between two sets of rows."""
        known, found = (self.shared(rows) for rows in (real, fake))
        weights = known + found
        return np.abs(known - found) * weights / (weights.mean() or 1.0)

    def shared(self, rows: Rows) -> Floats:
        """Return 2 I(a, b) / (H(a) + H(b)) for each pair, in [0, 1]; with a constant it is 0."""
        coded = self.coded(rows)
        alone = np.array([entropy(*column) for column in coded])
        joint = np.array([_joint_entropy(coded[i], coded[j]) for i, j in self.pairs])
        either = alone[self.pairs]
        total = either.sum(1)
        information = np.where(either.min(1) > 0, total - joint, 0.0)
        return np.asarray(2 * np.maximum(information, 0.0) / np.where(total > 0, total, 1.0))


def entropy(codes: Ints, size: int) -> float:
    """Return the entropy of codes, in nats."""
    counts = np.unique(codes, return_counts=True)[1] if size > DENSE else np.bincount(codes)
    shares_there = counts[counts > 0] / len(codes)
    return float(-(shares_there * np.log(shares_there)).sum()) if len(shares_there) > 1 else 0.0


def _joint_entropy(a: Coded, b: Coded) -> float:
    return entropy(pair_codes(a[0], *b), a[1] * b[1])


def _cut(values: Floats) -> Coded:
    edges = np.histogram_bin_edges(values[~np.isnan(values)], BINS)
    return np.digitize(values, edges), BINS + 2


def shares(codes: Ints, size: int) -> Floats:
    """Return how often each code occurs, as a share of the rows."""
    return np.bincount(codes, minlength=size) / len(codes)


def some_pairs(columns: int, limit: int, rng: np.random.Generator) -> Ints:
    """Return all pairs of columns (pairs, 2), or `limit` of them at random."""
    pairs = np.array(list(combinations(range(columns), 2)))
    if len(pairs) <= limit:
        return pairs
    return pairs[np.sort(rng.choice(len(pairs), limit, replace=False))]


def pair_codes(a: Ints, b: Ints, size_b: int) -> Ints:
    """Return one code for each pair of codes."""
    return a * size_b + b


def total_variation(real: Ints, fake: Ints, size: int) -> float:
    """Return half the sum of |p - q| over the codes of two samples."""
    if size > DENSE:
        codes, pooled = np.unique(np.concatenate([real, fake]), return_inverse=True)
        real, fake, size = pooled[: len(real)], pooled[len(real) :], len(codes)
    return float(np.abs(shares(real, size) - shares(fake, size)).sum()) / 2


def numbers(columns: Columns) -> Floats:
    """Return the numeric columns' values (N, numeric), NaN where missing."""
    chosen = [c.values for c in columns if c.numeric]
    return np.stack(chosen, 1) if chosen else np.empty((sum(columns.rows), 0))


def correlations(values: Floats) -> Floats:
    """Return Pearson's correlations over the rows without missing values; NaN with a constant."""
    there = ~np.isnan(values)
    present = there.astype(float)
    filled = np.where(there, values, 0.0)
    peak = np.abs(filled).max(0, initial=0)  # in this unit, squares neither overflow nor vanish
    filled = filled / np.where(peak > 0, peak, 1.0)
    with_zeros = np.where(there, filled - filled.sum(0) / np.maximum(present.sum(0), 1), 0.0)
    count = np.maximum(present.T @ present, 1)
    mean = with_zeros.T @ present / count  # of column i over the rows where j is there
    square = np.square(with_zeros).T @ present / count
    variance = square - np.square(mean)
    # The rounding error of a constant's variance is not variation.
    scale = np.sqrt(np.where(variance > 1e-12 * square, variance, np.nan))
    return np.asarray((with_zeros.T @ with_zeros / count - mean * mean.T) / (scale * scale.T))


def cramer(a: Ints, b: Ints) -> float:
    """Return Cramér's V of two columns of codes; 0 where one of them is constant."""
    values_a, a = np.unique(a, return_inverse=True)
    values_b, b = np.unique(b, return_inverse=True)
    fewer = min(len(values_a), len(values_b)) - 1
    if fewer == 0:
        return 0.0
    cells, counts = np.unique(pair_codes(a, b, len(values_b)), return_counts=True)
    rows, columns = np.bincount(a), np.bincount(b)
    expected = rows[cells // len(values_b)] * (columns[cells % len(values_b)] / len(a))
    # Empty cells add their expectation, and all expectations sum to n: hence the 1.
    chi_squared_by_n = float((np.square(counts) / expected).sum()) / len(a) - 1
    return float(np.sqrt(max(0.0, chi_squared_by_n) / fewer))


def mean_distance(
    name: str,
    distances: Distances,
    rows: tuple[int, ...],
    permutations: int,
    resamples: int,
    seed: int,
) -> tuple[Floats, Measurement]:
    """Return the distances of real and generated rows, and the measurement of their mean."""
    for option, value in (("permutations", permutations), ("resamples", resamples)):
        if value < 0 or value == 1:
            raise MeasureError(f"{option} must be 0 or at least 2, and is {value}")
    n, m = rows
    rng = np.random.default_rng(seed)
    each = distances(slice(0, n), slice(n, n + m))
    alone = Measurement(name, float(each.mean()), n=n, m=m, reading=UNTESTED)
    if not permutations:
        return each, alone
    permuted = np.array([_permuted(distances, n, m, rng) for _ in range(permutations)])
    tested = _tested(alone, each, permuted)
    if not resamples:
        return each, tested
    bootstrapped = [_bootstrapped(distances, n, m, rng).mean() for _ in range(resamples)]
    return each, _with_interval(tested, each, permuted, np.array(bootstrapped))


def _tested(alone: Measurement, each: Floats, permuted: Floats) -> Measurement:
    """Return a measurement with its null and p-value."""
    p_value, null = _p_value(each, permuted), float(permuted.mean(0).mean())
    return replace(alone, null=null, p_value=p_value, reading=verdict(p_value))


def _with_interval(
    tested: Measurement, each: Floats, permuted: Floats, bootstrapped: Floats
) -> Measurement:
    """Return a measurement with its interval, the null taken off its lower end."""
    value, null = tested.value, permuted.mean(0)
    centre = float(_less_noise(each, null).mean())
    null_means = _less_noise(permuted, null).mean(1)
    half = _half_width(value, bootstrapped, null_means, float(null.mean()))
    low, high = max(0.0, min(value, centre - half)), min(1.0, value + half)
    low, high = at_least_binomial(value, low, high, min(tested.n, tested.m))
    return replace(
        tested,
        low=low,
        high=high,
        covers="both samples (bootstrap, less the null)",
    )


def _p_value(each: Floats, permuted: Floats) -> float:
    """Return the p-value of the distances (columns,), each in units of its own noise.

    A column of a thousand categories scatters more than all others together; so what counts is by
    how many standard deviations a distance exceeds its permuted values (B, columns), squared. A
    smaller distance counts as 0.
    """
    every = np.vstack([each, permuted])
    spread = every.std(0)
    scores = (every - every.mean(0)) / np.where(spread > 0, spread, 1.0)
    excess = np.square(np.maximum(scores, 0.0)).mean(1)
    return permutation_p(float(excess[0]), excess[1:])


def _half_width(value: float, bootstrapped: Floats, null_means: Floats, null: float) -> float:
    """Return the interval's half-width: Student's quantile of the spread over the resamples.

    Far from the null the spread is that of the bootstrap. Near it that is too small, as a distance
    cannot be below 0, and the spread is that of the permutations.
    """
    from scipy.stats import t

    bootstrap_spread, null_spread = float(bootstrapped.std(ddof=1)), float(null_means.std(ddof=1))
    closeness = min(1.0, NULL_REACH * null / value) if value > 0 else 1.0
    spread = bootstrap_spread + closeness * max(0.0, null_spread - bootstrap_spread)
    return float(t.ppf(0.975, len(bootstrapped) - 1)) * spread


def _less_noise(distances: Floats, null: Floats) -> Floats:
    """Return distances with the null of each taken off, in squares.

    Noise adds to a distance like an independent component. The root keeps the sign, so that columns
    that differ only by noise cancel in the mean.
    """
    squares = distances**2 - null**2
    return np.asarray(np.sign(squares) * np.sqrt(np.abs(squares)))


def _permuted(distances: Distances, n: int, m: int, rng: np.random.Generator) -> Floats:
    order = rng.permutation(n + m)
    return distances(order[:n], order[n:])


def _bootstrapped(distances: Distances, n: int, m: int, rng: np.random.Generator) -> Floats:
    return distances(rng.integers(n, size=n), n + rng.integers(m, size=m))
