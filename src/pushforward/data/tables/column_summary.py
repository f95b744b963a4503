"""What all rows say about a column, gathered in batches: the table need not fit in memory.

A summary holds what exists: the levels of a category, the range and the resolution of a number,
missing values, the first texts. How often each value occurs is learned from training rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from pushforward.data.numeric import MAX_MAGNITUDE, Floats, Mask
from pushforward.errors import DataError

MAX_GRID_STEPS = 2**51  # integers up to here are exact in float64, and so are their halves
MAX_DECIMALS = 12  # a column with more has full precision
MAX_LEVELS = 1_000_000
MAX_PATTERN_TEXTS = 10_000  # texts from which the pattern of identifiers is learned
TICKS_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
CATEGORICAL_DTYPES = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)


@dataclass
class RealSummary:
    """Range and resolution of numbers with a fractional part.

    Args:
        low, high: the range; empty as long as there is no number.
        digits: the fewest decimals that all numbers have; `MAX_DECIMALS` + 1 for full precision.
    """

    low: float = math.inf
    high: float = -math.inf
    digits: int = 0

    def add(self, values: pl.Series, rows_before: int) -> None:
        """Add the next values, which `rows_before` rows precede; DataError for infinite ones."""
        numbers = finite_floats(values.cast(pl.Float64), rows_before)
        numbers = numbers[~np.isnan(numbers)]
        self.low = float(numbers.min(initial=self.low))
        self.high = float(numbers.max(initial=self.high))
        if isinstance(values.dtype, pl.Decimal):
            self.digits = values.dtype.scale
            return
        float_type = numpy_float(values.dtype)
        largest = max(-self.low, self.high)
        while self.digits <= MAX_DECIMALS:
            scale = 10.0**self.digits
            if largest * scale >= MAX_GRID_STEPS:
                self.digits = MAX_DECIMALS + 1
            elif all(on_grid(some, scale, float_type).all() for some in (numbers[:1000], numbers)):
                break
            else:
                self.digits += 1

    def decimals(self, dtype: pl.DataType) -> int | None:
        """Return the number of decimals that all values have, or None for full precision.

        It counts what the values need, not what was printed: `1721.0` has none.
        """
        return self.digits if dtype.is_decimal() or self.digits <= MAX_DECIMALS else None


@dataclass
class IntegerSummary:
    """Range and resolution of integers and times.

    A time is counted in ticks, the integers that Polars stores for its dtype.

    Args:
        low, high: the range; None as long as there is no value.
        unit_index: the position, among `grid_units`, of the coarsest unit that divides all ticks.
    """

    low: int | None = None
    high: int | None = None
    unit_index: int = 0

    def add(self, ticks: pl.Series, dtype: pl.DataType) -> None:
        """Add the next ticks, none of them missing."""
        if not len(ticks):
            return
        low, high = int(ticks.min()), int(ticks.max())  # type: ignore[arg-type]  # not empty
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        units = grid_units(dtype)
        while units[self.unit_index] > 1 and (ticks % units[self.unit_index] != 0).any():
            self.unit_index += 1

    def unit(self, dtype: pl.DataType) -> int:
        """Return the coarsest unit, in ticks, that divides all of them; 1 for integers."""
        return grid_units(dtype)[self.unit_index]


@dataclass
class ColumnSummary:
    """What all rows say about one column.

    Args:
        name: of the column.
        dtype: its Polars dtype.
        kind: the kind that the user states, or None.
        rows, nulls, nans: how many there are.
        levels: the distinct keys of a category; None for more than `MAX_LEVELS`.
        texts: the first `MAX_PATTERN_TEXTS` texts, if the column may hold identifiers.
        examples: the first values.
        reals: range and resolution of numbers with a fractional part.
        integers: range and resolution of integers and times.
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
    reals: RealSummary = field(default_factory=RealSummary)
    integers: IntegerSummary = field(default_factory=IntegerSummary)

    @classmethod
    def of(cls, values: pl.Series, kind: str | None) -> ColumnSummary:
        """Return the summary of a column in memory."""
        summary = cls(values.name, values.dtype, kind)
        summary.add(values)
        return summary

    def add(self, values: pl.Series) -> None:
        """Add the next rows."""
        if self.kind == "identifier" or self.dtype == pl.String or self.dtype.is_integer():
            self._add_texts(values)
        if self.kind in ("categorical", "boolean") or self.dtype in CATEGORICAL_DTYPES:
            self._add_levels(values)
        elif is_real(self.dtype):
            self.reals.add(values, self.rows)
        else:
            self.integers.add(values.to_physical().drop_nulls(), self.dtype)
        if len(self.examples) < 3:
            self.examples += values.drop_nulls().head(3).to_list()
        self.rows += len(values)
        self.nulls += values.null_count()
        self.nans += int(values.is_nan().sum() or 0) if self.dtype.is_float() else 0

    @property
    def present(self) -> int:
        """The number of rows with a value."""
        return self.rows - self.nulls - self.nans

    def _add_texts(self, values: pl.Series) -> None:
        """Keep the first texts."""
        texts = values.head(0) if self.texts is None else self.texts
        if len(texts) < MAX_PATTERN_TEXTS:
            present = values.drop_nulls().head(MAX_PATTERN_TEXTS - len(texts))
            texts = pl.concat([texts, present.filter(present.cast(pl.String) != "")])
        self.texts = texts

    def _add_levels(self, values: pl.Series) -> None:
        """Keep the distinct keys."""
        if self.levels is None:
            return
        fresh = category_keys(values).unique().drop_nulls()
        levels = pl.concat([self.levels, fresh]).unique() if len(self.levels) else fresh
        self.levels = levels if len(levels) <= MAX_LEVELS else None


