"""What a user wants of one column: values, ranges and gaps become intervals of its numbers."""

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

from pushforward.data.tables.columns import Category, Column, Number
from pushforward.data.tables.partition import Floats, Mask
from pushforward.errors import DataError, nearest

End = Fraction | float
Span = tuple[Any, Any]  # two closed ends, None for an open one
NEAR = 1e-9  # how far from a whole number of its column's steps a decimal may lie, relatively
PLAIN = (str, bytes, int, float, bool, dt.date, dt.time, dt.timedelta)


@dataclass(frozen=True, eq=False)
class Wanted:
    """The allowed numbers of one column: sorted, disjoint, closed intervals, and maybe missing."""

    low: Floats
    high: Floats
    missing: bool

    def among(self, numbers: Floats) -> Mask:
        """Return which numbers are allowed."""
        at = np.searchsorted(self.low, numbers, side="right") - 1
        held: Mask = (at >= 0) & (numbers <= np.append(self.high, -np.inf)[at])
        return held

    def holds(self, numbers: Tensor) -> Tensor:
        """Return which numbers are allowed, NaN being a missing value."""
        gone = numbers.isnan()
        held = self.among(numbers.nan_to_num(0.0).cpu().numpy())
        allowed = torch.from_numpy(held).to(numbers.device)
        return allowed & ~gone | gone if self.missing else allowed & ~gone


def wanted(column: Column, values: Any) -> Wanted:
    """Return what is allowed of a column.

    Args:
        column: the column.
        values: a value; None, NaN or NA for a missing one; a list, set or array of values; for
            numbers and times also a `range` (whole numbers, its end left out), a slice or a tuple
            (low, high), both ends included and None where there is none.

    Raises:
        DataError: nothing is wanted, a range is empty or beyond the column's values, a category is
            unknown, or a value is of another type.
    """
    spans: list[tuple[float, float]] = []
    missing = False
    for item in _items(column, values):
        if _is_missing(item):
            missing = _missing(column)
        elif isinstance(item, range | slice | tuple):
            spans += _span(column, item)
        else:
            spans += _value(column, item)
    if not spans and not missing:
        msg = f"where: nothing is wanted of column {column.name!r} (an empty list or range)"
        raise DataError(f"{msg}; name at least one of {known_values(column)}")
    return _united(spans, missing)


def known_values(column: Column) -> str:
    """Return what a column may be, for people."""
    if isinstance(column, Category):
        names = [str(level) for level in column.levels]
        return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    if not len(column.partition.cell):
        return f"values of type {column.dtype}"
    low, high = column.decode(np.array(column.partition.extent)).to_list()
    return f"{low} .. {high}"


def _items(column: Column, values: Any) -> Iterator[Any]:
    """Return the alternatives one by one. Of a column of text a tuple holds alternatives."""
    if isinstance(values, tuple) and (len(values) != 2 or not _ordered(column)):
        values = list(values)
    if isinstance(values, range | slice | tuple) or _single(values):
        yield values
        return
    for value in values:
        yield from _items(column, value)


def _single(value: Any) -> bool:
    return isinstance(value, PLAIN) or not isinstance(value, Iterable)


def _ordered(column: Column) -> bool:
    """Tell whether a column has ranges: numbers and times do, text and truth values do not."""
    return isinstance(column, Number) or (column.dtype.is_numeric() or column.dtype.is_temporal())


def _is_missing(value: Any) -> bool:
    gone = value is None or type(value).__name__ in {"NAType", "NaTType"}
    return gone or bool(isinstance(value, float | np.generic) and value != value)  # noqa: PLR0124 - NaN


def _missing(column: Column) -> bool:
    if column.partition.missing is None:
        msg = f"where: column {column.name!r} had no missing values, so none is generated"
        raise DataError(msg)
    return True


# --- values


def _value(column: Column, value: Any) -> list[tuple[float, float]]:
    """Return the numbers that a single value stands for."""
    if isinstance(column, Category):
        code = _code(column, value)
        return [(code, code)]
    at = _number(column, value)
    return [_closed(column, at, at, f"{value!r}")]


