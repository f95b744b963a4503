"""A column's way to plain numbers and back: one codec for numbers and times, one for categories.

The number of a row says everything about its value, exactly: an amount is itself, a time counts
units since an origin, a category is its code, a missing value is NaN. The partition (atoms and
quantile bins) only says how a network sees that number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from pushforward.data import partition
from pushforward.data.frames import dtype_from_json, dtype_to_json
from pushforward.data.partition import Floats, Ints, Partition
from pushforward.data.text import Spelling, dates
from pushforward.errors import DataError, nearest

EXACT = 2**53  # integers up to here are exact in float64
GRID = 2**51  # up to here, their halves are too
HUGE = 1e150  # beyond, products of two values overflow
DECIMALS = 12  # digits after the point; a column with more has full precision
TICKS = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}  # in a second

ColumnKind = Literal["numeric", "categorical"]


@dataclass(frozen=True, eq=False)
class Column(ABC):
    """One modelled column.

    Args:
        name: its name.
        dtype: its Polars dtype, which `decode` gives back.
        partition: how its numbers fall into cells.
    """

    kind: ClassVar[ColumnKind]

    name: str
    dtype: pl.DataType
    partition: Partition

    @property
    @abstractmethod
    def decimals(self) -> int | None:
        """The digits after the point of the column's numbers; None for full precision."""

    @abstractmethod
    def encode(self, values: pl.Series) -> Floats:
        """Return the numbers of these values; DataError when they do not fit."""

    @abstractmethod
    def decode(self, numbers: Floats) -> pl.Series:
        """Return the values of these numbers."""

    def text(self, values: pl.Series) -> pl.Series:
        """Return values as they are spelled in a CSV file."""
        return values

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "dtype": dtype_to_json(self.dtype),
            "partition": self.partition.to_json(),
        }

    def refuse_missing(self, numbers: Floats) -> Floats:
        """Return the numbers; DataError when one is missing and the column knows no missing."""
        if self.partition.missing is None and np.isnan(numbers).any():
            row = int(np.isnan(numbers).argmax()) + 1
            msg = f"column {self.name!r} must have no missing values, and row {row} has one"
            raise DataError(msg)
        return numbers


def column_from_json(data: Mapping[str, Any]) -> Column:
    """Rebuild a column from `to_json`."""
    shared = (data["name"], dtype_from_json(data["dtype"]), Partition.from_json(data["partition"]))
    if data["kind"] == "categorical":
        return Category(*shared, levels=tuple(data["levels"]))
    keys = ("origin", "unit", "digits", "nan", "printed", "format")
    return Number(*shared, **{key: data[key] for key in keys})


Level = str | int | float | bool


@dataclass(frozen=True, eq=False)
class Category(Column):
    """A column of categories: text, truth values, or numbers that are names.

    Args:
        levels: the categories in the order of their codes (a time as its ticks).
    """

    kind: ClassVar[ColumnKind] = "categorical"

    levels: tuple[Level, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, train: Ints) -> Category:
        """Learn the categories from all rows, and their shares from the training rows."""
        keys = _keys(values)
        order = (
            values.unique().sort() if isinstance(values.dtype, pl.Enum) else keys.unique().sort()
        )
        levels = tuple(_keys(order).drop_nulls().to_list())
        codes = _codes(keys, levels)
        cells = partition.categories(codes[train], len(levels), bool(np.isnan(codes).any()))
        return cls(values.name, values.dtype, cells, levels)

    @property
    def decimals(self) -> int | None:
        """Codes are integers."""
        return 0

    def encode(self, values: pl.Series) -> Floats:
        """Return the codes of the categories."""
        text = bool(self.levels) and isinstance(self.levels[0], str)
        keys = _keys(values.cast(pl.String) if text else values)
        try:
            codes = _codes(keys, self.levels)
        except (pl.exceptions.PolarsError, TypeError):
            msg = f"column {self.name!r} must hold {self.dtype}, got {values.dtype}"
            raise DataError(msg) from None
        unknown = np.isnan(codes) & ~keys.is_null().to_numpy()
        if unknown.any():
            row = int(unknown.argmax())
            known = nearest(str(keys[row]), map(str, self.levels[:50]))
            msg = f"column {self.name!r}, row {row + 1}: unknown category {keys[row]!r}; {known}"
            raise DataError(msg)
        return self.refuse_missing(codes)

    def decode(self, numbers: Floats) -> pl.Series:
        """Return the categories of these codes."""
        missing = np.isnan(numbers)
        if not self.levels:
            return pl.Series(self.name, [None] * len(numbers), dtype=self.dtype)
        codes = pl.Series(np.where(missing, 0, numbers).round().astype(np.int64))
        codes = codes.set(pl.Series(missing), None) if missing.any() else codes
        keys = pl.Series(self.name, self.levels).gather(codes)
        return keys if self.dtype == pl.Boolean else keys.cast(self.dtype)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return super().to_json() | {"levels": list(self.levels)}


