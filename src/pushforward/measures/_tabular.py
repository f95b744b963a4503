"""Distances between columns and between pairs of columns, over any choice of rows.

A distance is an object that holds the coded columns and is called with two sets of rows, so that
one piece of code makes the value, the random splits of its null and the bootstrap of its interval.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from pushforward.measures._columns import Columns, Floats, Ints, binned
from pushforward.measures._intervals import Z, permutation_p, verdict
from pushforward.measures.measurement import Measurement

Rows = Ints | slice
Distances = Callable[[Rows, Rows], Floats]
DENSE = 1 << 20  # cells of a joint table that are counted in an array


class Shapes:
    """The distance of each column: Kolmogorov-Smirnov for numbers, total variation for others."""

    def __init__(self, columns: Columns) -> None:
        sizes = np.array([c.size for c in columns])
        self.starts = np.concatenate([[0], sizes.cumsum()[:-1]])
        self.cells = int(sizes.sum())
        self.codes = np.stack([c.codes for c in columns], 1) + self.starts
        self.numeric = columns.numeric

    def __call__(self, real: Rows, fake: Rows) -> Floats:
        """Return the distances (columns,) between two sets of rows."""
        gap = self._shares(real) - self._shares(fake)
        variation = np.add.reduceat(np.abs(gap), self.starts) / 2
        # Within a column the gaps sum to 0, so one running sum serves all columns.
        smirnov = np.maximum.reduceat(np.abs(gap.cumsum()), self.starts)
        return np.where(self.numeric, smirnov, variation)

    def _shares(self, rows: Rows) -> Floats:
        codes = self.codes[rows]
        return np.bincount(codes.ravel(), minlength=self.cells) / len(codes)


class Trends:
    """The distance of each pair: correlations for two numbers, else total variation."""

    def __init__(self, columns: Columns, pairs: Ints) -> None:
        coded = [binned(c, columns.part(0)) for c in columns]
        self.codes, self.sizes = [c for c, _ in coded], [size for _, size in coded]
        self.values = numbers(columns)
        self.pairs, self.names = pairs, [c.name for c in columns]
        self.place = columns.numeric.cumsum() - 1  # of a numeric column among the numbers
        self.correlated = columns.numeric[pairs].all(1)

    def __call__(self, real: Rows, fake: Rows) -> Floats:
        """Return the distances (pairs,) between two sets of rows."""
        shift = correlations(self.values[real]) - correlations(self.values[fake])
        i, j = self.place[self.pairs[self.correlated]].T
        distances = np.empty(len(self.pairs))
        distances[self.correlated] = np.abs(shift[i, j]) / 2
        both = [c[real] for c in self.codes], [c[fake] for c in self.codes]
        for at in np.flatnonzero(~self.correlated):
            a, b = self.pairs[at]
            p, q = (joint(side[a], side[b], self.sizes[b]) for side in both)
            distances[at] = total_variation(p, q, self.sizes[a] * self.sizes[b])
        return distances

    def name(self, at: int) -> list[str]:
        """Return the two columns of a pair."""
        return [self.names[i] for i in self.pairs[at]]


def some_pairs(columns: int, limit: int, rng: np.random.Generator) -> Ints:
    """Return all pairs of columns (pairs, 2), or `limit` of them at random."""
    pairs = np.array(list(combinations(range(columns), 2)))
    if len(pairs) <= limit:
        return pairs
    return pairs[np.sort(rng.choice(len(pairs), limit, replace=False))]


def joint(a: Ints, b: Ints, size_b: int) -> Ints:
    """Return one code for each pair of codes."""
    return a * size_b + b


def total_variation(real: Ints, fake: Ints, size: int) -> float:
    """Return half the sum of |p - q| over the codes of two samples."""
    if size > DENSE:
        codes, pooled = np.unique(np.concatenate([real, fake]), return_inverse=True)
        real, fake, size = pooled[: len(real)], pooled[len(real) :], len(codes)
    p, q = (np.bincount(side, minlength=size) / len(side) for side in (real, fake))
    return float(np.abs(p - q).sum()) / 2


def numbers(columns: Columns) -> Floats:
    """Return the numeric columns' values (N, numeric), NaN where missing."""
    chosen = [c.values for c in columns if c.numeric]
    return np.stack(chosen, 1) if chosen else np.empty((sum(columns.rows), 0))