def _code(column: Category, value: Any) -> float:
    """Return a category's code, given as itself or as its text."""
    key = _ticks(column, value) if column.dtype.is_temporal() else value
    if key in column.levels:
        return float(column.levels.index(key))
    flag = column.dtype == pl.Boolean  # True may be spelled true
    texts = [str(level).lower() if flag else str(level) for level in column.levels]
    text = str(key).lower() if flag else str(key)
    if text in texts:
        return float(texts.index(text))
    msg = f"where: column {column.name!r} has no category {value!r}"
    raise DataError(f"{msg}; {nearest(str(value), texts[:200])}")


# --- ranges


def _span(column: Column, span: range | slice | Span) -> list[tuple[float, float]]:
    """Return the numbers within a range."""
    if not _ordered(column):
        msg = f"where: column {column.name!r} has no order; give a list of values, not {span!r}"
        raise DataError(msg)
    if isinstance(span, range):
        return _whole(column, span)
    if isinstance(span, slice) and span.step is not None:
        raise DataError(f"where: column {column.name!r}: a slice has two ends and no step")
    low, high = (span.start, span.stop) if isinstance(span, slice) else span
    lowest = -math.inf if _is_missing(low) else _number(column, low)
    highest = math.inf if _is_missing(high) else _number(column, high)
    if lowest > highest:
        msg = f"where: column {column.name!r}: low must not be above high, got {low!r} and {high!r}"
        raise DataError(msg)
    return [_closed(column, lowest, highest, f"from {low!r} to {high!r}")]


def _whole(column: Column, numbers: range) -> list[tuple[float, float]]:
    """Return the whole numbers of a range; as one interval where the column has no others."""
    if not numbers or column.dtype.is_temporal():
        msg = f"where: column {column.name!r}: {numbers!r} holds no value of type {column.dtype}"
        raise DataError(msg)
    low, high = min(numbers[0], numbers[-1]), max(numbers[0], numbers[-1])
    if isinstance(column, Category):
        codes = [i for i, level in enumerate(column.levels) if level in numbers]
        return [(float(i), float(i)) for i in codes] or _span(column, (low, high))
    if abs(numbers.step) == 1 and column.decimals == 0:
        return _span(column, (low, high))
    inside = _clipped(numbers, *(end + _origin(column) for end in _extent(column)))
    if not inside:
        raise _beyond(column, repr(numbers))
    return [interval for value in inside for interval in _value(column, value)]


def _clipped(numbers: range, low: float, high: float) -> range:
    """Return what of a range lies within [low, high]."""
    up = numbers if numbers.step > 0 else numbers[::-1]
    skip = max(0.0, (low - up.start) / up.step)
    stop = min(float(len(up)), (high - up.start) / up.step + 1)
    return up[math.ceil(skip) : max(0, math.floor(stop))]


def _closed(column: Column, low: End, high: End, told: str) -> tuple[float, float]:
    """Return the interval of numbers that are generated as values from low to high.

    On a grid (whole numbers, decimals) each value owns half a step to either side. An end beyond
    the column's range is opened. DataError when the interval misses the range, or every step.
    """
    if isinstance(column, Category):
        codes = [i for i, level in enumerate(column.levels) if low <= float(level) <= high]
        if not codes:
            raise _beyond(column, told)
        return float(codes[0]), float(codes[-1])
    first, last = _extent(column)
    if low > last or high < first:
        raise _beyond(column, told)
    below, above = _steps(column, low, high)
    if below > above or (below == above and column.decimals is not None):
        raise DataError(f"where: column {column.name!r} takes no values {told}: they lie between")
    return (-math.inf if low <= first else below), (math.inf if high >= last else above)


def _steps(column: Column, low: End, high: End) -> tuple[float, float]:
    """Return low and high, moved to the borders between values of the column's grid."""
    if column.decimals is None:
        return _precise(low, np.inf, column.dtype), _precise(high, -np.inf, column.dtype)
    scale = 10**column.decimals
    return (_step(low, scale, up=True) - 0.5) / scale, (_step(high, scale, up=False) + 0.5) / scale


