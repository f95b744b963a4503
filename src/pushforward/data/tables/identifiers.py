"""Columns of identifiers: recognised, never stored, generated fresh by their pattern."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pushforward.data.tables.column_summary import Facts
from pushforward.data.tables.distinct_strings import Series, chances
from pushforward.data.tables.frames import dtype_from_json, dtype_to_json
from pushforward.errors import DataError

LEAST = 20  # rows from which on a column of distinct texts is taken for identifiers
CROWDED = 1000  # ... and texts from which on one that is distinct in most rows is
LONGEST = 64
CLASSES = (  # if all are of the first, then any of the first; else any of the second
    (string.digits, string.digits),
    ("abcdef", string.ascii_lowercase),
    ("ABCDEF", string.ascii_uppercase),
)


def looks_like_identifiers(facts: Facts) -> bool:
    """Tell whether a column of text names its rows."""
    if facts.dtype != pl.String or facts.present < LEAST:
        return False
    distinct = math.inf if facts.levels is None else len(facts.levels)
    return distinct == facts.present or distinct > max(CROWDED, facts.present / 2)


@dataclass(frozen=True)
class Identifier:
    """A pattern: which characters may stand where.

    Args:
        name: the column's name.
        dtype: its Polars dtype.
        alphabets: for each position the characters that may stand there; one where all rows agree.
        lengths: the shares of the lengths 1, 2, ...
        missing: the share of missing values.
        negative: the share of negative numbers; the pattern is that of the digits.
    """

    name: str
    dtype: pl.DataType
    alphabets: tuple[str, ...]
    lengths: tuple[float, ...]
    missing: float
    negative: float = 0.0

    @classmethod
    def fit(cls, facts: Facts) -> Identifier:
        """Learn the pattern of a column of text or integers."""
        texts, dtype = facts.texts, facts.dtype
        if not (dtype.is_integer() or dtype == pl.String) or texts is None or not len(texts):
            msg = f"column {facts.name!r}: identifiers must be text or integers, got {dtype}"
            raise DataError(msg)
        spelled, negative = texts.cast(pl.String), 0.0
        if dtype.is_integer():
            negative = float(spelled.str.starts_with("-").to_numpy().mean())
            spelled = spelled.str.strip_prefix("-")
        letters = _letters(spelled.str.slice(0, LONGEST))
        lengths = np.bincount((letters != "").sum(1))[1:] / len(letters)
        alphabets = [_alphabet(column) for column in letters.T]
        if dtype.is_integer():
            alphabets[0] = alphabets[0].replace("0", "") or "1"
        pattern = (tuple(alphabets), tuple(lengths.tolist()))
        return cls(facts.name, dtype, *pattern, facts.nulls / facts.rows, negative)

    def generate(
        self, n: int, generator: torch.Generator | None = None, first: int = 0
    ) -> pl.Series:
        """Return the identifiers number `first` to `first + n - 1` of an endless, distinct list.

        The list depends on the generator's state alone, so that tables can be made in chunks.
        """
        device = None if generator is None else generator.device
        key = int(torch.randint(2**62, (), generator=generator, device=device))
        texts = Series(self.alphabets, self.lengths, self.dtype, key).texts(first, n)
        found = pl.Series(self.name, texts).cast(self.dtype)
        if self.negative:
            found = (-found).zip_with(pl.Series(chances(first, n, key + 1) < self.negative), found)
        gone = pl.Series(chances(first, n, key) < self.missing)
        return found.set(gone, None) if gone.any() else found

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "dtype": dtype_to_json(self.dtype),
            "alphabets": list(self.alphabets),
            "lengths": list(self.lengths),
            "missing": self.missing,
            "negative": self.negative,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Identifier:
        """Rebuild from `to_json`."""
        pattern = (tuple(data["alphabets"]), tuple(data["lengths"]))
        shares = (data["missing"], data["negative"])
        return cls(data["name"], dtype_from_json(data["dtype"]), *pattern, *shares)


def _letters(texts: pl.Series) -> NDArray[np.str_]:
    """Return texts as a matrix of single characters, empty ones after the end."""
    array = np.array(texts.to_list(), dtype=np.str_)
    return array.view("<U1").reshape(len(array), -1)


def _alphabet(column: NDArray[np.str_]) -> str:
    """Return what may stand at a position: the classes of what did, or the one that always did."""
    seen = set(np.unique(column).tolist())
    if len(seen) == 1:
        return str(seen.pop())
    letters = seen - {""}
    for few, many in CLASSES:
        inside = seen.intersection(many)
        if inside:
            letters |= set(few if inside <= set(few) else many)
    return "".join(sorted(letters))
