"""Numbers that recur and are names: days with a weather of their own, shops, stations, wards.

In bins, neighbours are alike. Where the values within a bin tell much of another column, each that
enough rows share has a cell of its own instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.cell_table import CellTable
from pushforward.data.tables.information import MIN_Z, information
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.partition import MAX_SEPARATE_LEVELS

ROWS_A_VALUE = 20  # on average
MIN_GAIN = 0.1  # nats of another column's ten classes
PERMUTATIONS = 20  # within bins, which show what chance tells


def with_names(
    column: NumericCodec, numbers: Floats, rows: slice, beside: Sequence[Ints], most: int
) -> NumericCodec:
    """Return a codec with a cell for each value, if its values are names; else as it is.

    Args:
        column: its codec, with cells.
        numbers: (n,) of all training rows, NaN where missing.
        rows: those of them by which it is told.
        beside: the classes of other columns in these rows.
        most: how many names there may be.
    """
    if not (column.partition.has_bins and recur(numbers, most)):
        return column
    named = are_names(column, numbers[rows], beside)
    return column.with_separate_values(numbers) if named else column


def recur(numbers: Floats, most: int = MAX_SEPARATE_LEVELS) -> bool:
    """Whether numbers (n,), NaN where missing, have at most so many values, and few for n rows."""
    few = min(most, MAX_SEPARATE_LEVELS, len(numbers) // ROWS_A_VALUE)
    return len(np.unique(numbers[~np.isnan(numbers)])) <= few


def are_names(column: NumericCodec, numbers: Floats, beside: Sequence[Ints]) -> bool:
    """Whether numbers (n,) tell much more of another column than their cells do.

    More than numbers that are permuted within each cell, by `MIN_GAIN` and `MIN_Z` deviations.
    """
    present = ~np.isnan(numbers)
    known = numbers[present]
    cells = CellTable.of([column]).cells(torch.from_numpy(known)[:, None])[0].numpy()
    _, values = np.unique(known, return_inverse=True)
    rng = np.random.default_rng(0)
    by_cell = np.argsort(cells, kind="stable")
    permuted = []
    for _ in range(PERMUTATIONS):
        shuffled = np.empty_like(values)
        shuffled[by_cell] = values[np.lexsort((rng.random(len(cells)), cells))]
        permuted.append(shuffled)
    for other in (codes[present] for codes in beside):
        null = [information(own, other) for own in permuted]
        gain = information(values, other) - float(np.mean(null))
        if gain > max(MIN_GAIN, MIN_Z * float(np.std(null))):
            return True
    return False
