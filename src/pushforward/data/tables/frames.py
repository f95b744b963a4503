"""Data frames of any make become Polars frames, and go back to the make they came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from pushforward.errors import DataError

SIMPLE: dict[str, pl.DataType] = {
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
            return SIMPLE[name]


@dataclass(frozen=True)
class Make:
    """What it takes to give a Polars frame back as the user gave his.

    Args:
        library: `"polars"` or `"pandas"`.
        labels: the column labels where they are not strings (pandas allows integers).
        dtypes: the pandas dtype of each column, by name.
        levels: the categories of pandas categoricals, by column, and whether they are ordered.
    """

    library: str = "polars"
    labels: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, tuple[list[Any], bool]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        levels = {name: list(known) for name, known in self.levels.items()}
        plain = {"labels": dict(self.labels), "dtypes": dict(self.dtypes), "levels": levels}
        return {"library": self.library} | plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Make:
        """Rebuild from `to_json`."""
        levels = {name: (known, ordered) for name, (known, ordered) in data["levels"].items()}
        return cls(data["library"], data["labels"], data["dtypes"], levels)

    def restore(self, frame: pl.DataFrame) -> Any:
        """Return the frame in its make; Polars where pandas is not installed."""
        if self.library != "pandas":
            return frame
        try:
            import pandas as pd
        except ImportError:
            return frame
        columns = {name: self._pandas(frame[name]) for name in frame.columns}
        restored = pd.DataFrame(columns)
        restored.columns = pd.Index([self.labels.get(name, name) for name in frame.columns])
        return restored

    def _pandas(self, column: pl.Series) -> Any:
        """Return a column as a pandas series of its first dtype."""
        import pandas as pd

        dtype = self.dtypes.get(column.name, "object")
        if column.name in self.levels:
            levels, ordered = self.levels[column.name]
            codes = column.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
            return pd.Series(pd.Categorical.from_codes(codes, pd.Index(levels), ordered=ordered))
        values = _filled(column)
        series = pd.Series(values, dtype=values.dtype)  # or pandas would infer text from objects
        if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
            series = series.dt.tz_localize("UTC")
        series = series.astype(dtype)
        missing = column.is_null().to_numpy()
        # an object column holds its missing values already, as None
        return series.mask(missing) if missing.any() and dtype != "object" else series


def _filled(column: pl.Series) -> Any:
    """Return a NumPy array in which some value of the right type stands for a missing one."""
    if column.dtype.is_temporal() and column.dtype not in (pl.Date, pl.Time):
        unit = column.dtype.time_unit  # type: ignore[attr-defined]  # Datetime and Duration
        letter = "M" if isinstance(column.dtype, pl.Datetime) else "m"
        return column.to_physical().fill_null(0).to_numpy().astype(f"{letter}8[{unit}]")
    if column.dtype.is_numeric() and not column.dtype.is_decimal():
        return column.fill_null(0).to_numpy()
    if column.dtype == pl.Boolean:
        return column.fill_null(value=False).to_numpy()
    return np.array([*column.to_list(), None], dtype=object)[:-1]


def to_polars(data: Any) -> tuple[pl.DataFrame, Make, list[str]]:
    """Return any eager data frame as a Polars one, how to go back, and notes."""
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
        return eager.to_native(), Make(), []
    return _convert(eager)


def _convert(frame: nw.DataFrame[Any]) -> tuple[pl.DataFrame, Make, list[str]]:
    """Carry a frame over column by column."""
    labels = list(frame.columns)
    names = [str(label) for label in labels]
    refuse_duplicates(names)
    notes: list[str] = []
    columns, dtypes, levels = {}, {}, {}
    for name, column in zip(names, frame.iter_columns(), strict=True):
        if column.dtype in (nw.Categorical, nw.Enum) and frame.implementation.is_pandas():
            levels[name] = _levels(column)
        series, note = _series(name, column, levels.get(name))
        columns[name] = series
        dtypes[name] = str(getattr(column.to_native(), "dtype", ""))
        notes += [note] if note else []
    odd = {n: label for n, label in zip(names, labels, strict=True) if not isinstance(label, str)}
    library = "pandas" if frame.implementation.is_pandas() else "polars"
    return pl.DataFrame(columns), Make(library, odd, dtypes, levels), notes


def refuse_duplicates(names: list[str]) -> None:
    """Raise DataError when two columns share a name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = (
            f"column names must differ, and {', '.join(map(repr, twice))} occurs twice; rename one"
        )
        raise DataError(msg)


def _levels(column: nw.Series[Any]) -> tuple[list[Any], bool]:
    """Return the categories of a pandas categorical, and whether they are ordered."""
    native = column.to_native()
    found = native.cat.categories.tolist()
    plain = all(isinstance(level, str | int | float | bool) for level in found)
    return (found if plain else list(map(str, found))), bool(native.cat.ordered)


def _series(
    name: str, column: nw.Series[Any], levels: tuple[list[Any], bool] | None
) -> tuple[pl.Series, str | None]:
    """Return a column as a Polars series, by way of NumPy or lists (Arrow may not be there)."""
    missing = column.is_null().to_numpy()
    if levels is not None:
        codes = column.to_native().cat.codes.to_numpy()
        texts = [str(level) for level in levels[0]]
        spelled = np.array([*texts, None], dtype=object)[codes].tolist()
        return pl.Series(name, spelled, dtype=pl.Enum(texts)), None
    if column.dtype.is_numeric() and not column.dtype.is_decimal():
        return _masked(name, column.fill_null(0).to_numpy(), missing), None
    if column.dtype == nw.Boolean:
        return _masked(name, column.fill_null(value=False).to_numpy(), missing), None
    if isinstance(column.dtype, nw.Datetime):
        return _datetimes(name, column), None
    if isinstance(column.dtype, nw.Duration):
        return _stamps(name, column.to_numpy()), None
    return _objects(name, _listed(column, missing))


def _listed(column: nw.Series[Any], missing: Any) -> list[Any]:
    """Return a column as a list, missing values as None."""
    values = column.to_numpy().astype(object)
    values[missing] = None
    return list(values)


def _masked(name: str, values: Any, missing: Any) -> pl.Series:
    """Return values with the missing ones taken out."""
    series = pl.Series(name, values)
    return series.set(pl.Series(missing), None) if missing.any() else series


def _datetimes(name: str, column: nw.Series[Any]) -> pl.Series:
    """Return date-times in their time zone."""
    zone = column.dtype.time_zone  # type: ignore[attr-defined]  # narrowed by the caller
    if zone is None:
        return _stamps(name, column.to_numpy())
    utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    stamps = _stamps(name, utc.to_numpy())
    return stamps.dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))


def _stamps(name: str, values: Any) -> pl.Series:
    """Return NumPy times; Polars has no unit coarser than milliseconds."""
    fine = str(values.dtype)[-3:-1] in ("ms", "us", "ns")
    return pl.Series(name, values if fine else values.astype(values.dtype.str[:2] + "8[us]"))


def _objects(name: str, values: list[Any]) -> tuple[pl.Series, str | None]:
    """Return Python objects as a series; a mixture of types as text."""
    try:
        return pl.Series(name, values, strict=True), None
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        texts = [None if v is None else str(v) for v in values]
        return pl.Series(
            name, texts
        ), f"column {name!r} mixes types: all its values are read as text"
