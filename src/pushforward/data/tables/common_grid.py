"""The grid that nearly all numbers of a column lie on, though some do not.

One odd value (100.333 among whole numbers), or the noise of float arithmetic (0.1 + 0.2), and the
numbers of a column have no decimals in common. Generated numbers lie on the grid of the others
nevertheless: drawn with full precision, nearly all would look like none of the user's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pushforward.data.numeric import Floats, Mask
from pushforward.data.tables.column_summary import MAX_DECIMALS, on_grid
from pushforward.data.tables.partition import atom_mask, find_comb, min_pooled

MAX_EXCEPTIONS = 0.05  # of all numbers: so few rows change, each by half a step at most
MAX_AMONG_REST = 0.2  # of those that are no atoms, which alone are drawn from bins
TOLD_BY_PARTS = 4  # decimals more that parts of a number model, see `DECIMAL_PERIODS`
NOISE = 1e-12  # of float64, relative to a number, after a few sums and products
MAX_NOISY_STEPS = 1e10  # of numbers with more steps the noise is more than a hundredth of one

FloatType = type[np.floating[Any]]


def common_decimals(numbers: Floats, decimals: int | None, float_type: FloatType) -> int | None:
    """Return the fewest decimals that nearly all numbers have (NaN: missing), or None.

    `decimals` is what all of them have, None for full precision. Where they have up to four more,
    parts of the numbers keep how often each occurs, and None is returned.
    """
    present = numbers[~np.isnan(numbers)]
    largest = np.abs(present).max(initial=0)
    end = MAX_DECIMALS + 1 if decimals is None else decimals - TOLD_BY_PARTS
    for fewer in range(end if len(present) else 0):
        scale = 10.0**fewer
        if largest * scale > MAX_NOISY_STEPS:
            return None
        if _is_common(present, scale, float_type):
            return fewer
    return None


def to_common_grid(numbers: Floats, decimals: int, float_type: FloatType) -> Floats:
    """Return the nearest numbers on the grid, or on the comb of those that lie on it.

    An exception at either end goes inwards, so that nothing is generated beyond it.
    """
    scale = 10.0**decimals
    place, (step, offset) = _places(numbers, scale, float_type)
    inside = np.round(place).clip(np.ceil(np.nanmin(place)), np.floor(np.nanmax(place)))
    rounded: Floats = (inside * step + offset) / scale
    return rounded


def _places(numbers: Floats, scale: float, float_type: FloatType) -> tuple[Floats, tuple[int, int]]:
    """Return where numbers lie on the comb of those on a grid, integers but for exceptions."""
    near = _near_grid(numbers, scale, float_type)
    steps = np.where(near, np.round(numbers * scale), numbers * scale)
    step, offset = find_comb(np.where(near, steps, np.nan))
    return (steps - offset) / step, (step, offset)


def _near_grid(numbers: Floats, scale: float, float_type: FloatType) -> Mask:
    """Return which numbers are multiples of 1 / scale, but for the noise of floats."""
    noise = np.abs(np.round(numbers * scale) / scale - numbers)
    near: Mask = on_grid(numbers, scale, float_type) | (noise <= NOISE * np.abs(numbers))
    return near


def _is_common(numbers: Floats, scale: float, float_type: FloatType) -> bool:
    """Whether nearly all numbers lie on a grid, and the others have no pattern of their own."""
    for some, most in ((numbers[:1000], 2 * MAX_EXCEPTIONS), (numbers, MAX_EXCEPTIONS)):
        if np.mean(~_near_grid(some, scale, float_type)) > most:  # mostly told by the first few
            return False
    value, counts = np.unique(numbers, return_counts=True)
    odd, is_atom = ~_near_grid(value, scale, float_type), atom_mask(counts)
    if odd[is_atom].any():
        return False
    place = np.round(_places(value, scale, float_type)[0])[~is_atom]
    rows, odd_rows = counts[~is_atom], (counts * odd)[~is_atom]
    if odd_rows.sum() > MAX_AMONG_REST * rows.sum():  # 97 % are 0, and the others have decimals
        return False
    at = np.unique(place, return_inverse=True)[1]
    rows, odd_rows = np.bincount(at, rows), np.bincount(at, odd_rows)
    crowded = (odd_rows >= min_pooled(len(numbers))) & (odd_rows > rows / 2)
    return not crowded.any()  # as where those below 1 have decimals, and no others