def _step(end: End, scale: int, *, up: bool) -> float:
    """Return the first step that is not below an end, or the last that is not above it."""
    at = end * scale
    if at in (math.inf, -math.inf):
        return float(at)
    slack = NEAR * max(1.0, abs(at)) if isinstance(at, float) else 0
    return float(math.ceil(at - slack) if up else math.floor(at + slack))


def _precise(end: End, inwards: float, dtype: pl.DataType) -> float:
    """Return an end; in a column of float32 the first value from there on that it can hold."""
    exact = float(end)
    if dtype != pl.Float32 or not math.isfinite(exact):
        return exact
    held = np.float32(exact)
    outside = held < exact if inwards > 0 else held > exact
    return float(np.nextafter(held, np.float32(inwards)) if outside else held)


def _beyond(column: Column, told: str) -> DataError:
    msg = f"where: column {column.name!r} has never had a value {told}"
    return DataError(f"{msg}; it has {known_values(column)}")


def _united(spans: list[tuple[float, float]], missing: bool) -> Wanted:
    """Return intervals in ascending order, those that overlap joined."""
    joined: list[list[float]] = []
    for low, high in sorted(spans):
        if joined and low <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], high)
        else:
            joined.append([low, high])
    ends = np.array(joined, np.float64).reshape(-1, 2)
    return Wanted(ends[:, 0], ends[:, 1], missing)


# --- numbers


def _extent(column: Column) -> tuple[float, float]:
    """Return the smallest and the largest number of a column; a codec alone knows none."""
    p = column.partition
    return p.extent if len(p.cell) else (-math.inf, math.inf)


def _origin(column: Column) -> int:
    return column.origin if isinstance(column, Number) else 0


def _number(column: Column, value: Any) -> End:
    """Return a value on the axis of a column's numbers; exactly, where it holds whole ones."""
    if column.dtype.is_temporal():
        ticks = Fraction(_ticks(column, value))
    elif isinstance(value, dt.date | dt.time | dt.timedelta):
        raise _wrong_type(column, value)
    else:
        ticks = _amount(column, value)
    if not isinstance(column, Number) or column.dtype.is_float() or column.dtype.is_decimal():
        return float(ticks)
    return (ticks - column.origin) / column.unit


def _amount(column: Column, value: Any) -> Fraction:
    """Return a number that is given as a number or as text."""
    plain = value.item() if isinstance(value, np.generic) else value
    try:
        return Fraction(plain)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        raise _wrong_type(column, value) from None


def _ticks(column: Column, value: Any) -> int:
    """Return a time as the integer that its column's dtype counts; texts as ISO 8601."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        value = value.astype(f"{'Mm'[isinstance(value, np.timedelta64)]}8[us]").item()
    try:
        series = _spelled(column, value) if isinstance(value, str) else pl.Series([value])
        zone = getattr(column.dtype, "time_zone", None)
        if zone and getattr(series.dtype, "time_zone", None) is None:
            series = series.cast(pl.Datetime("us")).dt.replace_time_zone(zone)
        if not series.dtype.is_temporal():
            raise _wrong_type(column, value)
        return int(series.cast(column.dtype).to_physical()[0])
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        raise _wrong_type(column, value) from None


def _spelled(column: Column, text: str) -> pl.Series:
    """Return the time that a text spells: as the column does, or by ISO 8601."""
    series = pl.Series([text])
    spelled = column.format if isinstance(column, Number) else None
    if spelled and column.dtype == pl.Date and series.str.to_date(spelled, strict=False)[0]:
        return series.str.to_date(spelled)
    if column.dtype == pl.Time:
        return series.str.to_time()
    parsed = dt.datetime.fromisoformat(text)
    return pl.Series([parsed])


def _wrong_type(column: Column, value: Any) -> DataError:
    msg = f"where: column {column.name!r} holds {column.dtype}, and {value!r} is none"
    return DataError(f"{msg}; it has {known_values(column)}")
