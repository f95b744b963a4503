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
        *("Date", "Time", "Null", "Int128", "UInt128", "Object"),
    )
    if hasattr(pl, name)  # older versions of Polars lack Float16 and UInt128
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
        case pl.Categorical() if own := _own_categories(dtype):
            return {"name": "Categorical", **own}
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
        case "Categorical" if "pool" in data:
            physical = PLAIN_DTYPES[data["physical"]]
            return pl.Categorical(pl.Categories(data["pool"], data["namespace"], physical))
        case name:
            return PLAIN_DTYPES[name]


def _own_categories(dtype: pl.Categorical) -> dict[str, str] | None:
    """Return what names the pool of a column's categories, unless it is that of all columns."""
    pool = getattr(dtype, "categories", None)  # older versions of Polars have one pool
    if pool is None or pool.is_global():
        return None
    physical = str(pool.physical())
    return {"pool": pool.name(), "namespace": pool.namespace(), "physical": physical}
