"""Data frames of any library become Polars frames, and are converted back to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from pushforward.errors import DataError

PLAIN_DTYPES: dict[str, pl.DataType] = {
    name: getattr(pl, name)()
    for name in (
        *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
        *("Float32", "Float64", "Boolean", "String", "Categorical", "Date", "Time", "Null"),
    )
}


def dtype_to_json(dtype: pl.DataType) -> dict[str, Any]:
    """Return a Polars dtype as plain values."""
    match dtype:
        case pl.Datetime():
            return {"name": "Datetime", "unit": dtype.time_unit, "zone": dtype.time_zone}
        case pl.Duration():
            return {"name": "Duration", "unit": dtype.time_unit}
        case pl.Decimal():
            return {"name": "Decimal", "precision": dtype.precision, "scale": dtype.scale}
        case pl.Enum():
            return {"name": "Enum", "categories": dtype.categories.to_list()}
        case _:
            return {"name": str(dtype.base_type())}


def dtype_from_json(data: Mapping[str, Any]) -> pl.DataType:
    """Rebuild a Polars dtype."""
    match data["name"]:
        case "Datetime":
            return pl.Datetime(data["unit"], data["zone"])
        case "Duration":
            return pl.Duration(data["unit"])
        case "Decimal":
            return pl.Decimal(data["precision"], data["scale"])
        case "Enum":
            return pl.Enum(data["categories"])
        case name:
            return PLAIN_DTYPES[name]


@dataclass(frozen=True)
class FrameFormat:
    """The library and the types of the user's data frame, to convert a Polars frame back to it.

    Args:
        library: `"polars"` or `"pandas"`.
        labels: the column labels that are not strings (pandas allows integers), by name.
        dtypes: the pandas dtype of each column, by name.
        categories: those of pandas categoricals, by name, and whether they are ordered.
    """

    library: str = "polars"
    labels: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, tuple[list[Any], bool]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "library": self.library,
            "labels": dict(self.labels),
            "dtypes": dict(self.dtypes),
            "categories": {name: list(pair) for name, pair in self.categories.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FrameFormat:
        """Rebuild from `to_json`."""
        pairs = {name: (levels, ordered) for name, (levels, ordered) in data["categories"].items()}
        return cls(data["library"], data["labels"], data["dtypes"], pairs)

    def restore(self, frame: pl.DataFrame) -> Any:
        """Return the frame in the user's format; a Polars frame if pandas is not installed."""
        if self.library != "pandas":
            return frame
        try:
            import pandas as pd
        except ImportError:
            return frame
        columns = {name: self._to_pandas(frame[name]) for name in frame.columns}
        restored = pd.DataFrame(columns)
        restored.columns = pd.Index([self.labels.get(name, name) for name in frame.columns])
        return restored

    def _to_pandas(self, column: pl.Series) -> Any:
        """Return a column as a pandas series of the user's dtype."""
        import pandas as pd

        dtype = self.dtypes.get(column.name, "object")
        if column.name in self.categories:
            levels, ordered = self.categories[column.name]
            codes = column.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
            return pd.Series(pd.Categorical.from_codes(codes, pd.Index(levels), ordered=ordered))
        values = _fill_missing(column)
        series = pd.Series(values, dtype=values.dtype)  # otherwise pandas infers text from objects
        if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
            series = series.dt.tz_localize("UTC")
        series = series.astype(dtype)
        missing = column.is_null().to_numpy()
        # an object column already holds None for its missing values
        return series.mask(missing) if missing.any() and dtype != "object" else series


def _fill_missing(column: pl.Series) -> Any:
    """Return a NumPy array with some value of the right type in place of missing ones."""
    if column.dtype.is_temporal() and column.dtype not in (pl.Date, pl.Time):
        unit = column.dtype.time_unit  # type: ignore[attr-defined]  # Datetime and Duration
        letter = "M" if isinstance(column.dtype, pl.Datetime) else "m"
        return column.to_physical().fill_null(0).to_numpy().astype(f"{letter}8[{unit}]")
    if column.dtype.is_numeric() and not column.dtype.is_decimal():
        return column.fill_null(0).to_numpy()
    if column.dtype == pl.Boolean:
        return column.fill_null(value=False).to_numpy()
    return np.array([*column.to_list(), None], dtype=object)[:-1]


def to_polars(data: Any) -> tuple[pl.DataFrame, FrameFormat, list[str]]:
    """Return a data frame as a Polars one, its own format, and notes for the user."""
    try:
        frame = nw.from_native(data)
    except TypeError:
        msg = f"a table must be a pandas or Polars data frame, got {type(data).__name__}"
        raise DataError(msg) from None
    except (ValueError, nw.exceptions.NarwhalsError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"the data frame cannot be read: {reason}") from None
    eager = frame.collect("polars") if isinstance(frame, nw.LazyFrame) else frame
    if eager.implementation.is_polars():
        return eager.to_native(), FrameFormat(), []
    return _convert(eager)


