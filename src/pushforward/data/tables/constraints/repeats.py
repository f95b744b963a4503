"""Numbers that in some rows are those of another column: the amount paid is the bill, or is not.

Cells and their digits say that two numbers are near one another, not that they are equal. Where
they are far more often equal than near, a column of its own says which other number a row repeats.
It is modelled before the number; a generated number that is to repeat another becomes that number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Ints, Mask

OWN = "its own"  # number, the column has in the other rows
MIN_ROWS = 50  # that repeat the same column, and ...
LEAST = 0.01  # ... share of all rows, ...
TIMES_NEAR = 2.0  # ... beyond so many times as have the next value on either side of it
FREQUENT = 0.01  # share of the rows that have a value, from which a cell tells of it by itself
SAMPLE = 2000  # rows that tell whether to look at all of them
MAX_COLUMNS = 200  # of numbers
MOST = 4  # sources of a column


@dataclass(frozen=True)
class Repeat:
    """A column of numbers some of which are those of others in the same row.

    Args:
        column: its name.
        sources: the columns before it that it repeats; a row that repeats several has the first.
        name: of the modelled column that says which.
    """

    column: str
    sources: tuple[str, ...]
    name: str

    @property
    def labels(self) -> tuple[str, ...]:
        """What rows say that repeat each of the sources, and what the others say."""
        return (*map(label, self.sources), OWN)

    def told(self, numbers: Mapping[str, Floats]) -> pl.Series:
        """Return what rows (n,) say, by the numbers of the columns."""
        own = numbers[self.column]
        which = first_equal(own, [numbers[source] for source in self.sources])
        return pl.Series(self.name, self.labels, pl.String).gather(which)

    def note(self, told: pl.Series) -> str:
        """Return what the user is told, by what rows say."""
        shares = [float(np.mean(told.to_numpy() == label(source))) for source in self.sources]
        pairs = zip(self.sources, shares, strict=True)
        listed = ", ".join(f"{source!r} in {share:.1%} of the rows" for source, share in pairs)
        return (
            f"column {self.column!r} repeats {listed}: generated rows do so, too (relations=False, "
            "or --no-relations, to model the columns freely)"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"column": self.column, "sources": list(self.sources), "name": self.name}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(data["column"], tuple(data["sources"]), data["name"])


def first_equal(numbers: Floats, sources: Sequence[Floats]) -> Ints:
    """Return which source has the number of a row (n,), the first of several, or their count."""
    equal = np.stack([*(numbers == source for source in sources), np.ones(len(numbers), np.bool_)])
    return np.asarray(equal.argmax(0))


def label(source: str) -> str:
    """Return what rows say that repeat a column."""
    return f"= {source}"


def find_repeats(columns: Mapping[str, Floats]) -> dict[str, tuple[str, ...]]:
    """Return which columns repeat which earlier ones, the most frequent first.

    Args:
        columns: the numbers (n,) of training rows by column, in the order of the model, NaN where
            missing.
    """
    found: dict[str, tuple[str, ...]] = {}
    named = [*columns.items()][:MAX_COLUMNS]
    for at, (name, y) in enumerate(named):
        rows = _is_rare(y)
        few = slice(None, None, max(1, len(y) // SAMPLE))
        left = {n: x for n, x in named[:at] if _excess(x[few], y[few], rows[few]) >= LEAST / 2}
        sources = list[str]()
        while left and len(sources) < MOST:
            excess = {n: _excess(x, y, rows) for n, x in left.items()}
            best = max(excess, key=excess.__getitem__)
            if excess[best] < max(LEAST, MIN_ROWS / len(y)):
                break
            sources.append(best)
            rows &= left.pop(best) != y
        if sources:
            found[name] = tuple(sources)
    return found


def _is_rare(values: Floats) -> Mask:
    """Return which numbers are present, and not so frequent that a cell tells of them."""
    distinct, codes = np.unique(values, return_inverse=True)
    frequent = np.bincount(codes) >= FREQUENT * len(values)
    return np.asarray(~(frequent | np.isnan(distinct))[codes])


def _excess(x: Floats, y: Floats, rows: Mask) -> float:
    """Return in which share of all rows y is x, and is among these rows, beyond being near it.

    How often it would be x by being near is how often it is the next value that x has, on the side
    where it is more often.
    """
    n = max(len(rows), 1)
    repeated = float(np.sum((x == y) & rows) / n)
    if repeated < LEAST / 2:  # as of nearly all pairs of columns
        return repeated
    present = rows & ~np.isnan(x)
    x, y = x[present], y[present]
    distinct = np.unique(x)
    place, around = np.searchsorted(distinct, x), np.concatenate([[np.nan], distinct, [np.nan]])
    below, equal, above = (np.sum(around[place + side] == y) / n for side in (0, 1, 2))
    return float(equal - TIMES_NEAR * max(below, above))
