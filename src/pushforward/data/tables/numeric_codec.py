"""The codec of a column of numbers or times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats
from pushforward.data.tables.column_codec import ColumnCodec, ColumnKind
from pushforward.data.tables.column_summary import (
    MAX_GRID_STEPS,
    TICKS_PER_SECOND,
    ColumnSummary,
    finite_floats,
    is_real,
    numpy_float,
)
from pushforward.data.tables.common_grid import common_decimals, to_common_grid
from pushforward.data.tables.dtypes import refuse_changed
from pushforward.data.tables.number_text import NumberFormat, parse_numbers
from pushforward.data.tables.partition import (
    PLAIN_COMB,
    Partition,
    find_comb,
    partition_numbers,
)
from pushforward.data.tables.text_types import TextFormats
from pushforward.data.tables.time_text import format_times, parse_times, utc_offset
from pushforward.errors import DataError

MAX_EXACT_INTEGER = 2**53  # integers up to here are exact in float64
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
        decimals: the digits after the point of generated numbers; None for full precision.
        missing_is_nan: whether a missing value is NaN instead of null.
        time_format: the strftime format of times that are written as text, or None.
        from_text: whether the user's data frame holds text.
        number_format: how numbers are written that are not written as Python does, or None.
        has_exceptions: whether a few values have more decimals, or the noise of floats: they are
            encoded as they are, and none is generated.
    """

    kind: ClassVar[ColumnKind] = "numeric"

    origin: int = 0
    unit: int = 1
    decimals: int | None = 0
    missing_is_nan: bool = False
    time_format: str | None = None
    from_text: bool = False
    number_format: NumberFormat | None = None
    has_exceptions: bool = False

    def __post_init__(self) -> None:
        """With full precision there are no exceptions: `replace` need not say so."""
        if self.decimals is None:
            object.__setattr__(self, "has_exceptions", False)

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

    @classmethod
    def of_values(cls, values: pl.Series, text_formats: TextFormats) -> NumericCodec:
        """Return the codec of a column that is not modelled itself: it never has cells."""
        summary = ColumnSummary.of(values, "numeric")
        cells = Partition.empty(missing=summary.present < summary.rows)
        return replace(cls.without_cells(summary, text_formats), partition=cells)

    def with_cells(self, numbers: Floats, missing: bool) -> NumericCodec:
        """Return the codec with atoms and bins of the numbers of training rows.

        Where nearly all lie on a grid, so does what is generated; the others are its exceptions.
        """
        float_type, decimals = numpy_float(self.dtype), None
        if self.dtype.is_float():
            decimals = common_decimals(numbers, self.decimals, float_type)
        if decimals is None:
            return replace(self, partition=_partition(numbers, self.decimals, missing))
        cells = _partition(to_common_grid(numbers, decimals, float_type), decimals, missing)
        return replace(self, decimals=decimals, has_exceptions=True, partition=cells)

    def with_separate_values(self, numbers: Floats) -> NumericCodec:
        """Return the codec with an atom for each value that five training rows share."""
        missing = self.partition.missing is not None
        return replace(self, partition=_partition(numbers, self.decimals, missing, separate=True))

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
            if self.decimals is not None and not self.has_exceptions:
                numbers = np.round(numbers * 10.0**self.decimals) / 10.0**self.decimals
        else:
            ticks = cast.to_physical().fill_null(self.origin).to_numpy()
            numbers = ((ticks - ticks.dtype.type(self.origin)) // self.unit).astype(np.float64)
        return self.refuse_missing(np.where(missing, np.nan, numbers))

    def parse(self, values: pl.Series) -> pl.Series:
        """Return values with text, or integers that spell times, as the numbers or times it is."""
        spelled = self.time_format and not values.dtype.is_temporal()
        return self._cast(values) if spelled or values.dtype == pl.String else values

    def refuse_changed(self, values: pl.Series) -> None:
        """Raise DataError for a value that the column's type would change: 3.4 among integers."""
        refuse_changed(self._unspelled(values), self.dtype)

    def _unspelled(self, values: pl.Series) -> pl.Series:
        """Return values with text, or integers that spell times, as any numbers or times."""
        if self.time_format and not values.dtype.is_temporal():
            return parse_times(values, self.time_format)[0]
        if values.dtype == pl.String and not self.dtype.is_temporal():
            return self._numbers(values)
        return values

    def _cast(self, values: pl.Series) -> pl.Series:
        """Return values in the column's dtype, a missing one as null."""
        try:
            if self.dtype.is_integer() and values.dtype.is_float():
                values = values.fill_nan(None).round()
            cast = self._unspelled(values).cast(self.dtype)
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
        if self.number_format is not None or (self.from_text and values.dtype.is_numeric()):
            present = values.fill_nan(None) if values.dtype.is_float() else values
            return (self.number_format or NumberFormat()).format(present)
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
        exceptions = {"has_exceptions": True} if self.has_exceptions else {}
        return super().to_json() | fields | exceptions | {"number_format": number_format}


def _partition(
    numbers: Floats, decimals: int | None, missing: bool, *, separate: bool = False
) -> Partition:
    """Partition numbers as integers if they lie on a grid whose half steps are exact.

    If they all lie on a coarser comb (multiples of 5, full hours), its steps are the integers.
    """
    scale = 1.0 if decimals is None else 10.0**decimals
    largest = np.nanmax(np.abs(numbers), initial=0)
    if decimals is None or largest * scale >= MAX_GRID_STEPS:
        return partition_numbers(numbers, missing, integers=False, separate=separate)
    grid = np.round(numbers * scale)
    step, offset = find_comb(grid)
    if (step, offset) == PLAIN_COMB:
        return partition_numbers(grid, missing, integers=True, separate=separate).scaled(scale)
    cells = partition_numbers((grid - offset) / step, missing, integers=True, separate=separate)
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
