"""The allowed values of a column: values, ranges, missing values as intervals of its numbers."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.numeric import Floats, Mask
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.column_summary import numpy_float
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.errors import DataError, nearest

Interval = tuple[float, float]  # closed
Bound = Fraction | float
Range = tuple[Any, Any]  # two closed ends of the user's values, None for an open one
GRID_TOLERANCE = 1e-9  # relative: how far from a multiple of its column's step a decimal may be
SCALAR_TYPES = (str, bytes, int, float, bool, dt.date, dt.time, dt.timedelta)


@dataclass(frozen=True, eq=False)
class IntervalSet:
    """The allowed numbers of one column.

    Args:
        low, high: the ends of closed intervals, sorted and disjoint.
        missing: whether missing values are allowed.
    """

    low: Floats
    high: Floats
    missing: bool

    def contains(self, numbers: Floats) -> Mask:
        """Return which numbers are in an interval."""
        index = np.searchsorted(self.low, numbers, side="right") - 1
        inside: Mask = (index >= 0) & (numbers <= np.append(self.high, -np.inf)[index])
        return inside

    def allows(self, numbers: Tensor) -> Tensor:
        """Return which numbers are allowed; NaN is a missing value."""
        is_missing = numbers.isnan()
        inside = self.contains(numbers.nan_to_num(0.0).cpu().numpy())
        allowed = torch.from_numpy(inside).to(numbers.device) & ~is_missing
        return allowed | is_missing if self.missing else allowed


def allowed_intervals(column: ColumnCodec, values: Any) -> IntervalSet:
    """Return the allowed numbers of a column.

    Args:
        column: its codec.
        values: a value; None, NaN or NA for a missing one; a list, set or array of values; for
            numbers and times also a `range` (of integers, without its end), a slice or a tuple
            (low, high), both ends included, None or infinity for no bound.

    Raises:
        DataError: no value is given, a range is empty or outside the column's range, a category is
            unknown, or a value has another type.
    """
    intervals: list[Interval] = []
    missing = False
    for item in _alternatives(column, values):
        if _is_missing(item):
            _refuse_without_missing(column)
            missing = True
        elif isinstance(item, range | slice | tuple):
            intervals += _range_intervals(column, item)
        else:
            intervals += _value_intervals(column, item)
    if not intervals and not missing:
        msg = f"where: no value is given for column {column.name!r} (an empty list or range)"
        raise DataError(f"{msg}; give at least one of {describe_values(column)}")
    return _merge(intervals, missing)


def describe_values(column: ColumnCodec) -> str:
    """Return the values of a column as a phrase of an error message."""
    if isinstance(column, CategoricalCodec):
        names = [str(level) for level in column.levels]
        return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    if not len(column.partition.cell):
        return f"values of type {column.dtype}"
    low, high = column.decode(np.array(column.partition.extent)).to_list()
    return f"{low} .. {high}"


def _alternatives(column: ColumnCodec, values: Any) -> Iterator[Any]:
    """Yield the alternatives one by one. In a column of text a tuple is a list of alternatives."""
    if isinstance(values, tuple) and (len(values) != 2 or not _has_order(column)):
        values = list(values)
    if isinstance(values, range | slice | tuple) or _is_scalar(values):
        yield values
        return
    for value in values:
        yield from _alternatives(column, value)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, SCALAR_TYPES) or not isinstance(value, Iterable)


def _has_order(column: ColumnCodec) -> bool:
    """Whether a column has ranges: numbers and times do, text and truth values do not."""
    is_numeric = column.dtype.is_numeric() or column.dtype.is_temporal()
    return isinstance(column, NumericCodec) or is_numeric


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return bool(isinstance(value, float | np.generic) and value != value)  # noqa: PLR0124 - NaN


def _refuse_without_missing(column: ColumnCodec) -> None:
    if column.partition.missing is None:
        msg = f"where: column {column.name!r} had no missing values, so none is generated"
        raise DataError(msg)


# --- values


def _value_intervals(column: ColumnCodec, value: Any) -> list[Interval]:
    """Return the numbers that are decoded to a single value."""
    if isinstance(column, CategoricalCodec):
        code = _code(column, value)
        return [(code, code)]
    number = _number(column, value)
    return [_closed_interval(column, number, number, f"{value!r}")]


def _code(column: CategoricalCodec, value: Any) -> float:
    """Return the code of a category, which is given as itself or as its text."""
    key = _ticks(column, value) if column.dtype.is_temporal() else value
    if key in column.levels:
        return float(column.levels.index(key))
    is_flag = column.dtype == pl.Boolean  # True may be written as true
    texts = [str(level).lower() if is_flag else str(level) for level in column.levels]
    text = str(key).lower() if is_flag else str(key)
    if text in texts:
        return float(texts.index(text))
    msg = f"where: column {column.name!r} has no category {value!r}"
    raise DataError(f"{msg}; {nearest(str(value), texts[:200])}")


# --- ranges


def _range_intervals(column: ColumnCodec, values: range | slice | Range) -> list[Interval]:
    """Return the numbers within a range."""
    if not _has_order(column):
        msg = f"where: column {column.name!r} has no order; give a list of values, got {values!r}"
        raise DataError(msg)
    if isinstance(values, range):
        return _integer_intervals(column, values)
    if isinstance(values, slice) and values.step is not None:
        raise DataError(f"where: column {column.name!r}: a slice must have two ends and no step")
    low, high = (values.start, values.stop) if isinstance(values, slice) else values
    lowest, highest = _end(column, low, -math.inf), _end(column, high, math.inf)
    if lowest > highest:
        msg = f"where: column {column.name!r}: low must not be above high, got {low!r} and {high!r}"
        raise DataError(msg)
    return [_closed_interval(column, lowest, highest, f"from {low!r} to {high!r}")]


def _end(column: ColumnCodec, bound: Any, endless: float) -> Bound:
    """Return an end of a range: None, and infinity on its own side, leave it open."""
    if bound is None or _is_number(bound, endless):
        return endless
    if _is_missing(bound):
        msg = f"where: column {column.name!r}: an end of a range must be a value, got {bound!r}"
        raise DataError(f"{msg}; give None for an open end")
    return _number(column, bound)


def _is_number(value: Any, number: float) -> bool:
    """Whether a value, maybe as text, is this number."""
    try:
        return float(value) == number
    except (TypeError, ValueError, OverflowError):
        return False


def _integer_intervals(column: ColumnCodec, integers: range) -> list[Interval]:
    """Return the integers of a range; as one interval if the column has no other numbers."""
    if not integers or column.dtype.is_temporal():
        msg = f"where: column {column.name!r}: {integers!r} holds no value of type {column.dtype}"
        raise DataError(msg)
    low, high = min(integers[0], integers[-1]), max(integers[0], integers[-1])
    if isinstance(column, CategoricalCodec):
        codes = [i for i, level in enumerate(column.levels) if level in integers]
        return [(float(i), float(i)) for i in codes] or _range_intervals(column, (low, high))
    if abs(integers.step) == 1 and column.decimals == 0:
        return _range_intervals(column, (low, high))
    inside = _clip_range(integers, *(end + _origin(column) for end in _extent(column)))
    if not inside:
        raise _out_of_range(column, repr(integers))
    return [interval for value in inside for interval in _value_intervals(column, value)]


def _clip_range(integers: range, low: float, high: float) -> range:
    """Return the part of a range that lies within [low, high]."""
    ascending = integers if integers.step > 0 else integers[::-1]
    start = max(0.0, (low - ascending.start) / ascending.step)
    stop = min(float(len(ascending)), (high - ascending.start) / ascending.step + 1)
    return ascending[math.ceil(start) : max(0, math.floor(stop))]


def _closed_interval(column: ColumnCodec, low: Bound, high: Bound, described: str) -> Interval:
    """Return the interval of the numbers that are decoded to values from low to high.

    On a grid (integers, decimals) each value owns half a step on either side. A bound beyond the
    column's range becomes infinite. DataError, which quotes `described`, when no value of the
    column lies between the bounds.
    """
    if isinstance(column, CategoricalCodec):
        codes = [i for i, level in enumerate(column.levels) if low <= float(level) <= high]
        if not codes:
            raise _out_of_range(column, described)
        return float(codes[0]), float(codes[-1])
    first, last = _extent(column)
    if low > last or high < first:
        raise _out_of_range(column, described)
    below, above = _grid_borders(column, low, high)
    if below > above or (below == above and column.decimals is not None):
        msg = f"where: column {column.name!r} takes no values {described}: its values lie below"
        raise DataError(f"{msg} and above")
    return (-math.inf if low <= first else below), (math.inf if high >= last else above)


def _grid_borders(column: ColumnCodec, low: Bound, high: Bound) -> Interval:
    """Return low and high, moved to the borders between values of the column's grid."""
    if column.decimals is None:
        lowest = _inner_float(low, np.inf, column.dtype)
        return lowest, _inner_float(high, -np.inf, column.dtype)
    scale, (step, offset) = 10**column.decimals, column.partition.comb
    first, last = (
        _inner_step(bound, scale, step, offset, up=up) for bound, up in ((low, True), (high, False))
    )
    return ((first - 0.5) * step + offset) / scale, ((last + 0.5) * step + offset) / scale


