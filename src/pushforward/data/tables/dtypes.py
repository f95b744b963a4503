"""Polars dtypes as plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

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
