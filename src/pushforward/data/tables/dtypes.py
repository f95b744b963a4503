"""Polars dtypes as plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from pushforward.errors import DataError

PLAIN_DTYPES: dict[str, pl.DataType] = {
    name: getattr(pl, name)()
    for name in (
        *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
        *("Float16", "Float32", "Float64", "Boolean", "String", "Categorical"),
        *("Date", "Time", "Null"),
    )
    if hasattr(pl, name)  # older versions of Polars lack Float16
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


def refuse_changed(values: pl.Series, dtype: pl.DataType) -> None:
    """Raise DataError for a value that this dtype would change: 3.4 by integers, a time by dates.

    Floats may lose digits to narrower ones; what cannot be cast at all is not looked at.
    """
    own = values.dtype
    if not (own.is_temporal() or (own.is_numeric() and dtype.is_integer())):
        return
    try:
        cast = values.cast(dtype, strict=False)
        changed = values.ne(cast.cast(own, strict=False)).fill_null(value=False)
    except pl.exceptions.PolarsError:
        return
    if changed.any():
        row = int(changed.arg_max() or 0)
        nearest = (values.round() if own.is_float() else values).cast(dtype, strict=False)
        given, kept = str(values[row]), str(nearest[row])
        fate = "lose digits" if given == kept else f"become {kept}"
        msg = f"column {values.name!r}, row {row + 1}: the column holds {dtype}, so {given} would"
        raise DataError(f"{msg} {fate}; give what it can hold, or leave it out")