def correlations(values: Floats) -> Floats:
    """Return Pearson's correlations over the rows where both are there; 0 with a constant."""
    there = ~np.isnan(values)
    present = there.astype(float)
    with_zeros = np.where(there, values - _means(values, present), 0.0)
    count = np.maximum(present.T @ present, 1)
    mean = with_zeros.T @ present / count  # of column i over the rows where j is there
    square = np.square(with_zeros).T @ present / count
    variance = square - np.square(mean)
    # What cancellation leaves of a constant's variance is not variation.
    scale = np.sqrt(np.where(variance > 1e-12 * square, variance, np.inf))
    return np.asarray((with_zeros.T @ with_zeros / count - mean * mean.T) / (scale * scale.T))


def _means(values: Floats, present: Floats) -> Floats:
    return np.asarray(np.nan_to_num(values).sum(0) / np.maximum(present.sum(0), 1))


def cramer(a: Ints, b: Ints) -> float:
    """Return Cramér's V of two columns of codes; 0 where one of them is constant."""
    values_a, a = np.unique(a, return_inverse=True)
    values_b, b = np.unique(b, return_inverse=True)
    fewer = min(len(values_a), len(values_b)) - 1
    if fewer == 0:
        return 0.0
    cells, counts = np.unique(joint(a, b, len(values_b)), return_counts=True)
    rows, columns = np.bincount(a), np.bincount(b)
    expected = rows[cells // len(values_b)] * (columns[cells % len(values_b)] / len(a))
    # Empty cells add their expectation, and all expectations sum to n: hence the 1.
    chi_squared_by_n = float((np.square(counts) / expected).sum()) / len(a) - 1
    return float(np.sqrt(max(0.0, chi_squared_by_n) / fewer))


def resampled(
    name: str, distances: Distances, rows: tuple[int, ...], resamples: int, seed: int
) -> tuple[Floats, Measurement]:
    """Return the distances of real and generated rows, and the measurement of their mean."""
    rng = np.random.default_rng(seed)
    n, m = rows
    each = distances(slice(0, n), slice(n, n + m))
    splits = np.array([_split(distances, n, m, rng) for _ in range(resamples)])
    boots = [_bootstrap(distances, n, m, rng).mean() for _ in range(resamples)]
    value, p_value = float(each.mean()), permutation_p(float(each.mean()), splits.mean(1))
    null = splits.mean(0)
    centre, without = _less_noise(each, null), _less_noise(splits, null)
    half = Z * max(float(np.std(boots)), float(without.std()))
    return each, Measurement(
        name,
        value,
        low=max(0.0, min(value, float(centre) - half)),
        high=min(1.0, max(value, float(centre) + half)),
        covers="both samples (bootstrap, less the null)",
        null=float(null.mean()),
        p_value=p_value,
        n=n,
        m=m,
        reading=verdict(p_value),
    )


def _less_noise(distances: Floats, null: Floats) -> Floats:
    """Return the mean distance (last axis) when each one's null is taken off, in squares.

    Noise adds to a distance as an independent component does. The root keeps the sign, so that
    columns that differ by noise alone cancel and do not add up.
    """
    squares = distances**2 - null**2
    return np.asarray((np.sign(squares) * np.sqrt(np.abs(squares))).mean(-1))


def _split(distances: Distances, n: int, m: int, rng: np.random.Generator) -> Floats:
    order = rng.permutation(n + m)
    return distances(order[:n], order[n:])


def _bootstrap(distances: Distances, n: int, m: int, rng: np.random.Generator) -> Floats:
    return distances(rng.integers(n, size=n), n + rng.integers(m, size=m))
