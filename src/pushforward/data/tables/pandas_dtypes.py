"""The plain dtypes of pandas as Polars series, and back: numbers, times, periods, text, Arrow's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from pushforward.data.tables.boxes import is_missing, plain_objects
from pushforward.data.tables.column_format import ColumnFormat
from pushforward.errors import DataError

Column = Any  # a pandas series: its stubs know few dtypes
INTERVAL = re.compile(r"[\[(](.+), (.+)[\])]")


@dataclass(frozen=True)
class NumberFormat(ColumnFormat):
    """Numbers and truth values: NumPy's dtypes, pandas' nullable and sparse ones."""

    kind = "number"

    dtype: str

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """Return the format of integers, floats and truth values."""
        return cls(str(column.dtype)) if column.dtype.kind in "biuf" else None

    def read(self, column: Column) -> pl.Series:
        """Return numbers, null where they are missing."""
        missing = column.isna().to_numpy()
        numpy_dtype = np.dtype(getattr(column.dtype, "numpy_dtype", column.dtype))
        if numpy_dtype.itemsize > 8:  # a long double
            numpy_dtype = np.dtype(np.float64)
        values = column.to_numpy(dtype=numpy_dtype.newbyteorder("="), na_value=0)
        return with_missing(pl.Series(values), missing)

    def restore(self, series: pl.Series) -> Column:
        """Return numbers, NaN or NA where they are missing."""
        import pandas as pd

        missing = series.is_null().to_numpy()
        filler = False if series.dtype == pl.Boolean else 0
        values: Column = pd.Series(series.fill_null(filler).to_numpy())
        restored = values.astype(self.dtype)
        return restored.mask(missing) if missing.any() else restored

    def fits(self, dtype: pl.DataType) -> bool:
        """Whether a dtype holds numbers or truth values."""
        return dtype.is_numeric() or dtype == pl.Boolean


@dataclass(frozen=True)
class SparseFormat(ColumnFormat):
    """Sparse columns: those of their dense values, and what is left out of them."""

    kind = "sparse"

    dense: NumberFormat
    fill_value: float | bool | None

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """Return the format of a sparse column."""
        import pandas as pd

        if not isinstance(column.dtype, pd.SparseDtype):
            return None
        dense = NumberFormat.of(column.sparse.to_dense())
        if dense is None:
            return None
        fill = plain_objects([column.dtype.fill_value])[0]
        return cls(dense, None if is_missing(fill) else fill)

    def read(self, column: Column) -> pl.Series:
        """Return the dense values."""
        return self.dense.read(column.sparse.to_dense())

    def restore(self, series: pl.Series) -> Column:
        """Return a sparse column."""
        import pandas as pd

        dense = self.dense.restore(series)
        fill = np.nan if self.fill_value is None else self.fill_value
        return dense.astype(pd.SparseDtype(dense.dtype, fill))

    def fits(self, dtype: pl.DataType) -> bool:
        """Whether a dtype is one of the dense values."""
        return self.dense.fits(dtype)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": self.kind, "dense": self.dense.to_json(), "fill_value": self.fill_value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`, less the kind."""
        return cls(NumberFormat(data["dense"]["dtype"]), data["fill_value"])


