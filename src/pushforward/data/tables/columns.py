"""Codecs of columns: one for numbers and times, one for categories.

A codec encodes each value as one number, exactly: a number as itself, a time as the units since an
origin, a category as its code, a missing value as NaN. The partition (atoms and quantile bins) only
determines how a network sees that number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Mask
from pushforward.data.tables.column_summary import (
    MAX_GRID_STEPS,
    MAX_LEVELS,
    TICKS_PER_SECOND,
    ColumnSummary,
    category_keys,
    finite_floats,
    is_real,
)
from pushforward.data.tables.dtypes import dtype_from_json, dtype_to_json
from pushforward.data.tables.number_text import NumberFormat, parse_numbers
from pushforward.data.tables.partition import (
    MIN_POOLED_ROWS,
    PLAIN_COMB,
    Partition,
    count_codes,
    find_comb,
    frequent_levels,
    partition_categories,
    partition_numbers,
)
from pushforward.data.tables.text_types import TextFormats
from pushforward.data.tables.time_text import format_times, parse_times, utc_offset
from pushforward.errors import DataError, nearest

MAX_EXACT_INTEGER = 2**53  # integers up to here are exact in float64
RARE_LEVEL = "(rare)"  # what generated rows say for a category that the schema does not store

RareHandling = Literal["draw", "name", "keep"]
ColumnKind = Literal["numeric", "categorical"]


@dataclass(frozen=True, eq=False)
class ColumnCodec(ABC):
    """The codec of one modelled column.

    Args:
        name: of the column.
        dtype: its Polars dtype, which `decode` restores.
        partition: the cells of its numbers.
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

    @property
    def holds_text(self) -> bool:
        """Whether the user's data frame holds text, which is modelled as numbers or times."""
        return False

    def format_text(self, values: pl.Series) -> pl.Series:
        """Return values as they are written in a file of text."""
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
        """Return the numbers; DataError when one is missing and the column has no such cell."""
        if self.partition.missing is None and np.isnan(numbers).any():
            row = int(np.isnan(numbers).argmax()) + 1
            msg = f"column {self.name!r} must have no missing values, and row {row} has one"
            raise DataError(msg)
        return numbers


def column_from_json(data: Mapping[str, Any]) -> ColumnCodec:
    """Rebuild a codec from `to_json`."""
    shared = (data["name"], dtype_from_json(data["dtype"]), Partition.from_json(data["partition"]))
    if data["kind"] == "categorical":
        levels, drops_rare = tuple(data["levels"]), data["drops_rare"]
        return CategoricalCodec(*shared, levels=levels, drops_rare=drops_rare)
    number_format = data["number_format"] and NumberFormat.from_json(data["number_format"])
    fields = {key: data[key] for key in NUMERIC_FIELDS}
    return NumericCodec(*shared, **fields, number_format=number_format)


Level = str | int | float | bool


