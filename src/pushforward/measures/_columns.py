"""The columns of several tables as one set of numbers: a ruler is then a few array operations.

A column is *numeric* when its type is a number or a date and its real rows hold more than ten
distinct values; every other column is a set of categories. Missing is a value of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from pushforward.errors import MeasureError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DISTINCT = 10  # a number with no more values than this is a category
BINS = 10  # of equal width, for a numeric column among categories


@dataclass(frozen=True)
class Column:
    """One column over the rows of all tables, the real ones first.

    Args:
        name: the column's name.
        numeric: whether it is measured as a number.
        values: the numbers (N,), NaN where missing; empty for text.
        codes: ranks of the values (N,); missing has the last code, so it lies beyond all others.
        size: how many codes there are, that of missing included.
    """

    name: str
    numeric: bool
    values: Floats
    codes: Ints
    size: int


@dataclass(frozen=True)
class Columns:
    """The columns of several tables, and the number of rows of each."""

    columns: tuple[Column, ...]
    rows: tuple[int, ...]

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def numeric(self) -> NDArray[np.bool_]:
        """Which columns are numbers."""
        return np.array([c.numeric for c in self], dtype=bool)

    def part(self, table: int) -> slice:
        """Return the rows of one table."""
        start = sum(self.rows[:table])
        return slice(start, start + self.rows[table])


def read(real: Any, *others: Any, least: int = 2) -> Columns:
    """Return the columns of all tables in the real one's order.

    Raises:
        MeasureError: for something that is no data frame, differing columns or types, infinite
            numbers, and fewer than `least` rows.
    """
    frames = [_frame(f) for f in (real, *others)]
    names = frames[0].columns
    for other in frames[1:]:
        _require_same_names(names, other.columns)
    rows = tuple(len(f) for f in frames)
    if min(rows) < least:
        raise MeasureError(f"each table needs at least {least} rows, and they have {list(rows)}")
    return Columns(tuple(_column([f[name] for f in frames]) for name in names), rows)


def binned(column: Column, reference: slice) -> tuple[Ints, int]:
    """Return codes for joint tables: ten equal-width bins of the reference rows' range, or ranks.

    What lies outside that range falls into the outer bins; missing has a code of its own.
    """
    if not column.numeric:
        return column.codes, column.size
    inner = np.linspace(*_range(column.values[reference]), BINS + 1)[1:-1]
    bins = np.searchsorted(inner, column.values, side="right")
    return np.where(np.isnan(column.values), BINS, bins), BINS + 1


def _range(values: Floats) -> tuple[float, float]:
    return float(np.nanmin(values)), float(np.nanmax(values))


def _frame(table: Any) -> nw.DataFrame[Any]:
    try:
        frame: nw.DataFrame[Any] = nw.from_native(table, eager_only=True)
    except TypeError:
        raise MeasureError(
            "this ruler takes data frames (pandas or Polars), and was given "
            f"{type(table).__name__}; for arrays take mmd, energy or sliced_wasserstein"
        ) from None
    if not frame.columns:
        raise MeasureError("the table has no columns")
    return frame


def _require_same_names(real: list[str], other: list[str]) -> None:
    missing = [c for c in real if c not in other]
    extra = [c for c in other if c not in real]
    if missing or extra:
        raise MeasureError(
            "both tables need the same columns; the second lacks "
            f"{', '.join(missing) or 'none'} and has beside them {', '.join(extra) or 'none'}"
        )


def _column(parts: list[nw.Series[Any]]) -> Column:
    kinds = {_is_number(s) for s in parts if not s.is_null().all()}
    name, number = parts[0].name, kinds == {True}
    if len(kinds) > 1:
        types = ", ".join(str(s.dtype) for s in parts)
        raise MeasureError(f"column {name!r} must have one type in all tables, and has {types}")
    values = np.concatenate([_numbers(s) for s in parts]) if number else np.empty(0)
    if np.isinf(values).any():
        raise MeasureError(f"column {name!r} holds infinite values; drop or replace them first")
    codes, present = _ranks(pl.Series(values).fill_nan(None) if number else _texts(parts))
    real = codes[: len(parts[0])]
    distinct = len(np.unique(real[real < present]))
    return Column(name, number and distinct > DISTINCT, values, codes, present + 1)


def _is_number(column: nw.Series[Any]) -> bool:
    kind = column.dtype
    return kind.is_numeric() or kind in (nw.Boolean, nw.Date, nw.Datetime)


def _numbers(column: nw.Series[Any]) -> Floats:
    if column.dtype in (nw.Date, nw.Datetime):
        column = column.dt.timestamp("us")
    return np.asarray(column.cast(nw.Float64).to_numpy(), dtype=np.float64)


def _texts(parts: list[nw.Series[Any]]) -> pl.Series:
    missing = [s.is_null().to_list() for s in parts]
    values = [s.to_list() for s in parts]
    texts = [
        None if absent else str(value)
        for part, gaps in zip(values, missing, strict=True)
        for value, absent in zip(part, gaps, strict=True)
    ]
    return pl.Series(texts, dtype=pl.String)


def _ranks(values: pl.Series) -> tuple[Ints, int]:
    """Return ranks from 0 with missing last, and how many values are there beside missing."""
    ranks = values.rank("dense")
    present = ranks.n_unique() - int(ranks.null_count() > 0)
    return ranks.fill_null(present + 1).to_numpy().astype(np.int64) - 1, present