def _keys(values: pl.Series) -> pl.Series:
    """Return categories as text, truth values or plain numbers, NaN as null."""
    if values.dtype in (pl.String, pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if values.dtype.is_float() or values.dtype.is_decimal():
        return values.cast(pl.Float64).fill_nan(None)
    return values.to_physical()


def _codes(keys: pl.Series, levels: tuple[Level, ...]) -> Floats:
    """Return the index of each key among the levels; NaN where it is null or unknown."""
    if not levels:
        return np.full(len(keys), np.nan)
    new = list(range(len(levels)))
    codes = keys.replace_strict(list(levels), new, default=None, return_dtype=pl.Float64)
    return codes.to_numpy().astype(np.float64)


@dataclass(frozen=True, eq=False)
class Number(Column):
    """A column of numbers or times.

    Args:
        origin: the integer that counts as 0, so that very large ones stay exact.
        unit: how many ticks of the dtype make 1, so that whole seconds stay whole.
        digits: the digits after the point; None for full precision.
        nan: whether a missing value is NaN and not null.
        printed: the digits that all numbers of a CSV file were printed with, or None.
        format: how the times of a CSV file were spelled, or None.
    """

    kind: ClassVar[ColumnKind] = "numeric"

    origin: int = 0
    unit: int = 1
    digits: int | None = 0
    nan: bool = False
    printed: int | None = None
    format: str | None = None

    @classmethod
    def fit(cls, values: pl.Series, train: Ints, spelling: Spelling) -> Number:
        """Learn resolution and range from all rows, atoms and bins from the training rows."""
        name, dtype = values.name, values.dtype
        printed = spelling.decimals.get(name)
        if _is_real(dtype):
            origin, unit, digits = 0, 1, _digits(values, printed)
        else:
            (origin, unit), digits = _scale(values), 0
        nothing = Partition.from_json(EMPTY)
        nan = dtype.is_float() and not values.null_count() and bool(values.is_nan().any())
        rest = (origin, unit, digits, nan, printed, spelling.formats.get(name))
        numbers = cls(name, dtype, nothing, *rest).encode(values)
        cells = _cells(numbers[train], digits, bool(np.isnan(numbers).any()))
        return cls(name, dtype, cells, *rest)

    @property
    def decimals(self) -> int | None:
        """The digits after the point."""
        return self.digits

    def encode(self, values: pl.Series) -> Floats:
        """Return the numbers of these values."""
        fitting = self._cast(values)
        missing = fitting.is_null().to_numpy()
        if _is_real(self.dtype):
            numbers = _finite(fitting.cast(pl.Float64))
            if self.digits is not None:
                numbers = np.round(numbers * 10.0**self.digits) / 10.0**self.digits
        else:
            ticks = fitting.to_physical().fill_null(self.origin).to_numpy()
            numbers = ((ticks - ticks.dtype.type(self.origin)) // self.unit).astype(np.float64)
        return self.refuse_missing(np.where(missing, np.nan, numbers))

    def _cast(self, values: pl.Series) -> pl.Series:
        """Return values in the column's dtype, a missing one as null."""
        try:
            if self.dtype.is_integer() and values.dtype.is_float():
                values = values.fill_nan(None).round()
            if self.format and values.dtype == pl.String:
                values = dates(values)[0]
            fitting = values.cast(self.dtype)
        except pl.exceptions.PolarsError:
            msg = f"column {self.name!r} must hold {self.dtype}, got {values.dtype} that is not"
            raise DataError(msg) from None
        return fitting.fill_nan(None) if self.dtype.is_float() else fitting

    def decode(self, numbers: Floats) -> pl.Series:
        """Return the values of these numbers."""
        missing = np.isnan(numbers)
        filled = np.where(missing, 0, numbers)
        if _is_real(self.dtype):
            values = pl.Series(self.name, filled).cast(self.dtype)
        else:
            wide = np.uint64 if self.dtype == pl.UInt64 else np.int64
            ticks = filled.round().astype(wide) * wide(self.unit) + wide(self.origin)
            values = pl.Series(self.name, ticks).cast(self.dtype)
        gone = float("nan") if self.nan else None
        return values.set(pl.Series(missing), gone) if missing.any() else values

    def text(self, values: pl.Series) -> pl.Series:
        """Return values as they were spelled: so many digits, such a date."""
        if self.printed and values.dtype.is_float():
            return values.cast(pl.Decimal(38, self.printed)).cast(pl.String)
        return values.dt.strftime(self.format) if self.format else values

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        keys = ("origin", "unit", "digits", "nan", "printed", "format")
        return super().to_json() | {key: getattr(self, key) for key in keys}


EMPTY = {"bounds": [0.0], "cell": [], "mass": [], "atom": [], "extent": [0.0, 0.0], "missing": 1.0}


def _is_real(dtype: pl.DataType) -> bool:
    """Tell whether a dtype holds numbers with a fractional part."""
    return dtype.is_float() or dtype.is_decimal()


def _cells(numbers: Floats, digits: int | None, missing: bool) -> Partition:
    """Partition numbers on their grid, where they have one and halves of its steps are exact."""
    scale = 1.0 if digits is None else 10.0**digits
    whole = digits is not None and np.nanmax(np.abs(numbers), initial=0) * scale < GRID
    if not whole:
        return partition.numbers(numbers, missing, whole=False)
    return partition.numbers(np.round(numbers * scale), missing, whole=True).scaled(scale)


def _finite(values: pl.Series) -> Floats:
    """Return floats with NaN for missing; DataError for infinite ones."""
    numbers = values.to_numpy().astype(np.float64)
    wrong = np.abs(numbers) > HUGE
    if wrong.any():
        row = int(wrong.argmax())
        msg = (
            f"column {values.name!r} must hold finite numbers (up to {HUGE:g}), and row {row + 1} "
            f"is {numbers[row]:g} ({int(wrong.sum())} such rows); drop them or make them missing"
        )
        raise DataError(msg)
    return numbers


def _digits(values: pl.Series, printed: int | None) -> int | None:
    """Return the number of decimals that all values have, or None."""
    if isinstance(values.dtype, pl.Decimal):
        return values.dtype.scale
    precision = np.float32 if values.dtype == pl.Float32 else np.float64
    numbers = _finite(values.fill_nan(None).drop_nulls().cast(pl.Float64))
    largest = np.abs(numbers).max(initial=0)
    for digits in range(DECIMALS + 1):
        scale = 10.0**digits
        if largest * scale >= GRID:
            return None
        if all(_on_grid(part, scale, precision) for part in (numbers[:1000], numbers)):
            return max(digits, printed or 0)
    return None


def _on_grid(numbers: Floats, scale: float, precision: type[np.floating[Any]]) -> bool:
    """Tell whether rounding to a grid changes nothing, at the column's precision."""
    rounded = np.round(numbers * scale) / scale
    return np.array_equal(rounded.astype(precision), numbers.astype(precision))


def _scale(values: pl.Series) -> tuple[int, int]:
    """Return origin and unit that make all integers or times of a column exact."""
    ticks = values.to_physical().drop_nulls()
    if not len(ticks):
        return 0, 1
    low, high = int(ticks.min()), int(ticks.max())  # type: ignore[arg-type]  # not empty
    unit = _unit(values.dtype, ticks)
    if max(abs(low), abs(high)) <= EXACT * unit:
        return 0, unit
    while values.dtype.is_temporal() and high - low > EXACT * unit:
        unit *= 1000  # centuries of microseconds, or a year 9999 that means "never"
        low -= low % unit
    if high - low > EXACT * unit:
        msg = (
            f"column {values.name!r} spans {high - low}, and numbers are exact up to 2^53; "
            "if they are names, override it as categorical or identifier"
        )
        raise DataError(msg)
    return low, unit


def _unit(dtype: pl.DataType, ticks: pl.Series) -> int:
    """Return the coarsest of day, minute, second, ms, us in which all times are whole."""
    if dtype in (pl.Datetime, pl.Duration):
        second = TICKS[dtype.time_unit]  # type: ignore[attr-defined]  # both have one
    elif dtype == pl.Time:
        second = TICKS["ns"]
    else:
        return 1
    coarse = [second * s for s in (86_400, 60, 1)] + [10**k for k in (6, 3) if 10**k < second]
    return next((unit for unit in coarse if (ticks % unit == 0).all()), 1)