@dataclass(frozen=True, eq=False)
class CategoricalCodec(ColumnCodec):
    """A column of categories: text, truth values, or numbers that are names.

    Args:
        levels: the categories in the order of their codes (a time as its ticks).
        drops_rare: whether rare categories are not among the levels: in a column of text they are
            the level `RARE_LEVEL`, in any other they are missing.
    """

    kind: ClassVar[ColumnKind] = "categorical"

    levels: tuple[Level, ...] = ()
    drops_rare: bool = False

    @classmethod
    def fit(
        cls, summary: ColumnSummary, sample: pl.Series, rare: RareHandling = "draw"
    ) -> CategoricalCodec:
        """Learn the categories from all rows, and their shares from a sample of training rows.

        Rare categories, by `rare`: `"draw"`: of more than 1000 all but the 255 most frequent share
        one cell; `"name"`: those, and any with fewer than 20 rows of the sample, are dropped;
        `"keep"`: each category has a cell.
        """
        levels = _sorted_levels(summary)
        codec = cls(summary.name, summary.dtype, Partition.empty(), levels)
        counts = count_codes(codec.encode(sample), len(levels))
        frequent = frequent_levels(counts, min_rows=MIN_POOLED_ROWS if rare == "name" else 0)
        if rare == "name" and not frequent.all():
            kept = _kept_levels(levels, frequent, summary.dtype)
            codec = replace(codec, levels=kept, drops_rare=True)
            counts = count_codes(codec.encode(sample), len(codec.levels))
        separate = frequent if rare == "draw" else np.ones(len(counts), np.bool_)
        rare_is_missing = codec.drops_rare and RARE_LEVEL not in codec.levels
        missing = summary.present < summary.rows or rare_is_missing
        cells = partition_categories(counts, separate, len(sample), missing)
        return replace(codec, partition=cells)

    @property
    def pooled(self) -> Mask:
        """Which levels share their cell with others."""
        cells = self.partition.cell
        return np.bincount(cells, minlength=1)[cells] > 1

    @property
    def decimals(self) -> int | None:
        """Codes are integers."""
        return 0

    def encode(self, values: pl.Series) -> Floats:
        """Return the codes of the categories."""
        is_text = bool(self.levels) and isinstance(self.levels[0], str)
        keys = category_keys(values.cast(pl.String) if is_text else values)
        try:
            codes = _codes(keys, self.levels)
        except (pl.exceptions.PolarsError, TypeError):
            msg = f"column {self.name!r} must hold {self.dtype}, got {values.dtype}"
            raise DataError(msg) from None
        unknown = np.isnan(codes) & ~keys.is_null().to_numpy()
        if self.drops_rare and RARE_LEVEL in self.levels:
            codes[unknown] = self.levels.index(RARE_LEVEL)
        elif unknown.any() and not self.drops_rare:
            self._refuse_unknown(keys, int(unknown.argmax()))
        return self.refuse_missing(codes)

    def _refuse_unknown(self, keys: pl.Series, row: int) -> None:
        """Raise DataError for an unknown category."""
        hint = nearest(str(keys[row]), map(str, self.levels[:50]))
        msg = f"column {self.name!r}, row {row + 1}: unknown category {keys[row]!r}; {hint}"
        raise DataError(msg)

    def decode(self, numbers: Floats) -> pl.Series:
        """Return the categories of these codes."""
        missing = np.isnan(numbers)
        if not self.levels:
            return pl.Series(self.name, [None] * len(numbers), dtype=self.dtype)
        codes = pl.Series(np.where(missing, 0, numbers).round().astype(np.int64))
        codes = codes.set(pl.Series(missing), None) if missing.any() else codes
        values = pl.Series(self.name, self.levels).gather(codes)
        return values if self.dtype == pl.Boolean else values.cast(self.dtype)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return super().to_json() | {"levels": list(self.levels), "drops_rare": self.drops_rare}


def _sorted_levels(summary: ColumnSummary) -> tuple[Level, ...]:
    """Return the distinct keys of a column in ascending order, those of an Enum in its own."""
    if summary.levels is None:
        msg = (
            f"column {summary.name!r} must have at most {MAX_LEVELS} categories; if they are "
            "names, override it as identifier"
        )
        raise DataError(msg)
    own_order = isinstance(summary.dtype, pl.Enum)
    levels = (summary.levels.cast(summary.dtype) if own_order else summary.levels).sort()
    return tuple(category_keys(levels).to_list() if own_order else levels.to_list())


def _kept_levels(
    levels: tuple[Level, ...], frequent: Mask, dtype: pl.DataType
) -> tuple[Level, ...]:
    """Return the frequent levels, and in a column of text `RARE_LEVEL`."""
    kept = [level for level, stays in zip(levels, frequent, strict=True) if stays]
    names_rare = dtype in (pl.String, pl.Categorical) and RARE_LEVEL not in kept
    return (*kept, RARE_LEVEL) if names_rare else tuple(kept)


def _codes(keys: pl.Series, levels: tuple[Level, ...]) -> Floats:
    """Return the index of each key among the levels; NaN where it is null or unknown."""
    if not levels:
        return np.full(len(keys), np.nan)
    indices = list(range(len(levels)))
    codes = keys.replace_strict(list(levels), indices, default=None, return_dtype=pl.Float64)
    return codes.to_numpy().astype(np.float64)


