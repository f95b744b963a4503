"""A column's way to plain numbers and back: one codec for numbers and times, one for categories.

The number of a row says everything about its value, exactly: an amount is itself, a time counts
units since an origin, a category is its code, a missing value is NaN. The partition (atoms and
quantile bins) only says how a network sees that number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from pushforward.data.tables import partition
from pushforward.data.tables.column_summary import GRID, LEVELS, Facts, finite, is_real, keys
from pushforward.data.tables.frames import dtype_from_json, dtype_to_json
from pushforward.data.tables.partition import Floats, Mask, Partition
from pushforward.data.tables.text import Spelling, dates
from pushforward.errors import DataError, nearest

EXACT = 2**53  # integers up to here are exact in float64
RARE = "(rare)"  # how a generated row names a value that the schema does not

Rare = Literal["draw", "name", "keep"]
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
        return Category(*shared, levels=tuple(data["levels"]), nameless=data["nameless"])
    own = ("origin", "unit", "digits", "nan", "printed", "format")
    return Number(*shared, **{key: data[key] for key in own})


Level = str | int | float | bool


@dataclass(frozen=True, eq=False)
class Category(Column):
    """A column of categories: text, truth values, or numbers that are names.

    Args:
        levels: the categories in the order of their codes (a time as its ticks).
        nameless: whether rare values were left out of them: those are the level `RARE` in a column
            of text, missing in any other.
    """

    kind: ClassVar[ColumnKind] = "categorical"

    levels: tuple[Level, ...] = ()
    nameless: bool = False

    @classmethod
    def fit(cls, facts: Facts, sample: pl.Series, rare: Rare = "draw") -> Category:
        """Learn the categories from all rows, and their shares from a sample of training rows.

        `rare` says what becomes of rare values: `"draw"`, of more than 1000 categories all but the
        255 most frequent share one cell; `"name"`, those and any that fewer than 20 of the sample's
        rows have are left out; `"keep"`, each category has a cell.
        """
        levels = _sorted_levels(facts)
        known = cls(facts.name, facts.dtype, Partition.from_json(partition.EMPTY), levels)
        counts = partition.counted(known.encode(sample), len(levels))
        frequent = partition.frequent(counts, least=partition.POOL if rare == "name" else 0)
        if rare == "name" and not frequent.all():
            known = replace(known, levels=_kept(levels, frequent, facts.dtype), nameless=True)
            counts = partition.counted(known.encode(sample), len(known.levels))
        apart = frequent if rare == "draw" else np.ones(len(counts), np.bool_)
        missing = facts.present < facts.rows or (known.nameless and RARE not in known.levels)
        return replace(known, partition=partition.categories(counts, apart, len(sample), missing))

    @property
    def rare(self) -> Mask:
        """Which levels have no cell of their own."""
        cells = self.partition.cell
        return np.bincount(cells, minlength=1)[cells] > 1

    @property
    def decimals(self) -> int | None:
        """Codes are integers."""
        return 0

    def encode(self, values: pl.Series) -> Floats:
        """Return the codes of the categories."""
        text = bool(self.levels) and isinstance(self.levels[0], str)
        found = keys(values.cast(pl.String) if text else values)
        try:
            codes = _codes(found, self.levels)
        except (pl.exceptions.PolarsError, TypeError):
            msg = f"column {self.name!r} must hold {self.dtype}, got {values.dtype}"
            raise DataError(msg) from None
        unknown = np.isnan(codes) & ~found.is_null().to_numpy()
        if self.nameless and RARE in self.levels:
            codes[unknown] = self.levels.index(RARE)
        elif unknown.any() and not self.nameless:
            self._refuse(found, int(unknown.argmax()))
        return self.refuse_missing(codes)

    def _refuse(self, found: pl.Series, row: int) -> None:
        """Raise DataError for a category that is not known."""
        known = nearest(str(found[row]), map(str, self.levels[:50]))
        msg = f"column {self.name!r}, row {row + 1}: unknown category {found[row]!r}; {known}"
        raise DataError(msg)

    def decode(self, numbers: Floats) -> pl.Series:
        """Return the categories of these codes."""
        missing = np.isnan(numbers)
        if not self.levels:
            return pl.Series(self.name, [None] * len(numbers), dtype=self.dtype)
        codes = pl.Series(np.where(missing, 0, numbers).round().astype(np.int64))
        codes = codes.set(pl.Series(missing), None) if missing.any() else codes
        found = pl.Series(self.name, self.levels).gather(codes)
        return found if self.dtype == pl.Boolean else found.cast(self.dtype)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return super().to_json() | {"levels": list(self.levels), "nameless": self.nameless}


def _sorted_levels(facts: Facts) -> tuple[Level, ...]:
    """Return the distinct keys of a column in ascending order, those of an Enum in its own."""
    if facts.levels is None:
        msg = (
            f"column {facts.name!r} must have at most {LEVELS} categories; if they are names, "
            "override it as identifier"
        )
        raise DataError(msg)
    own_order = isinstance(facts.dtype, pl.Enum)
    order = facts.levels.cast(facts.dtype) if own_order else facts.levels
    return tuple(keys(order.sort()).to_list() if own_order else order.sort().to_list())


def _kept(levels: tuple[Level, ...], frequent: Mask, dtype: pl.DataType) -> tuple[Level, ...]:
    """Return the frequent levels, and the one that stands for the others where there can be one."""
    found = [level for level, stays in zip(levels, frequent, strict=True) if stays]
    named = dtype in (pl.String, pl.Categorical) and RARE not in found
    return (*found, RARE) if named else tuple(found)


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
    def fit(cls, facts: Facts, sample: pl.Series, spelling: Spelling) -> Number:
        """Learn resolution and range from all rows, atoms and bins from a sample of training ones.

        Integers that span more than 2^53 keep the precision of float64 (16 digits).
        """
        name, dtype = facts.name, facts.dtype
        printed = spelling.decimals.get(name)
        origin, unit, digits = 0, 1, facts.reals.decimals(dtype, printed)
        if not is_real(dtype):
            (origin, unit), digits = _scale(facts), 0
        nan = bool(facts.nans) and not facts.nulls
        rest = (origin, unit, digits, nan, printed, spelling.formats.get(name))
        nothing = Partition.from_json(partition.EMPTY)
        numbers = cls(name, dtype, nothing, *rest).encode(sample)
        cells = _cells(numbers, digits, facts.present < facts.rows)
        return cls(name, dtype, cells, *rest)

    @property
    def decimals(self) -> int | None:
        """The digits after the point."""
        return self.digits

    def encode(self, values: pl.Series) -> Floats:
        """Return the numbers of these values."""
        fitting = self._cast(values)
        missing = fitting.is_null().to_numpy()
        if is_real(self.dtype):
            numbers = finite(fitting.cast(pl.Float64))
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
            if self.format and not values.dtype.is_temporal():
                values = dates(values, self.format)[0]
            fitting = values.cast(self.dtype)
        except pl.exceptions.PolarsError:
            msg = f"column {self.name!r} must hold {self.dtype}, got {values.dtype} that is not"
            raise DataError(msg) from None
        return fitting.fill_nan(None) if self.dtype.is_float() else fitting

    def decode(self, numbers: Floats) -> pl.Series:
        """Return the values of these numbers."""
        missing = np.isnan(numbers)
        filled = np.where(missing, 0, numbers)
        if is_real(self.dtype):
            values = pl.Series(self.name, filled).cast(self.dtype)
        else:
            wide = np.uint64 if self.dtype == pl.UInt64 else np.int64
            top = np.nextafter(float(np.iinfo(wide).max), 0)  # as a float, the maximum is too much
            whole = np.minimum(filled.round(), top).astype(wide)
            ticks = whole * wide(self.unit) + wide(self.origin)
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
        own = ("origin", "unit", "digits", "nan", "printed", "format")
        return super().to_json() | {key: getattr(self, key) for key in own}


def _cells(numbers: Floats, digits: int | None, missing: bool) -> Partition:
    """Partition numbers on their grid, where they have one and halves of its steps are exact."""
    scale = 1.0 if digits is None else 10.0**digits
    whole = digits is not None and np.nanmax(np.abs(numbers), initial=0) * scale < GRID
    if not whole:
        return partition.numbers(numbers, missing, whole=False)
    return partition.numbers(np.round(numbers * scale), missing, whole=True).scaled(scale)


def _scale(facts: Facts) -> tuple[int, int]:
    """Return origin and unit that make all integers or times of a column exact, if any do."""
    low, high, unit = facts.ticks.low, facts.ticks.high, facts.ticks.unit(facts.dtype)
    if low is None or high is None:
        return 0, 1
    if max(abs(low), abs(high)) <= EXACT * unit:
        return 0, unit
    while facts.dtype.is_temporal() and high - low > EXACT * unit:
        unit *= 1000  # centuries of microseconds, or a year 9999 that means "never"
        low -= low % unit
    return (0, 1) if high - low > EXACT * unit else (low, unit)
