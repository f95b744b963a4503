"""Columns that follow from the categories of one or two others, found on reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from pushforward.data.numeric import Ints
from pushforward.data.tables.constraints.lookup import MIN_KEY_ROWS
from pushforward.data.tables.information import entropy, excess_information, joined

MAX_KEYS = 1000  # combinations of a table
MAX_PAIRED = 12  # columns of which all pairs are tried
MAX_EXCEPTED = 0.02  # of the rows: of combinations that are rare, or have several values
MIN_TOLD = 0.5  # of the entropy of the column, less what chance tells
CHANCE_NATS = 69.0  # an independent column would fit with a probability of 1e-30
REFUTING_ROWS = 1000


@dataclass(frozen=True, eq=False)
class LookupFinder:
    """Which columns follow from the categories of others.

    Args:
        frame: the table.
        categories: the columns to look up by.
        codes: (n,) of all columns that are targets or categories.
    """

    frame: pl.DataFrame
    categories: Sequence[str]
    codes: Mapping[str, Ints]

    @classmethod
    def of(
        cls, frame: pl.DataFrame, targets: Sequence[str], categories: Sequence[str]
    ) -> LookupFinder:
        """Number the values of the columns."""
        codes = {name: value_codes(frame[name]) for name in {*targets, *categories}}
        few = [n for n in categories if 1 < int(codes[n].max(initial=0)) + 1 <= MAX_KEYS]
        return cls(frame, few, codes)

    def keys_of(self, target: str, size: int) -> Iterator[tuple[str, ...]]:
        """Yield the sets of columns that a target follows from, those of fewest values first."""
        others = [name for name in self.categories if name != target]
        if size > 1:
            others = others[:MAX_PAIRED]
        sets = list(combinations(others, size))
        size_of = {
            keys: int(np.prod([int(self.codes[k].max()) + 1 for k in keys])) for keys in sets
        }
        for keys in sorted(sets, key=size_of.__getitem__):
            if self._follows(target, keys):
                yield keys

    def _follows(self, target: str, keys: tuple[str, ...]) -> bool:
        """Whether a column follows from others in nearly all rows, and not by chance."""
        y, x = self.codes[target], self.codes[keys[0]]
        for key in keys[1:]:
            x = joined(x, self.codes[key])
        some = slice(None, None, max(1, len(y) // REFUTING_ROWS))
        return _agree(y[some], x[some], 1) and _agree(y, x, MIN_KEY_ROWS) and _is_told(y, x)


def _agree(y: Ints, x: Ints, min_rows: int) -> bool:
    """Whether nearly all rows have a key x of enough rows, all of which have the same y."""
    keys, key, rows = np.unique(x, return_inverse=True, return_counts=True)
    if len(keys) > MAX_KEYS:
        return False
    low, high = np.full(len(keys), y.max(initial=0)), np.zeros(len(keys), np.int64)
    np.minimum.at(low, key, y)
    np.maximum.at(high, key, y)
    kept = rows[(low == high) & (rows >= min_rows)].sum()
    return bool(kept >= (1 - MAX_EXCEPTED) * len(y))


def _is_told(y: Ints, x: Ints) -> bool:
    """Whether an independent column would hardly follow from x; each key costs a row."""
    own, free = entropy(y), len(y) - len(np.unique(x))
    return free * own > CHANCE_NATS and excess_information(y, x) > MIN_TOLD * own


def value_codes(values: pl.Series) -> Ints:
    """Return values as integers from 0, a missing one as 0 too."""
    plain = values.fill_nan(None) if values.dtype.is_float() else values
    plain = plain.cast(pl.String) if plain.dtype in (pl.Categorical, pl.Enum) else plain
    return plain.rank("dense").fill_null(0).to_numpy().astype(np.int64)
