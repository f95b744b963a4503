"""Columns on a number line: what may be compared with what, exactly.

Columns that are compared share a line. Where all of them lie on a grid (integers, decimals, dates),
it counts steps of their common grid from a common origin, so that sums and differences are exact;
else it is their values. A point is a float64, NaN for a missing value.
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

from pushforward.data.tables.column_summary import Facts
from pushforward.data.tables.columns import EXACT, Number, column_from_json
from pushforward.data.tables.constraints.language import Value
from pushforward.data.tables.partition import Floats
from pushforward.data.tables.text import Spelling
from pushforward.errors import DataError

NANOSECONDS = {"ms": 1_000_000, "us": 1_000, "ns": 1}
DAY = 86_400 * 10**9


@dataclass(frozen=True, eq=False)
class Line:
    """How the values of one column become points.

    Args:
        column: the codec of its values.
        size: how many steps of the line its own smallest step takes; None for a line without grid.
        offset: the point of the number 0 of its codec, in steps.
        extent: its smallest and its largest point, of all rows.
        missing: whether a value may be missing.
    """

    column: Number
    size: int | None = None
    offset: int = 0
    extent: tuple[float, float] = (0.0, 0.0)
    missing: bool = False

    @classmethod
    def fit(cls, values: pl.Series, spelling: Spelling) -> Line:
        """Learn the resolution of a column; `shared` then lays it beside others."""
        dtype = values.dtype
        if not (dtype.is_numeric() or dtype.is_temporal()):
            msg = f"column {values.name!r} must hold numbers or times to be compared, got {dtype}"
            raise DataError(f"{msg}; override it, e.g. as datetime")
        return cls(Number.fit(Facts.of(values, None), values.head(1), spelling))

    @property
    def grain(self) -> Fraction | None:
        """Its own smallest step, in units or nanoseconds; None for full precision."""
        if self.column.decimals is None:
            return None
        ticks = _tick(self.column.dtype) * self.column.unit
        return Fraction(ticks, 10**self.column.decimals)

    def points(self, values: pl.Series) -> Floats:
        """Return the points (n,) of these values."""
        numbers = self.column.encode(values)
        if self.size is None:
            return numbers + self.column.origin
        return np.round(numbers * self._scale) * self.size + self.offset

    def values(self, points: Floats) -> pl.Series:
        """Return the values of these points, each rounded to the column's resolution."""
        if self.size is None:
            numbers = self.rounded(points) - self.column.origin
        else:
            numbers = np.round((points - self.offset) / self.size) / self._scale
        return self.column.decode(numbers)

    def rounded(self, points: Floats) -> Floats:
        """Return the points nearest to these that the column has values for."""
        if self.size is not None:
            return np.round((points - self.offset) / self.size) * self.size + self.offset
        if self.column.decimals is not None:
            return np.round(points * self._scale) / self._scale
        return points.astype(self._precision).astype(np.float64)

    def beyond(self, points: Floats, way: int) -> Floats:
        """Return the next points that the column has values for, upwards (1) or downwards (-1)."""
        if self.size is not None:
            return points + way * self.size
        if self.column.decimals is not None:
            return np.round(points * self._scale + way) / self._scale
        edge = self._precision(way * np.inf)
        following: Floats = np.nextafter(points.astype(self._precision), edge).astype(np.float64)
        return following

    def strictly(self, points: Floats, way: int) -> Floats:
        """Return the nearest points of the line itself that are strictly above (1), below (-1)."""
        return points + way if self.size is not None else np.nextafter(points, way * np.inf)

    def within(self, points: Floats, low: Floats, high: Floats) -> Floats:
        """Return the nearest points between `low` and `high` (n,) that the column has values for.

        At least one of the two must be such a point.
        """
        found = self.rounded(np.minimum(np.maximum(points, low), high))
        found = np.where(found < low, self.beyond(found, 1), found)
        return np.where(found > high, self.beyond(found, -1), found)

    def inward(self, points: Floats, way: int) -> Floats:
        """Return the first points from these on, upwards (1) or downwards, that have values."""
        found = self.rounded(points)
        return np.where(
            found < points if way > 0 else found > points, self.beyond(found, way), found
        )

    def bound(self, value: Value, way: int, *, opened: bool) -> float:
        """Return the outermost point of the column that a low (1) or high (-1) bound leaves."""
        if self.size is None:
            point = np.array([float(self._amount(value))])
            point = self.strictly(point, way) if opened else point
        else:
            grain = self.grain
            assert grain is not None
            origin = self.column.origin // self.column.unit * self.size - self.offset
            exact = self._amount(value) / (grain / self.size) - origin
            whole = math.ceil(exact * way)
            point = np.array([way * float(whole + (opened and whole == exact * way))])
        return float(self.inward(point, way)[0])

    def _amount(self, value: Value) -> Fraction:
        """Return a bound in units, or in nanoseconds since 1970."""
        times = self.column.dtype in (pl.Date, pl.Datetime)
        if times != isinstance(value, date):
            wanted = "a date or date-time" if times else "a number"
            raise DataError(f"a bound of {self.column.name!r} must be {wanted}, got {value!r}")
        if not isinstance(value, date):
            return Fraction(str(value))
        stamp = pl.Series([value]).cast(pl.Datetime("us"))
        zone = getattr(self.column.dtype, "time_zone", None)
        if zone:
            stamp = stamp.dt.replace_time_zone(zone)
        return Fraction(int(stamp.to_physical()[0]) * 1000)

    @property
    def _scale(self) -> float:
        return 10.0 ** (self.column.decimals or 0)

    @property
    def _precision(self) -> type[np.floating[Any]]:
        return np.float32 if self.column.dtype == pl.Float32 else np.float64

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        own = {"size": self.size, "offset": self.offset, "missing": self.missing}
        return {"column": self.column.to_json(), "extent": list(self.extent)} | own

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Line:
        """Rebuild from `to_json`."""
        column = column_from_json(data["column"])
        assert isinstance(column, Number)
        low, high = data["extent"]
        return cls(column, data["size"], data["offset"], (low, high), data["missing"])


