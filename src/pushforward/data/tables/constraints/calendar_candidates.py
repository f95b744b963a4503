"""Months and days that are dates: two columns of integers, and no 30 February in any row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import permutations, takewhile

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats

DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])  # of each month, at most
ROWS_A_DATE = 20  # on average, so that each is learned as a category
CHANCE = 1e-9  # that columns which know nothing of each other make no impossible date


def dates(columns: Mapping[str, Floats]) -> Iterator[tuple[str, str]]:
    """Yield the names of months and of their days, no column twice.

    Of two dates that lie days apart, the month of one and the day of the other are possible, too:
    those are taken first whose names begin alike, and neighbours.

    Args:
        columns: the numbers (n,) of each, NaN where missing.
    """
    months = [name for name, x in columns.items() if _counts_to(x, 12)]
    days = [name for name, x in columns.items() if _counts_to(x, 31)]
    pairs = [(m, d) for m, d in permutations({*months, *days}, 2) if m in months and d in days]
    taken = set[str]()
    place = {name: at for at, name in enumerate(columns)}

    def apart(pair: tuple[str, str]) -> tuple[int, int, int]:
        month, day = pair
        alike = len(
            [*takewhile(lambda letters: letters[0] == letters[1], zip(*pair, strict=False))]
        )
        return -alike, abs(place[month] - place[day]), place[month]

    for month, day in sorted(pairs, key=apart):
        if not taken & {month, day} and _are_dates(columns[month], columns[day]):
            taken |= {month, day}
            yield month, day


def may_be_of_dates(values: pl.Series) -> bool:
    """Whether a column holds integers from 1 to 12, or to 31."""
    return values.dtype.is_integer() and values.min() == 1 and values.max() in (12, 31)


def _counts_to(values: Floats, most: int) -> bool:
    """Whether numbers are all of 1, 2, ..., and some of them missing at most."""
    return bool(np.array_equal(np.unique(values[~np.isnan(values)]), np.arange(1.0, most + 1)))


def _are_dates(month: Floats, day: Floats) -> bool:
    """Whether numbers make no impossible date, and not by chance."""
    both = ~(np.isnan(month) | np.isnan(day))
    longest = DAYS[month[both].astype(int) - 1]
    if np.sum(both) < ROWS_A_DATE * DAYS.sum() or (day[both] > longest).any():
        return False
    shares = np.bincount(day[both].astype(int), minlength=32) / len(longest)
    possible = shares.cumsum()[longest].mean()
    return bool(len(longest) * math.log(possible) < math.log(CHANCE))
