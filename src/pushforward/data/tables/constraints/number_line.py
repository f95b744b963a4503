"""Columns as points on a common number line, where they can be compared exactly.

Columns that are compared share a line. If all of them lie on a grid (integers, decimals, dates), a
point counts steps of their common grid from a common origin, so that sums and differences are
exact; otherwise it is the value itself. A point is a float64, NaN for a missing value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats
from pushforward.data.tables.columns import column_from_json
from pushforward.data.tables.constraints.language import BoundValue
from pushforward.data.tables.numeric_codec import MAX_EXACT_INTEGER, NumericCodec
from pushforward.data.tables.text_types import TextFormats
from pushforward.errors import DataError

NANOSECONDS_PER_TICK = {"ms": 1_000_000, "us": 1_000, "ns": 1}
NANOSECONDS_PER_DAY = 86_400 * 10**9


@dataclass(frozen=True, eq=False)
class NumberLine:
    """How the values of one column become points.

    Args:
        column: the codec of its values.
        stride: the column's own smallest step, in steps of the line; None for a line without grid.
        offset: the point of the codec's number 0, in steps.
        extent: the smallest and the largest point, of all rows.
        missing: whether a value may be missing.
    """

    column: NumericCodec
    stride: int | None = None
    offset: int = 0
    extent: tuple[float, float] = (0.0, 0.0)
    missing: bool = False

    @classmethod
    def fit(cls, values: pl.Series, text_formats: TextFormats) -> NumberLine:
        """Learn the resolution of a column; `fit_lines` then relates it to other columns."""
        dtype = values.dtype
        if not (dtype.is_numeric() or dtype.is_temporal()):
            msg = f"column {values.name!r} must hold numbers or times to be compared, got {dtype}"
            raise DataError(f"{msg}; override it, e.g. as datetime")
        return cls(NumericCodec.of_values(values, text_formats))

    @property
    def step(self) -> Fraction | None:
        """The column's own smallest step, in units or nanoseconds; None for full precision."""
        if self.column.decimals is None:
            return None
        ticks = _nanoseconds_per_tick(self.column.dtype) * self.column.unit
        return Fraction(ticks, 10**self.column.decimals)

    def points(self, values: pl.Series) -> Floats:
        """Return the points (n,) of these values."""
        numbers = self.column.encode(values)
        if self.stride is None:
            return numbers + self.column.origin
        return np.round(numbers * self._scale) * self.stride + self.offset

    def values(self, points: Floats) -> pl.Series:
        """Return the values of these points, each rounded to the column's resolution."""
        if self.stride is None:
            numbers = self.round(points) - self.column.origin
        else:
            numbers = np.round((points - self.offset) / self.stride) / self._scale
        return self.column.decode(numbers)

    def round(self, points: Floats) -> Floats:
        """Return the nearest points for which the column has values."""
        if self.stride is not None:
            return np.round((points - self.offset) / self.stride) * self.stride + self.offset
        if self.column.decimals is not None:
            return np.round(points * self._scale) / self._scale
        return points.astype(self._float_type).astype(np.float64)

    def next_points(self, points: Floats, direction: int) -> Floats:
        """Return the next points with values of the column, upwards (1) or downwards (-1)."""
        if self.stride is not None:
            return points + direction * self.stride
        if self.column.decimals is not None:
            return np.round(points * self._scale + direction) / self._scale
        towards = self._float_type(direction * np.inf)
        following = np.nextafter(points.astype(self._float_type), towards)
        as_floats: Floats = following.astype(np.float64)
        return as_floats

    def strictly_beyond(self, points: Floats, direction: int) -> Floats:
        """Return the nearest points of the line that are strictly above (1) or below (-1)."""
        if self.stride is not None:
            return points + direction
        return np.nextafter(points, direction * np.inf)

    def clip_column(self, frame: pl.DataFrame, low: Floats, high: Floats) -> pl.DataFrame:
        """Return a frame with the values of this column clipped to its limits."""
        points = self.points(frame[self.column.name])
        clipped = self.clip(points, low, high)
        changed = ~np.isnan(points) & (clipped != points)
        return frame.with_columns(self.values(clipped)) if changed.any() else frame

    def clip(self, points: Floats, low: Floats, high: Floats) -> Floats:
        """Return the nearest points in [low, high] (n,) for which the column has values.

        At least one of the two ends must be such a point.
        """
        clipped = self.round(np.minimum(np.maximum(points, low), high))
        clipped = np.where(clipped < low, self.next_points(clipped, 1), clipped)
        return np.where(clipped > high, self.next_points(clipped, -1), clipped)

    def first_from(self, points: Floats, direction: int) -> Floats:
        """Return the first points with values of the column, from these on in a direction."""
        nearest = self.round(points)
        too_early = nearest < points if direction > 0 else nearest > points
        return np.where(too_early, self.next_points(nearest, direction), nearest)

    def bound_point(self, value: BoundValue, direction: int, *, is_open: bool) -> float:
        """Return the extreme point that a lower (direction 1) or upper (-1) bound allows."""
        if self.stride is None:
            point = np.array([float(self._amount(value))])
            point = self.strictly_beyond(point, direction) if is_open else point
        else:
            assert self.step is not None
            origin = self.column.origin // self.column.unit * self.stride - self.offset
            exact = self._amount(value) / (self.step / self.stride) - origin
            steps = math.ceil(exact * direction)
            excluded = is_open and steps == exact * direction
            point = np.array([direction * float(steps + excluded)])
        return float(self.first_from(point, direction)[0])

    def _amount(self, value: BoundValue) -> Fraction:
        """Return a bound in units, or in nanoseconds since 1970."""
        is_time = self.column.dtype in (pl.Date, pl.Datetime)
        if is_time != isinstance(value, date):
            expected = "a date or date-time" if is_time else "a number"
            raise DataError(f"a bound of {self.column.name!r} must be {expected}, got {value!r}")
        if not isinstance(value, date):
            return Fraction(str(value))
        time = pl.Series([value]).cast(pl.Datetime("us"))
        zone = getattr(self.column.dtype, "time_zone", None)
        if zone:
            time = time.dt.replace_time_zone(zone)
        return Fraction(int(time.to_physical()[0]) * 1000)

    @property
    def _scale(self) -> float:
        return 10.0 ** (self.column.decimals or 0)

    @property
    def _float_type(self) -> type[np.floating[Any]]:
        return np.float32 if self.column.dtype == pl.Float32 else np.float64

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "column": self.column.to_json(),
            "stride": self.stride,
            "offset": self.offset,
            "extent": list(self.extent),
            "missing": self.missing,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NumberLine:
        """Rebuild from `to_json`."""
        column = column_from_json(data["column"])
        assert isinstance(column, NumericCodec)
        low, high = data["extent"]
        return cls(column, data["stride"], data["offset"], (low, high), data["missing"])