def _inner_step(bound: Bound, scale: int, step: int, offset: int, *, up: bool) -> float:
    """Return the first step of the comb that is not below a bound, or the last not above it."""
    steps = (bound * scale - offset) / step
    if steps in (math.inf, -math.inf):
        return float(steps)
    slack = GRID_TOLERANCE * max(1.0, abs(steps)) if isinstance(steps, float) else 0
    return float(math.ceil(steps - slack) if up else math.floor(steps + slack))


def _inner_float(bound: Bound, inwards: float, dtype: pl.DataType) -> float:
    """Return a bound as a float: the first of the column's type inside of it."""
    exact, narrow = float(bound), numpy_float(dtype)
    if narrow is np.float64 or not math.isfinite(exact):
        return exact
    rounded = narrow(exact)
    outside = rounded < exact if inwards > 0 else rounded > exact
    return float(np.nextafter(rounded, narrow(inwards)) if outside else rounded)


def _out_of_range(column: ColumnCodec, described: str) -> DataError:
    msg = f"where: column {column.name!r} never had a value {described}"
    return DataError(f"{msg}; it has {describe_values(column)}")


def _merge(intervals: list[Interval], missing: bool) -> IntervalSet:
    """Return intervals in ascending order, with overlapping ones merged."""
    merged: list[list[float]] = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    ends = np.array(merged, np.float64).reshape(-1, 2)
    return IntervalSet(ends[:, 0], ends[:, 1], missing)


