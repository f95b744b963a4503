"""Outermost bins, cut finer where a rare class lies at one end of them.

Within a bin values are drawn whatever the other columns say. The outermost bins hold a 64th of the
rows each: were fraud the top thousandth of all amounts, generated fraud would have amounts from all
over the bin. So where a class of fewer than a twentieth of the rows is ranked high or low among the
rows of an outermost bin, that bin is cut into several (`Partition.with_fine_tail`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.schema import TableSchema

RARE_SHARE = 0.05
MIN_CLASS_ROWS = 10  # of the class, and of all others, within the bin
MIN_DISTANCE = 0.2  # of the probability that the class ranks above the others from 1/2
MIN_Z = 5.0  # of the rank-sum test: among a hundred classes, one by chance in 10,000 tables
MAX_VALUES = 100  # of a column whose values are classes


def refine_tails(schema: TableSchema, rows: Tensor, labels: Tensor | None) -> TableSchema:
    """Return the schema, its outermost bins cut finer where a rare class needs it.

    Args:
        schema: of the table; encoded rows stay what they are.
        rows: the encoded training rows (n, columns).
        labels: the codes of their classes (n,), if models are conditioned on a column.
    """
    numbers, columns = rows.numpy().T, list(schema.columns)
    classes = [_pieces(c, x) for c, x in zip(columns, numbers, strict=True) if _is_discrete(c)]
    if labels is not None and schema.condition is not None:
        classes.append((labels.numpy(), np.array(schema.condition.frequencies)))
    for i, column in enumerate(columns):
        for upper in (True, False):  # the lower tail, cut, would move the upper one's cell
            if any(_ranks_rare_classes(*_tail(column, numbers[i], upper=upper), classes)):
                columns[i] = _with_fine_tail(columns[i], upper=upper)
    return schema if columns == list(schema.columns) else schema.with_columns(columns)


def _tail(column: ColumnCodec, numbers: Floats, *, upper: bool) -> tuple[Ints, Floats]:
    """Return the rows of the outermost bin at one end of a column, and their numbers."""
    p = column.partition
    bins = np.flatnonzero(np.isnan(p.atom) & (p.mass > 0))
    if column.kind != "numeric" or not len(bins) or p.cell[bins[0]] == p.cell[bins[-1]]:
        return np.empty(0, np.int64), np.empty(0)
    own = bins[p.cell[bins] == p.cell[bins[-1 if upper else 0]]]
    inside = numbers >= p.bounds[own[0]] if upper else numbers < p.bounds[own[-1] + 1]
    rows = np.flatnonzero(inside)
    return rows, numbers[rows]


def _with_fine_tail(column: ColumnCodec, *, upper: bool) -> ColumnCodec:
    p = column.partition
    bins = np.flatnonzero(np.isnan(p.atom) & (p.mass > 0))
    cell = int(p.cell[bins[-1 if upper else 0]])
    return replace(column, partition=p.with_fine_tail(cell, upper=upper))


def _ranks_rare_classes(
    rows: Ints, numbers: Floats, classes: Sequence[tuple[Ints, Floats]]
) -> Iterator[bool]:
    """Yield, for each column of classes, whether a rare one lies at one end of these rows.

    For ranks r of n rows, n_c of them of class c, the Mann-Whitney statistic is
    P(c above others) = (mean r_c - mean r) / (n - n_c) + 1/2; its variance without a relation is
    (n + 1) / (12 n_c (n - n_c)).
    """
    n, ranks = len(rows), np.empty(len(rows))
    if n < 2 * MIN_CLASS_ROWS:
        return
    ranks[np.argsort(numbers, kind="stable")] = np.arange(n)
    for codes, shares in classes:
        counts = np.bincount(codes[rows], minlength=len(shares))
        enough = (counts >= MIN_CLASS_ROWS) & (n - counts >= MIN_CLASS_ROWS)
        rare = np.flatnonzero(enough & (shares <= RARE_SHARE))
        own, others = counts[rare], n - counts[rare]
        total = np.bincount(codes[rows], ranks, minlength=len(shares))[rare]
        distance = np.abs(total / own - (n - 1) / 2) / others
        z = distance / np.sqrt((n + 1) / (12 * own * others))
        yield bool(((distance >= MIN_DISTANCE) & (z >= MIN_Z)).any())


def _is_discrete(column: ColumnCodec) -> bool:
    """Whether all training rows have one of a few values."""
    p = column.partition
    return not p.has_bins and 2 <= len(p.atom) <= MAX_VALUES


def _pieces(column: ColumnCodec, numbers: Floats) -> tuple[Ints, Floats]:
    """Return the piece of each number, one more for missing, and the share of training rows."""
    p = column.partition
    piece = np.searchsorted(p.bounds, numbers, side="right") - 1
    return piece.clip(0, len(p.mass)), np.append(p.mass, p.missing or 0.0)
