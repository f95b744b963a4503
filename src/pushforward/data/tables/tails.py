"""Outermost bins, cut finer where a rare class lies at one end of them.

Within a bin values are drawn whatever the other columns say. The outermost bins hold a 64th of the
rows each: were fraud the top thousandth of all amounts, generated fraud would have amounts from all
over the bin. So where a class of fewer than a twentieth of the rows is ranked high or low among the
rows of an outermost bin, that bin is cut into several (`Partition.with_fine_tail`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.columns import ColumnCodec

RARE_SHARE = 0.05
MIN_CLASS_ROWS = 10  # of the class, and of all others, within the bin
MIN_DISTANCE = 0.2  # of the probability that the class ranks above the others from 1/2
MIN_Z = 5.0  # of the rank-sum test: among a hundred classes, one by chance in 10,000 tables
MAX_VALUES = 100  # of a column whose values are classes


@dataclass(frozen=True)
class _Tail:
    """The training rows of the bin at one end of a column.

    Args:
        column: its position.
        upper: whether it is the upper end.
        cell: the bin.
        rows: the positions of its rows among the training rows.
        numbers: of these rows.
    """

    column: int
    upper: bool
    cell: int
    rows: Ints
    numbers: Floats

    def ranks_a_rare_class(self, codes: Ints, shares: Floats) -> bool:
        """Whether a class, by the codes of the rows and the shares of all codes, lies at one end.

        For ranks r of n rows, n_c of them of class c, the Mann-Whitney statistic is
        P(c above others) = (mean r_c - mean r) / (n - n_c) + 1/2; its variance without a relation
        is (n + 1) / (12 n_c (n - n_c)).
        """
        n, ranks = len(codes), np.empty(len(codes))
        ranks[np.argsort(self.numbers, kind="stable")] = np.arange(n)
        counts = np.bincount(codes, minlength=len(shares))
        enough = (counts >= MIN_CLASS_ROWS) & (n - counts >= MIN_CLASS_ROWS)
        rare = np.flatnonzero(enough & (shares <= RARE_SHARE))
        own, others = counts[rare], n - counts[rare]
        total = np.bincount(codes, ranks, minlength=len(shares))[rare]
        distance = np.abs(total / own - (n - 1) / 2) / others
        z = distance / np.sqrt((n + 1) / (12 * own * others))
        return bool(((distance >= MIN_DISTANCE) & (z >= MIN_Z)).any())


def refine_tails(
    columns: Sequence[ColumnCodec],
    classes: Sequence[ColumnCodec],
    frame: pl.DataFrame,
    train: Ints,
) -> list[ColumnCodec]:
    """Return the columns, their outermost bins cut finer where a rare class needs it.

    Args:
        columns: the modelled ones.
        classes: further columns of categories.
        frame: the modelled table.
        train: its training rows.
    """
    tails = [tail for i, c in enumerate(columns) for tail in _tails(i, c, frame[c.name], train)]
    discrete = [c for c in (*columns, *classes) if _is_discrete(c)]
    if not tails or not discrete:
        return list(columns)
    rows = np.unique(np.concatenate([tail.rows for tail in tails]))
    coded = [_codes(c, frame[c.name][train[rows]]) for c in discrete]
    refined = list(columns)
    for tail in tails:
        at = np.searchsorted(rows, tail.rows)
        if any(tail.ranks_a_rare_class(codes[at], shares) for codes, shares in coded):
            p = refined[tail.column].partition
            # the lower tail comes first, and moves the upper one's cell
            cell = tail.cell + p.n_cells - columns[tail.column].partition.n_cells
            finer = p.with_fine_tail(cell, upper=tail.upper)
            refined[tail.column] = replace(refined[tail.column], partition=finer)
    return refined


def _tails(position: int, column: ColumnCodec, values: pl.Series, train: Ints) -> list[_Tail]:
    """Return the outermost bins of a column, the lower one first; none for a column of atoms."""
    p = column.partition
    if column.kind != "numeric" or not p.has_bins:
        return []
    numbers = column.encode(values[train])
    bins = np.flatnonzero(np.isnan(p.atom) & (p.mass > 0))
    first, last = int(p.cell[bins[0]]), int(p.cell[bins[-1]])
    if first == last:
        return []
    end = p.bounds[bins[p.cell[bins] == first][-1] + 1]
    start = p.bounds[bins[p.cell[bins] == last][0]]
    masks = (numbers < end, numbers >= start)
    return [
        _Tail(position, upper, cell, np.flatnonzero(mask), numbers[mask])
        for upper, cell, mask in zip((False, True), (first, last), masks, strict=True)
    ]


def _is_discrete(column: ColumnCodec) -> bool:
    """Whether all training rows have one of a few values."""
    p = column.partition
    return not p.has_bins and 2 <= len(p.atom) <= MAX_VALUES


def _codes(column: ColumnCodec, values: pl.Series) -> tuple[Ints, Floats]:
    """Return the piece of each value, one more for missing, and the share of training rows."""
    p = column.partition
    piece = np.searchsorted(p.bounds, column.encode(values), side="right") - 1
    return piece.clip(0, len(p.mass)), np.append(p.mass, p.missing or 0.0)