# --- numbers


def _extent(column: ColumnCodec) -> Interval:
    """Return the smallest and the largest number of a column; infinite without a partition."""
    p = column.partition
    return p.extent if len(p.cell) else (-math.inf, math.inf)


def _origin(column: ColumnCodec) -> int:
    return column.origin if isinstance(column, NumericCodec) else 0


def _number(column: ColumnCodec, value: Any) -> Bound:
    """Return the number of a value; as an exact fraction if the column holds integers or times."""
    if column.dtype.is_temporal():
        ticks = Fraction(_ticks(column, value))
    elif isinstance(value, dt.date | dt.time | dt.timedelta):
        raise _wrong_type(column, value)
    else:
        ticks = _fraction(column, value)
    is_real = column.dtype.is_float() or column.dtype.is_decimal()
    if not isinstance(column, NumericCodec) or is_real:
        return float(ticks)
    return (ticks - column.origin) / column.unit


def _fraction(column: ColumnCodec, value: Any) -> Fraction:
    """Return a number that is given as a number or as text."""
    plain = value.item() if isinstance(value, np.generic) else value
    try:
        return Fraction(plain)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        raise _wrong_type(column, value) from None


def _ticks(column: ColumnCodec, value: Any) -> int:
    """Return a time as the integer that Polars stores for the column's dtype; text by ISO 8601."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        value = value.astype(f"{'Mm'[isinstance(value, np.timedelta64)]}8[us]").item()
    try:
        series = _parse_time(column, value) if isinstance(value, str) else pl.Series([value])
        zone, offset = getattr(column.dtype, "time_zone", None), 0
        if zone and getattr(series.dtype, "time_zone", None) is None:
            series = series.cast(pl.Datetime("us")).dt.replace_time_zone(zone)
            offset = column.offset_ticks if isinstance(column, NumericCodec) else 0
        if not series.dtype.is_temporal():
            raise _wrong_type(column, value)
        return int(series.cast(column.dtype).to_physical()[0]) - offset
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        raise _wrong_type(column, value) from None


def _parse_time(column: ColumnCodec, text: str) -> pl.Series:
    """Return the time that a text spells, in the column's format or by ISO 8601."""
    series = pl.Series([text])
    date_format = column.time_format if isinstance(column, NumericCodec) else None
    if date_format and column.dtype == pl.Date:
        parsed = series.str.to_date(date_format, strict=False)
        if parsed[0]:
            return parsed
    if column.dtype == pl.Time:
        return series.str.to_time()
    return pl.Series([dt.datetime.fromisoformat(text)])


def _wrong_type(column: ColumnCodec, value: Any) -> DataError:
    msg = f"where: column {column.name!r} holds {column.dtype}, got {value!r}"
    return DataError(f"{msg}; it has {describe_values(column)}")