def fit_lines(columns: Sequence[pl.Series], text_formats: TextFormats) -> dict[str, NumberLine]:
    """Return the number lines of columns that are compared with each other, by name.

    DataError when they cannot be: numbers with times, times with and without a zone.
    """
    lines = [NumberLine.fit(values, text_formats) for values in columns]
    _refuse_different_families([line.column for line in lines])
    steps = [line.step for line in lines if line.step is not None]
    if len(steps) == len(lines):
        lines = _on_common_grid(lines, steps, [v.null_count() < len(v) for v in columns])
    return {
        line.column.name: _with_extent(line, values)
        for line, values in zip(lines, columns, strict=True)
    }


def _on_common_grid(
    lines: Sequence[NumberLine], steps: Sequence[Fraction], known: Sequence[bool]
) -> list[NumberLine]:
    """Return lines whose points count steps of their common grid, from the least `known` origin.

    A column without values has none that counts: from its 0, others might lie too far to be exact.
    """
    common = reduce(_largest_common_step, steps)
    strides = [int(step / common) for step in steps]
    origins = [
        line.column.origin // line.column.unit * stride
        for line, stride in zip(lines, strides, strict=True)
    ]
    start = min((o for o, there in zip(origins, known, strict=True) if there), default=0)
    return [
        replace(line, stride=stride, offset=origin - start)
        for line, stride, origin in zip(lines, strides, origins, strict=True)
    ]


def _largest_common_step(a: Fraction, b: Fraction) -> Fraction:
    """Return the largest step of which both are multiples."""
    denominator = a.denominator * b.denominator
    numerator = math.gcd(a.numerator * b.denominator, b.numerator * a.denominator)
    return Fraction(numerator, denominator)


def _with_extent(line: NumberLine, values: pl.Series) -> NumberLine:
    """Return a line with its extent; DataError when its points are not exact."""
    points = line.points(values)
    present = points[~np.isnan(points)]
    largest = np.abs(present).max(initial=0) + abs(line.offset)
    if len(present) and line.stride is not None and largest > MAX_EXACT_INTEGER:
        msg = f"column {values.name!r} spans more than 2^53 steps of its grid"
        raise DataError(f"{msg}; it cannot be compared")
    extent = (float(present.min()), float(present.max())) if len(present) else (0.0, 0.0)
    return replace(line, extent=extent, missing=len(present) < len(points))


def _refuse_different_families(columns: Sequence[NumericCodec]) -> None:
    """Raise DataError unless all columns can be compared with the first."""
    first = columns[0]
    for column in columns[1:]:
        if _family(column.dtype) != _family(first.dtype):
            msg = (
                f"columns {first.name!r} ({first.dtype}) and {column.name!r} ({column.dtype}) "
                "cannot be compared: both must be numbers, or both times of one kind"
            )
            raise DataError(msg)


def _family(dtype: pl.DataType) -> str:
    """Return the family of dtypes that can be compared with this one."""
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.Date, pl.Datetime):
        return "time with zone" if getattr(dtype, "time_zone", None) else "time"
    return str(dtype.base_type())


def _nanoseconds_per_tick(dtype: pl.DataType) -> int:
    """Return the nanoseconds of the integer 1 that Polars stores; 1 for numbers."""
    if dtype == pl.Date:
        return NANOSECONDS_PER_DAY
    return NANOSECONDS_PER_TICK[getattr(dtype, "time_unit", None) or "ns"]