def shared(columns: Sequence[pl.Series], spelling: Spelling) -> dict[str, Line]:
    """Return the lines of columns that are compared with each other.

    DataError when they cannot be: numbers with times, times with and without a zone.
    """
    lines = [Line.fit(values, spelling) for values in columns]
    _refuse_mixed([line.column for line in lines])
    grains = [line.grain for line in lines]
    found = _gridded(lines, [g for g in grains if g is not None]) if None not in grains else lines
    return {
        line.column.name: _measured(line, values)
        for line, values in zip(found, columns, strict=True)
    }


def _gridded(lines: Sequence[Line], grains: Sequence[Fraction]) -> Sequence[Line]:
    """Return lines that count steps of their common grid, or as they are if floats cannot."""
    common = reduce(_common, grains)
    sizes = [int(grain / common) for grain in grains]
    origins = [
        line.column.origin // line.column.unit * size
        for line, size in zip(lines, sizes, strict=True)
    ]
    return [
        replace(line, size=size, offset=origin - min(origins))
        for line, size, origin in zip(lines, sizes, origins, strict=True)
    ]


def _common(a: Fraction, b: Fraction) -> Fraction:
    """Return the largest step of which both are multiples."""
    both = a.denominator * b.denominator
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), both)


def _measured(line: Line, values: pl.Series) -> Line:
    """Return a line with its extent."""
    points = line.points(values)
    there = points[~np.isnan(points)]
    if line.size is not None and np.abs(there).max(initial=0) + abs(line.offset) > EXACT:
        msg = (
            f"column {values.name!r} spans more than 2^53 steps of its grid; it cannot be compared"
        )
        raise DataError(msg)
    extent = (float(there.min()), float(there.max())) if len(there) else (0.0, 0.0)
    return replace(line, extent=extent, missing=len(there) < len(points))


def _refuse_mixed(columns: Sequence[Number]) -> None:
    """Raise DataError unless columns are of one family."""
    first, family = columns[0], _family(columns[0].dtype)
    for column in columns[1:]:
        if _family(column.dtype) != family:
            msg = (
                f"columns {first.name!r} ({first.dtype}) and {column.name!r} ({column.dtype}) "
                "cannot be compared: both must be numbers, or both times of one kind"
            )
            raise DataError(msg)


def _family(dtype: pl.DataType) -> str:
    """Return what a dtype can be compared with."""
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.Date, pl.Datetime):
        return "zoned" if getattr(dtype, "time_zone", None) else "time"
    return str(dtype.base_type())


def _tick(dtype: pl.DataType) -> int:
    """Return the nanoseconds of a physical tick; 1 for numbers."""
    if dtype == pl.Date:
        return DAY
    return NANOSECONDS[getattr(dtype, "time_unit", None) or "ns"]