def numpy_float(dtype: pl.DataType) -> type[np.floating[Any]]:
    """Return NumPy's type of the floats of a column; float64 for other numbers."""
    narrow: dict[str, type[np.floating[Any]]] = {"Float16": np.float16, "Float32": np.float32}
    return narrow.get(str(dtype), np.float64)


def is_real(dtype: pl.DataType) -> bool:
    """Whether a dtype holds numbers with a fractional part."""
    return dtype.is_float() or dtype.is_decimal()


def category_keys(values: pl.Series) -> pl.Series:
    """Return categories as text, truth values or plain numbers, NaN as null."""
    if values.dtype in (pl.String, pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if is_real(values.dtype):
        return values.cast(pl.Float64).fill_nan(None)
    return values.to_physical()


def finite_floats(values: pl.Series, rows_before: int = 0) -> Floats:
    """Return floats with NaN for missing values; DataError, which names a row, for infinite ones.

    `rows_before` rows of the table precede these values.
    """
    numbers = values.to_numpy().astype(np.float64)
    wrong = np.abs(numbers) > MAX_MAGNITUDE
    if wrong.any():
        row = int(wrong.argmax())
        msg = (
            f"column {values.name!r} must hold finite numbers (up to {MAX_MAGNITUDE:g}), and row "
            f"{rows_before + row + 1} is {numbers[row]:g} ({int(wrong.sum())} such rows); drop "
            "them or make them missing"
        )
        raise DataError(msg)
    return numbers


def on_grid(numbers: Floats, scale: float, float_type: type[np.floating[Any]]) -> Mask:
    """Return for which numbers rounding to multiples of 1 / scale changes nothing, in that type."""
    rounded = np.round(numbers * scale) / scale
    same: Mask = rounded.astype(float_type) == numbers.astype(float_type)
    return same


def grid_units(dtype: pl.DataType) -> list[int]:
    """Return day, minute, second, ms, us and 1 in ticks: each a multiple of the next."""
    if dtype in (pl.Datetime, pl.Duration):
        second = TICKS_PER_SECOND[dtype.time_unit]  # type: ignore[attr-defined]  # both have one
    elif dtype == pl.Time:
        second = TICKS_PER_SECOND["ns"]
    else:
        return [1]
    fine = [10**k for k in (6, 3) if 10**k < second]
    return [*(second * s for s in (86_400, 60, 1)), *fine, 1]