@dataclass(frozen=True)
class TimeFormat(ColumnFormat):
    """Times and time spans, with a time zone or without; in UTC where Polars lacks the zone."""

    kind = "time"

    dtype: str
    zone: str | None
    is_named: bool

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """Return the format of date-times and time spans."""
        import pandas as pd

        if column.dtype.kind not in "mM":
            return None
        zone = None if (tz := getattr(column.dtype, "tz", None)) is None else str(tz)
        try:
            dtype = str(pd.api.types.pandas_dtype(str(column.dtype)))
        except TypeError:  # no name spells this zone
            dtype = str(pd.DatetimeTZDtype(column.dtype.unit, "UTC"))
        return cls(dtype, zone, zone is not None and _is_known_zone(zone))

    def read(self, column: Column) -> pl.Series:
        """Return times in the finest unit that Polars needs to hold them."""
        if self.zone is None:
            return _numpy_times(column.to_numpy())
        utc = _numpy_times(column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
        zoned = utc.dt.replace_time_zone("UTC")
        return zoned.dt.convert_time_zone(self.zone) if self.is_named else zoned

    def restore(self, series: pl.Series) -> Column:
        """Return times of the user's unit and zone."""
        return _pandas_times(series).astype(self.dtype)

    def fits(self, dtype: pl.DataType) -> bool:
        """Whether a dtype holds date-times or time spans."""
        return dtype in (pl.Datetime, pl.Duration)

    def note(self, name: str) -> str | None:
        """Return that a time zone is lost."""
        if self.zone is None or self.zone in self.dtype:
            return None
        msg = f"check: column {name!r} has the time zone {self.zone}, which has no name of the IANA"
        return f"{msg}: its times come back in UTC"


@dataclass(frozen=True)
class PeriodFormat(ColumnFormat):
    """Periods, by the date or the time at which they begin."""

    kind = "period"

    dtype: str
    of_days: bool

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """Return the format of periods."""
        import pandas as pd

        if not isinstance(column.dtype, pd.PeriodDtype):
            return None
        freq = column.dtype.freq
        is_short = isinstance(freq, pd.offsets.Tick) and not isinstance(freq, pd.offsets.Day)
        return cls(str(column.dtype), not is_short)

    def read(self, column: Column) -> pl.Series:
        """Return when the periods begin."""
        starts = _numpy_times(column.dt.to_timestamp().to_numpy())
        return starts.cast(pl.Date) if self.of_days else starts

    def restore(self, series: pl.Series) -> Column:
        """Return the periods in which the times lie."""
        starts = (
            series if self.fits(series.dtype) and not self.of_days else series.cast(pl.Datetime)
        )
        return _pandas_times(starts).astype(self.dtype)

    def fits(self, dtype: pl.DataType) -> bool:
        """Whether a dtype holds dates or times."""
        return dtype in (pl.Date, pl.Datetime)


@dataclass(frozen=True)
class IntervalFormat(ColumnFormat):
    """Intervals: categories, by their text."""

    kind = "interval"

    dtype: str

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """Return the format of intervals."""
        import pandas as pd

        return cls(str(column.dtype)) if isinstance(column.dtype, pd.IntervalDtype) else None

    def read(self, column: Column) -> pl.Series:
        """Return intervals as they are printed."""
        import pandas as pd

        codes, intervals = pd.factorize(column)
        return looked_up(codes, [str(interval) for interval in intervals], pl.Categorical())

    @property
    def spells_objects(self) -> bool:
        """Text stands for intervals."""
        return True

    def restore(self, series: pl.Series) -> Column:
        """Return the intervals of texts; missing for a text that is none."""
        import pandas as pd

        texts = series.cast(pl.String)
        matches = [INTERVAL.fullmatch(text) for text in texts.drop_nulls().unique().to_list()]
        found = [match for match in matches if match]
        dtype: Any = pd.api.types.pandas_dtype(self.dtype)
        low, high = (_ends([match[end] for match in found], dtype.subtype) for end in (1, 2))
        intervals = pd.arrays.IntervalArray.from_arrays(low, high, dtype.closed).astype(dtype)
        position = {match[0]: at for at, match in enumerate(found)}
        codes = np.array([position.get(text, -1) for text in texts.to_list()], dtype=np.int64)
        return pd.Series(intervals.take(codes, allow_fill=True))

    def fits(self, dtype: pl.DataType) -> bool:
        """Whether a dtype holds categories."""
        return dtype in (pl.Categorical, pl.String)


@dataclass(frozen=True)
class TextFormat(ColumnFormat):
    """Text of pandas' own dtypes."""

    kind = "text"

    dtype: str

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """Return the format of text."""
        import pandas as pd

        dtype = column.dtype
        if not isinstance(dtype, pd.StringDtype):
            return None
        return cls(f"string[{dtype.storage}]" if dtype.na_value is pd.NA else str(dtype))

    def read(self, column: Column) -> pl.Series:
        """Return text, null where it is missing."""
        # of an array that begins with None, Polars would make objects
        return pl.Series(column.to_numpy(dtype=object, na_value=None).tolist(), dtype=pl.String)

    def restore(self, series: pl.Series) -> Column:
        """Return text of the user's dtype."""
        import pandas as pd

        texts: Column = pd.Series(series.to_list(), dtype=object)
        return texts.astype(self.dtype)

    def fits(self, dtype: pl.DataType) -> bool:
        """Whether a dtype is text."""
        return dtype == pl.String


@dataclass(frozen=True)
class ArrowFormat(ColumnFormat):
    """Columns of Arrow's dtypes, which Polars shares."""

    kind = "arrow"

    dtype: str

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """Return the format of Arrow's columns."""
        import pandas as pd

        if not isinstance(column.dtype, pd.ArrowDtype):
            return None
        polars_dtype = pl.Series(column.head(0).array.__arrow_array__()).dtype
        if polars_dtype.is_nested() or polars_dtype == pl.Binary:
            raise not_understood(column)
        return cls(str(column.dtype))

    def read(self, column: Column) -> pl.Series:
        """Return the column."""
        return pl.Series(column.array.__arrow_array__())

    def restore(self, series: pl.Series) -> Column:
        """Return the column in the user's dtype, or in Arrow's nearest."""
        import pandas as pd

        values: Column = pd.Series(pd.arrays.ArrowExtensionArray(series.to_arrow()))
        try:
            return values.astype(self.dtype)
        except (TypeError, NotImplementedError, ValueError):  # no name spells every Arrow type
            return values


def natural(series: pl.Series) -> Column:
    """Return a series in the pandas dtype that is nearest to its own."""
    import pandas as pd

    if isinstance(series.dtype, pl.Datetime | pl.Duration):
        return _pandas_times(series)
    if series.dtype.is_float() or (series.dtype.is_integer() and not series.null_count()):
        return pd.Series(series.to_numpy())
    return pd.Series(series.to_list(), dtype=object)


def not_understood(column: Column) -> DataError:
    """Return the error for a column whose dtype has no format."""
    msg = f"column {str(column.name)!r} must hold numbers, text, truth values or times, and has "
    return DataError(
        f"{msg}pandas' dtype {column.dtype}; give each part a column of its own, turn it into "
        "text by astype(str), or drop it"
    )


def with_missing(series: pl.Series, missing: Any) -> pl.Series:
    """Return values as a series, null where they are missing."""
    return series.set(pl.Series(missing), None) if missing.any() else series


def looked_up(codes: Any, texts: list[str], dtype: pl.DataType) -> pl.Series:
    """Return the texts of codes as a series of categories; -1 is a missing one."""
    if not texts:
        return pl.Series([None] * len(codes), dtype=dtype)
    indices = with_missing(pl.Series(codes.astype(np.int64)), codes < 0)
    return pl.Series(texts, dtype=dtype).gather(indices)


def _numpy_times(values: Any) -> pl.Series:
    """Return NumPy times as a series; Polars has no unit coarser than milliseconds."""
    fine = np.datetime_data(values.dtype)[0] in ("ms", "us", "ns")
    return pl.Series(values if fine else values.astype(values.dtype.str[:2] + "8[us]"))


def _pandas_times(series: pl.Series) -> Column:
    """Return times as a pandas column of the same unit and zone, at least UTC."""
    import pandas as pd

    if getattr(series.dtype, "time_zone", None) is None:
        return pd.Series(series.to_numpy())
    utc = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return pd.Series(utc.to_numpy()).dt.tz_localize("UTC")


def _is_known_zone(zone: str) -> bool:
    """Whether Polars knows a time zone."""
    try:
        pl.Series([], dtype=pl.Datetime("us")).dt.replace_time_zone(zone)
    except pl.exceptions.PolarsError:
        return False
    return True


def _ends(texts: list[str], dtype: Any) -> Any:
    """Return the ends of intervals, which are spelled by texts, as an index of a dtype."""
    import pandas as pd

    if dtype.kind == "M":
        return pd.to_datetime(texts, utc=getattr(dtype, "tz", None) is not None).astype(dtype)
    if dtype.kind == "m":
        return pd.to_timedelta(texts).astype(dtype)
    return pd.Index(texts, dtype=object).astype(dtype)
