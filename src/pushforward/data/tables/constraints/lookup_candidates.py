"""Columns that follow from the categories of one or two others, found on reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.constraints.lookup import MIN_KEY_ROWS
from pushforward.data.tables.information import entropy, excess_information, joined

MAX_KEYS = 1000  # combinations of a table
MAX_PAIRED = 12  # columns of which all pairs are tried
MAX_EXCEPTED = 0.02  # of the rows: of combinations that are rare, or have several values
MIN_TOLD = 0.5  # of the entropy of the column, less what chance tells
CHANCE_NATS = 69.0  # an independent column would fit with a probability of 1e-30
REFUTING_ROWS = 500

Keys = tuple[str, ...]


@dataclass(eq=False)
class LookupFinder:
    """Which columns follow from the categories of others.

    Args:
        frame: the table.
        targets: the columns that may follow.
        categories: the columns to look up by.
    """

    frame: pl.DataFrame
    targets: Sequence[str]
    categories: Sequence[str]
    _codes: dict[str, Ints] = field(default_factory=dict)

    def find(self, size: int) -> Iterator[tuple[str, Keys]]:
        """Yield columns, and as many others that they follow from: of fewest combinations first."""
        if not self.targets:
            return
        some = self.frame[:: max(1, len(self.frame) // REFUTING_ROWS)]
        codes = {name: value_codes(some[name]) for name in {*self.targets, *self.categories}}
        varied = [name for name in self.categories if codes[name].any()]
        sets = list(combinations(varied if size == 1 else varied[:MAX_PAIRED], size))
        y = np.array([codes[target] for target in self.targets], np.int64)
        for keys in sorted(sets, key=lambda keys: len(np.unique(_joined(codes, keys)))):
            agreeing = _share_agreeing(y, _joined(codes, keys), 1) >= 1 - MAX_EXCEPTED
            for target in (t for t, agrees in zip(self.targets, agreeing, strict=True) if agrees):
                if target not in keys and self._follows(target, keys):
                    yield target, keys

    def _follows(self, target: str, keys: Keys) -> bool:
        """Whether a column follows from others in nearly all rows, and not by chance."""
        for name in (target, *keys):
            if name not in self._codes:
                self._codes[name] = value_codes(self.frame[name])
        y, x = self._codes[target], _joined(self._codes, keys)
        if len(np.unique(x)) > MAX_KEYS:
            return False
        (share,) = _share_agreeing(y[None], x, MIN_KEY_ROWS)
        return bool(share >= 1 - MAX_EXCEPTED) and _is_told(y, x)


def _joined(codes: dict[str, Ints], keys: Keys) -> Ints:
    """Return the codes of the combinations of columns."""
    x = codes[keys[0]]
    for key in keys[1:]:
        x = joined(x, codes[key])
    return x


def _share_agreeing(y: Ints, x: Ints, min_rows: int) -> Floats:
    """Return the share of rows whose key x has enough rows, and one y (targets, n) in all."""
    order = np.argsort(x, kind="stable")
    starts = np.flatnonzero(np.diff(x[order], prepend=-1))
    rows, y = np.diff(starts, append=len(x)), y[:, order]
    low, high = (f.reduceat(y, starts, axis=1) for f in (np.minimum, np.maximum))
    kept = (low == high) & (rows >= min_rows)
    return np.asarray(kept @ rows / len(x))


def _is_told(y: Ints, x: Ints) -> bool:
    """Whether an independent column would hardly follow from x; each key costs a row."""
    own, free = entropy(y), len(y) - len(np.unique(x))
    return free * own > CHANCE_NATS and excess_information(y, x) > MIN_TOLD * own


def value_codes(values: pl.Series) -> Ints:
    """Return values as integers from 0 on, in ascending order, missing ones first."""
    plain = values.fill_nan(None) if values.dtype.is_float() else values
    plain = plain.cast(pl.String) if plain.dtype in (pl.Categorical, pl.Enum) else plain
    codes: Ints = plain.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    return np.asarray(codes - codes.min(initial=1))