NUMERIC_FIELDS = (
    "origin",
    "unit",
    "decimals",
    "missing_is_nan",
    "time_format",
    "from_text",
)


@dataclass(frozen=True, eq=False)
class NumericCodec(ColumnCodec):
    """A column of numbers or times.

    Args:
        origin: the integer that is encoded as 0, so that very large integers stay exact.
        unit: how many ticks of the dtype are encoded as 1, so that whole seconds stay integers.
        decimals: the digits after the point; None for full precision.
        missing_is_nan: whether a missing value is NaN instead of null.
        time_format: the strftime format of times that are written as text, or None.
        from_text: whether the user's data frame holds text.
        number_format: how numbers are written that are not written as Python does, or None.
    """

    kind: ClassVar[ColumnKind] = "numeric"

    origin: int = 0
    unit: int = 1
    decimals: int | None = 0
    missing_is_nan: bool = False
    time_format: str | None = None
    from_text: bool = False
    number_format: NumberFormat | None = None

    @classmethod
    def fit(
        cls, summary: ColumnSummary, sample: pl.Series, text_formats: TextFormats
    ) -> NumericCodec:
        """Learn resolution and range from all rows, atoms and bins from a sample of training ones.

        Integers that span more than 2^53 keep the precision of float64 (16 digits).
        """
        codec = cls.without_cells(summary, text_formats)
        return codec.with_cells(codec.encode(sample), summary.present < summary.rows)

    @classmethod
    def without_cells(cls, summary: ColumnSummary, text_formats: TextFormats) -> NumericCodec:
        """Return a codec that knows how values become numbers, but has no cells yet."""
        origin, unit, decimals = 0, 1, summary.reals.decimals(summary.dtype)
        if not is_real(summary.dtype):
            (origin, unit), decimals = _origin_and_unit(summary), 0
        return cls(
            summary.name,
            summary.dtype,
            Partition.empty(),
            origin=origin,
            unit=unit,
            decimals=decimals,
            missing_is_nan=bool(summary.nans) and not summary.nulls,
            time_format=text_formats.times.get(summary.name),
            from_text=summary.name in text_formats.held,
            number_format=text_formats.numbers.get(summary.name),
        )

    def with_cells(self, numbers: Floats, missing: bool) -> NumericCodec:
        """Return the codec with atoms and bins of the numbers of training rows."""
        return replace(self, partition=_partition(numbers, self.decimals, missing))

    @classmethod
    def of_integers(cls, name: str, numbers: Floats, *, missing: bool) -> NumericCodec:
        """Return the codec of a column of integers, by those of the training rows."""
        return cls(name, pl.Int64(), _partition(numbers, 0, missing))

    @property
    def offset_ticks(self) -> int:
        """The offset from UTC at which times in a CSV file were written, in ticks."""
        unit = getattr(self.dtype, "time_unit", None)
        seconds = utc_offset(self.time_format) if self.time_format and unit else None
        return (seconds or 0) * TICKS_PER_SECOND[unit] if unit else 0

    @property
    def holds_text(self) -> bool:
        """Whether the user's data frame holds text."""
        return self.from_text

    def encode(self, values: pl.Series) -> Floats:
        """Return the numbers of these values."""
        cast = self._cast(values)
        missing = cast.is_null().to_numpy()
        if is_real(self.dtype):
            numbers = finite_floats(cast.cast(pl.Float64))
            if self.decimals is not None:
                numbers = np.round(numbers * 10.0**self.decimals) / 10.0**self.decimals
        else:
            ticks = cast.to_physical().fill_null(self.origin).to_numpy()
            numbers = ((ticks - ticks.dtype.type(self.origin)) // self.unit).astype(np.float64)
        return self.refuse_missing(np.where(missing, np.nan, numbers))

    def _cast(self, values: pl.Series) -> pl.Series:
        """Return values in the column's dtype, a missing one as null."""
        try:
            if self.dtype.is_integer() and values.dtype.is_float():
                values = values.fill_nan(None).round()
            if self.time_format and not values.dtype.is_temporal():
                values = parse_times(values, self.time_format)[0]
            if values.dtype == pl.String and not self.dtype.is_temporal():
                values = self._numbers(values)
            cast = values.cast(self.dtype)
        except pl.exceptions.PolarsError:
            msg = f"column {self.name!r} must hold {self.dtype}, got {values.dtype} values that do"
            raise DataError(f"{msg} not fit") from None
        return cast.fill_nan(None) if self.dtype.is_float() else cast

    def _numbers(self, values: pl.Series) -> pl.Series:
        """Return text as numbers, in the column's format if they are in it."""
        spelled = None if self.number_format is None else self.number_format.parse(values)
        if spelled is not None and spelled.null_count() == values.null_count():
            return spelled
        parsed = parse_numbers(values)
        return values if parsed is None else parsed[0]

    def decode(self, numbers: Floats) -> pl.Series:
        """Return the values of these numbers."""
        missing = np.isnan(numbers)
        filled = np.where(missing, 0, numbers)
        if is_real(self.dtype):
            values = pl.Series(self.name, filled).cast(self.dtype)
        else:
            integer = np.uint64 if self.dtype == pl.UInt64 else np.int64
            largest = np.nextafter(float(np.iinfo(integer).max), 0)  # as a float the max overflows
            units = np.minimum(filled.round(), largest).astype(integer)
            ticks = units * integer(self.unit) + integer(self.origin)
            values = pl.Series(self.name, ticks).cast(self.dtype)
        fill = float("nan") if self.missing_is_nan else None
        return values.set(pl.Series(missing), fill) if missing.any() else values

    def format_text(self, values: pl.Series) -> pl.Series:
        """Return values as the user wrote them."""
        if values.dtype == pl.String:
            return values
        if self.number_format is not None:
            present = values.fill_nan(None) if values.dtype.is_float() else values
            return self.number_format.format(present)
        if not self.time_format:
            return values
        if self.offset_ticks:  # on the clock of the file
            ticks = values.to_physical() + self.offset_ticks
            values = ticks.cast(values.dtype)
        return format_times(values, self.time_format)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        number_format = self.number_format and self.number_format.to_json()
        fields = {key: getattr(self, key) for key in NUMERIC_FIELDS}
        return super().to_json() | fields | {"number_format": number_format}


def _partition(numbers: Floats, decimals: int | None, missing: bool) -> Partition:
    """Partition numbers as integers if they lie on a grid whose half steps are exact.

    If they all lie on a coarser comb (multiples of 5, full hours), its steps are the integers.
    """
    scale = 1.0 if decimals is None else 10.0**decimals
    largest = np.nanmax(np.abs(numbers), initial=0)
    if decimals is None or largest * scale >= MAX_GRID_STEPS:
        return partition_numbers(numbers, missing, integers=False)
    grid = np.round(numbers * scale)
    step, offset = find_comb(grid)
    if (step, offset) == PLAIN_COMB:
        return partition_numbers(grid, missing, integers=True).scaled(scale)
    cells = partition_numbers((grid - offset) / step, missing, integers=True)
    return cells.on_comb(step, offset).scaled(scale)


def _origin_and_unit(summary: ColumnSummary) -> tuple[int, int]:
    """Return origin and unit by which all integers or times of a column are exact, if any are."""
    low, high = summary.integers.low, summary.integers.high
    unit = summary.integers.unit(summary.dtype)
    if low is None or high is None:
        return 0, 1
    if max(abs(low), abs(high)) <= MAX_EXACT_INTEGER * unit:
        return 0, unit
    while summary.dtype.is_temporal() and high - low > MAX_EXACT_INTEGER * unit:
        unit *= 1000  # centuries of microseconds, or a year 9999 that means "never"
        low -= low % unit
    return (0, 1) if high - low > MAX_EXACT_INTEGER * unit else (low, unit)
