"""What all rows of a column say, gathered a batch at a time: so a table need not be held whole.

Facts are what there is: the levels of a category, the range and the resolution of a number, what
is missing, the pattern of names. How often each value occurs is learned from training rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from pushforward.data.tables.partition import Floats
from pushforward.errors import DataError

GRID = 2**51  # integers up to here are exact in float64, and so are their halves
HUGE = 1e150  # beyond, products of two values overflow
DECIMALS = 12  # digits after the point; a column with more has full precision
LEVELS = 1_000_000  # most levels of a column
NAMED = 10_000  # texts that the pattern of identifiers is learned from
TICKS = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}  # in a second
WORDS = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)  # dtypes of categories


@dataclass
class Reals:
    """Range and resolution of numbers with a fractional part.

    Args:
        largest: the largest magnitude.
        digits: the fewest decimals that all numbers have; `DECIMALS` + 1 for full precision.
    """

    largest: float = 0.0
    digits: int = 0

    def add(self, values: pl.Series, before: int) -> None:
        """Take in the next values, which so many rows precede; DataError for infinite ones."""
        numbers = finite(values.cast(pl.Float64), before)
        numbers = numbers[~np.isnan(numbers)]
        if isinstance(values.dtype, pl.Decimal):
            self.digits = values.dtype.scale
            return
        precision = np.float32 if values.dtype == pl.Float32 else np.float64
        self.largest = max(self.largest, float(np.abs(numbers).max(initial=0)))
        while self.digits <= DECIMALS:
            scale = 10.0**self.digits
            if self.largest * scale >= GRID:
                self.digits = DECIMALS + 1
            elif all(_on_grid(part, scale, precision) for part in (numbers[:1000], numbers)):
                break
            else:
                self.digits += 1

    def decimals(self, dtype: pl.DataType, printed: int | None) -> int | None:
        """Return the number of decimals that all values have, or None for full precision."""
        if dtype.is_decimal():
            return self.digits
        return None if self.digits > DECIMALS else max(self.digits, printed or 0)


@dataclass
class Ticks:
    """Range and resolution of integers and times.

    Args:
        low, high: the range; None while there is no value.
        coarseness: the position among `_units` of the coarsest in which all times are whole.
    """

    low: int | None = None
    high: int | None = None
    coarseness: int = 0

    def add(self, ticks: pl.Series, dtype: pl.DataType) -> None:
        """Take in the next ticks, none of them missing."""
        if not len(ticks):
            return
        low, high = int(ticks.min()), int(ticks.max())  # type: ignore[arg-type]  # not empty
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        units = _units(dtype)
        while units[self.coarseness] > 1 and (ticks % units[self.coarseness] != 0).any():
            self.coarseness += 1

    def unit(self, dtype: pl.DataType) -> int:
        """Return the coarsest unit in which all ticks are whole; 1 for integers."""
        return _units(dtype)[self.coarseness]


@dataclass
class Facts:
    """The facts of one column.

    Args:
        name: its name.
        dtype: its Polars dtype.
        kind: what the user says that it is, or None.
        rows, nulls, nans: how many there are.
        levels: the distinct keys of a category; None for more than `LEVELS`.
        texts: the first `NAMED` names, where the column may be one of identifiers.
        examples: the first values.
        reals: range and resolution of numbers with a fractional part.
        ticks: the same of integers and times.
    """

    name: str
    dtype: pl.DataType
    kind: str | None = None
    rows: int = 0
    nulls: int = 0
    nans: int = 0
    levels: pl.Series | None = field(default_factory=lambda: pl.Series([], dtype=pl.Null))
    texts: pl.Series | None = None
    examples: list[Any] = field(default_factory=list)
    reals: Reals = field(default_factory=Reals)
    ticks: Ticks = field(default_factory=Ticks)

    @classmethod
    def of(cls, values: pl.Series, kind: str | None) -> Facts:
        """Return the facts of a column that is held whole."""
        facts = cls(values.name, values.dtype, kind)
        facts.add(values)
        return facts

    def add(self, values: pl.Series) -> None:
        """Take the next rows in."""
        if self.kind == "identifier" or self.dtype == pl.String:
            self._name(values)
        if self.kind in ("categorical", "boolean") or self.dtype in WORDS:
            self._count(values)
        elif is_real(self.dtype):
            self.reals.add(values, self.rows)
        else:
            self.ticks.add(values.to_physical().drop_nulls(), self.dtype)
        if len(self.examples) < 3:
            self.examples += values.drop_nulls().head(3).to_list()
        self.rows += len(values)
        self.nulls += values.null_count()
        self.nans += int(values.is_nan().sum() or 0) if self.dtype.is_float() else 0

    @property
    def present(self) -> int:
        """The rows with a value."""
        return self.rows - self.nulls - self.nans

    def _name(self, values: pl.Series) -> None:
        """Keep the first names."""
        names = values.head(0) if self.texts is None else self.texts
        if len(names) < NAMED:
            found = values.drop_nulls()
            found = found.filter(found.cast(pl.String) != "").head(NAMED - len(names))
            names = pl.concat([names, found])
        self.texts = names

    def _count(self, values: pl.Series) -> None:
        """Keep the distinct keys."""
        if self.levels is None:
            return
        found = keys(values).unique().drop_nulls()
        levels = pl.concat([self.levels, found]).unique() if len(self.levels) else found
        self.levels = levels if len(levels) <= LEVELS else None


def is_real(dtype: pl.DataType) -> bool:
    """Tell whether a dtype holds numbers with a fractional part."""
    return dtype.is_float() or dtype.is_decimal()


def keys(values: pl.Series) -> pl.Series:
    """Return categories as text, truth values or plain numbers, NaN as null."""
    if values.dtype in (pl.String, pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if is_real(values.dtype):
        return values.cast(pl.Float64).fill_nan(None)
    return values.to_physical()


def finite(values: pl.Series, before: int = 0) -> Floats:
    """Return floats with NaN for missing; DataError for infinite ones, `before` rows on."""
    numbers = values.to_numpy().astype(np.float64)
    wrong = np.abs(numbers) > HUGE
    if wrong.any():
        row = int(wrong.argmax())
        msg = (
            f"column {values.name!r} must hold finite numbers (up to {HUGE:g}), and row "
            f"{before + row + 1} is {numbers[row]:g} ({int(wrong.sum())} such rows); drop them or "
            "make them missing"
        )
        raise DataError(msg)
    return numbers


def _on_grid(numbers: Floats, scale: float, precision: type[np.floating[Any]]) -> bool:
    """Tell whether rounding to a grid changes nothing, at the column's precision."""
    rounded = np.round(numbers * scale) / scale
    return np.array_equal(rounded.astype(precision), numbers.astype(precision))


def _units(dtype: pl.DataType) -> list[int]:
    """Return day, minute, second, ms, us and 1 in ticks: each a multiple of the next."""
    if dtype in (pl.Datetime, pl.Duration):
        second = TICKS[dtype.time_unit]  # type: ignore[attr-defined]  # both have one
    elif dtype == pl.Time:
        second = TICKS["ns"]
    else:
        return [1]
    fine = [10**k for k in (6, 3) if 10**k < second]
    return [*(second * s for s in (86_400, 60, 1)), *fine, 1]
