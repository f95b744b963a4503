"""Columns of identifiers: recognised, never stored, generated fresh by their pattern."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pushforward.data.frames import dtype_from_json, dtype_to_json
from pushforward.errors import DataError

LEAST = 20  # rows from which on a column of distinct texts is taken for identifiers
CROWDED = 1000  # ... and texts from which on one that is distinct in most rows is
LOOKED_AT = 10_000  # rows that the pattern is learned from
LONGEST = 64
CLASSES = (  # if all are of the first, then any of the first; else any of the second
    (string.digits, string.digits),
    ("abcdef", string.ascii_lowercase),
    ("ABCDEF", string.ascii_uppercase),
)


def looks_like_identifiers(values: pl.Series) -> bool:
    """Tell whether a column of text names its rows."""
    present = len(values) - values.null_count()
    if values.dtype != pl.String or present < LEAST:
        return False
    distinct = values.drop_nulls().n_unique()
    return distinct == present or distinct > max(CROWDED, present / 2)


@dataclass(frozen=True)
class Identifier:
    """A pattern: which characters may stand where.

    Args:
        name: the column's name.
        dtype: its Polars dtype.
        alphabets: for each position the characters that may stand there; one where all rows agree.
        lengths: the shares of the lengths 1, 2, ...
        missing: the share of missing values.
    """

    name: str
    dtype: pl.DataType
    alphabets: tuple[str, ...]
    lengths: tuple[float, ...]
    missing: float

    @classmethod
    def fit(cls, values: pl.Series) -> Identifier:
        """Learn the pattern of a column of text or integers."""
        texts = (
            values.drop_nulls().cast(pl.String).filter(values.drop_nulls().cast(pl.String) != "")
        )
        if not (values.dtype.is_integer() or values.dtype == pl.String) or not len(texts):
            msg = (
                f"column {values.name!r}: identifiers must be text or integers, got {values.dtype}"
            )
            raise DataError(msg)
        letters = _letters(texts.head(LOOKED_AT).str.slice(0, LONGEST))
        lengths = np.bincount((letters != "").sum(1))[1:] / len(letters)
        alphabets = [_alphabet(column) for column in letters.T]
        if values.dtype.is_integer():
            alphabets[0] = alphabets[0].replace("0", "") or "1"
        missing = values.null_count() / len(values)
        return cls(values.name, values.dtype, tuple(alphabets), tuple(lengths.tolist()), missing)

    def generate(self, n: int, generator: torch.Generator | None = None) -> pl.Series:
        """Return n fresh identifiers, distinct among themselves."""
        device = None if generator is None else generator.device
        seed = torch.randint(2**62, (), generator=generator, device=device)
        rng = np.random.default_rng(int(seed))
        found = pl.Series(self.name, [], dtype=self.dtype)
        tries = 0
        while len(found) < n:
            fresh = pl.Series(self._draw(2 * (n - len(found)), tries, rng))
            fresh = fresh.cast(self.dtype, strict=False).drop_nulls()
            found = found.append(fresh.alias(self.name)).unique(maintain_order=True)
            tries += 1
        gone = pl.Series(rng.random(n) < self.missing)
        return found.head(n).set(gone, None) if gone.any() else found.head(n)

    def _draw(self, n: int, tries: int, rng: np.random.Generator) -> list[str]:
        """Return n texts by the pattern, longer ones when a few tries found too few."""
        more = max(0, tries - 2)
        alphabets = list(self.alphabets)
        at = max(range(len(alphabets)), key=lambda i: len(alphabets[i]))
        widest = alphabets[at] if len(alphabets[at]) > 1 else string.digits
        alphabets[at + 1 : at + 1] = [widest] * more
        letters = np.stack([_choose(alphabet, n, rng) for alphabet in alphabets], axis=1)
        length = rng.choice(len(self.lengths), size=n, p=np.array(self.lengths)) + 1 + more
        letters[np.arange(len(alphabets)) >= length[:, None]] = ""
        texts: list[str] = letters.view(f"<U{len(alphabets)}")[:, 0].tolist()
        return texts

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "dtype": dtype_to_json(self.dtype),
            "alphabets": list(self.alphabets),
            "lengths": list(self.lengths),
            "missing": self.missing,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Identifier:
        """Rebuild from `to_json`."""
        alphabets, lengths = tuple(data["alphabets"]), tuple(data["lengths"])
        return cls(
            data["name"], dtype_from_json(data["dtype"]), alphabets, lengths, data["missing"]
        )


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


def _choose(alphabet: str, n: int, rng: np.random.Generator) -> NDArray[np.str_]:
    """Return n characters of an alphabet."""
    return np.array(list(alphabet))[rng.integers(len(alphabet), size=n)]