def _convert(frame: nw.DataFrame[Any]) -> tuple[pl.DataFrame, FrameFormat, list[str]]:
    """Convert a frame column by column."""
    labels = list(frame.columns)
    names = [str(label) for label in labels]
    refuse_duplicates(names)
    notes: list[str] = []
    columns, dtypes, categories = {}, {}, {}
    for name, column in zip(names, frame.iter_columns(), strict=True):
        if column.dtype in (nw.Categorical, nw.Enum) and frame.implementation.is_pandas():
            categories[name] = _pandas_categories(column)
        series, note = _to_series(name, column, categories.get(name))
        columns[name] = series
        dtypes[name] = str(getattr(column.to_native(), "dtype", ""))
        notes += [note] if note else []
    other_labels = {
        n: label for n, label in zip(names, labels, strict=True) if not isinstance(label, str)
    }
    library = "pandas" if frame.implementation.is_pandas() else "polars"
    return pl.DataFrame(columns), FrameFormat(library, other_labels, dtypes, categories), notes


def by_name(columns: Iterable[pl.Series]) -> pl.DataFrame:
    """Return columns as a frame; Polars would rename one without a name."""
    return pl.DataFrame({column.name: column for column in columns})


def refuse_duplicates(names: list[str]) -> None:
    """Raise DataError when two columns share a name."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        listed = ", ".join(map(repr, repeated))
        raise DataError(f"column names must differ, and {listed} occurs twice; rename one")


def _pandas_categories(column: nw.Series[Any]) -> tuple[list[Any], bool]:
    """Return the categories of a pandas categorical, and whether they are ordered."""
    native = column.to_native()
    levels = native.cat.categories.tolist()
    plain = all(isinstance(level, str | int | float | bool) for level in levels)
    return (levels if plain else list(map(str, levels))), bool(native.cat.ordered)


def _to_series(
    name: str, column: nw.Series[Any], categories: tuple[list[Any], bool] | None
) -> tuple[pl.Series, str | None]:
    """Return a column as a Polars series, and a note, via NumPy or lists (Arrow is optional)."""
    missing = column.is_null().to_numpy()
    if categories is not None:
        codes = column.to_native().cat.codes.to_numpy()
        texts = [str(level) for level in categories[0]]
        values = np.array([*texts, None], dtype=object)[codes].tolist()
        return pl.Series(name, values, dtype=pl.Enum(texts)), None
    if column.dtype.is_numeric() and not column.dtype.is_decimal():
        return _with_missing(name, column.fill_null(0).to_numpy(), missing), None
    if column.dtype == nw.Boolean:
        return _with_missing(name, column.fill_null(value=False).to_numpy(), missing), None
    if isinstance(column.dtype, nw.Datetime):
        return _datetimes(name, column), None
    if isinstance(column.dtype, nw.Duration):
        return _numpy_times(name, column.to_numpy()), None
    return _from_objects(name, _to_list(column, missing))


def _to_list(column: nw.Series[Any], missing: Any) -> list[Any]:
    """Return a column as a list, missing values as None."""
    values = column.to_numpy().astype(object)
    values[missing] = None
    return list(values)


def _with_missing(name: str, values: Any, missing: Any) -> pl.Series:
    """Return values as a series, null where they are missing."""
    series = pl.Series(name, values)
    return series.set(pl.Series(missing), None) if missing.any() else series


def _datetimes(name: str, column: nw.Series[Any]) -> pl.Series:
    """Return date-times in their time zone."""
    zone = column.dtype.time_zone  # type: ignore[attr-defined]  # narrowed by the caller
    if zone is None:
        return _numpy_times(name, column.to_numpy())
    utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    times = _numpy_times(name, utc.to_numpy())
    return times.dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))


def _numpy_times(name: str, values: Any) -> pl.Series:
    """Return NumPy times as a series; Polars has no unit coarser than milliseconds."""
    fine = str(values.dtype)[-3:-1] in ("ms", "us", "ns")
    return pl.Series(name, values if fine else values.astype(values.dtype.str[:2] + "8[us]"))


def _from_objects(name: str, values: list[Any]) -> tuple[pl.Series, str | None]:
    """Return Python objects as a series, and a note when mixed types become text."""
    try:
        return pl.Series(name, values, strict=True), None
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        texts = [None if v is None else str(v) for v in values]
        note = f"column {name!r} mixes types: all its values are read as text"
        return pl.Series(name, texts), note
