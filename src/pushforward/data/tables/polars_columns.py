"""Columns of Polars whose dtype is not modelled itself: objects, wide integers, own categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import polars as pl

from pushforward.data.tables.boxes import Box, is_missing, plain_objects
from pushforward.data.tables.column_format import ColumnFormat
from pushforward.data.tables.dtypes import dtype_from_json, dtype_to_json


@dataclass(frozen=True)
class WideIntegerFormat(ColumnFormat):
    """Integers of 128 bits, of which NumPy has none: as integers of 64 bits where they fit."""

    kind = "wide"

    dtype: str
    narrow: str

    @classmethod
    def of(cls, column: pl.Series) -> Self | None:
        """Return the format of integers of 128 bits that 64 can hold."""
        dtype = str(column.dtype)
        if dtype not in ("Int128", "UInt128"):
            return None
        low, high = column.min() or 0, column.max() or 0
        ranges = {"Int64": (-(2**63), 2**63 - 1), "UInt64": (0, 2**64 - 1)}
        fitting = (n for n, (first, last) in ranges.items() if first <= low and high <= last)  # type: ignore[operator]  # integers
        narrow = next(fitting, None)
        return None if narrow is None else cls(dtype, narrow)

    def read(self, column: pl.Series) -> pl.Series:
        """Return integers of 64 bits."""
        return column.cast(getattr(pl, self.narrow))

    def restore(self, series: pl.Series) -> pl.Series:
        """Return integers of 128 bits."""
        return series.cast(getattr(pl, self.dtype))

    def fits(self, dtype: pl.DataType) -> bool:
        """Whether a dtype holds integers."""
        return dtype.is_integer()


@dataclass(frozen=True)
class PoolFormat(ColumnFormat):
    """Categoricals whose categories are a pool of their own, as those of the common pool."""

    kind = "pool"

    name: str
    namespace: str
    physical: str

    @classmethod
    def of(cls, column: pl.Series) -> Self | None:
        """Return the format of a categorical with its own pool."""
        pool = getattr(column.dtype, "categories", None)
        if not isinstance(column.dtype, pl.Categorical) or pool is None or pool.is_global():
            return None  # older versions of Polars have one pool
        return cls(pool.name(), pool.namespace(), str(pool.physical()))

    def read(self, column: pl.Series) -> pl.Series:
        """Return categories of the common pool."""
        return column.cast(pl.String).cast(pl.Categorical())

    def restore(self, series: pl.Series) -> pl.Series:
        """Return categories of the user's pool."""
        pool = pl.Categories(self.name, self.namespace, getattr(pl, self.physical))
        return series.cast(pl.String).cast(pl.Categorical(pool))


@dataclass(frozen=True)
class ExtensionFormat(ColumnFormat):
    """Arrow's extension types, such as pandas' periods in a Parquet file, as what they store."""

    kind = "extension"

    name: str
    storage: dict[str, Any]
    metadata: str | None

    @classmethod
    def of(cls, column: pl.Series) -> Self | None:
        """Return the format of an extension type that stores numbers, text or times."""
        extension = getattr(pl, "BaseExtension", None)  # older versions of Polars have none
        if extension is None or not isinstance(column.dtype, extension):
            return None
        dtype: Any = column.dtype
        return cls(dtype.ext_name(), dtype_to_json(dtype.ext_storage()), dtype.ext_metadata())

    def read(self, column: pl.Series) -> pl.Series:
        """Return what is stored."""
        return column.ext.storage()

    def restore(self, series: pl.Series) -> pl.Series:
        """Return values of the extension type."""
        storage = dtype_from_json(self.storage)
        return series.ext.to(pl.Extension(self.name, storage, self.metadata))

    def fits(self, dtype: pl.DataType) -> bool:
        """Whether a dtype is the one that is stored."""
        return dtype_to_json(dtype) == self.storage


@dataclass(frozen=True)
class PolarsObjectFormat(ColumnFormat):
    """Python objects: see `boxes`."""

    kind = "polars object"

    box: Box

    @classmethod
    def of(cls, column: pl.Series) -> Self | None:
        """Return the format of a column of objects; DataError for containers."""
        return cls(Box.of(column.name, _values(column))) if column.dtype == pl.Object else None

    def read(self, column: pl.Series) -> pl.Series:
        """Return the objects, null where they are missing."""
        return self.box.series(column.name, _values(column))

    def restore(self, series: pl.Series) -> pl.Series:
        """Return the objects."""
        return pl.Series(series.name, self.box.objects(series), dtype=pl.Object)

    @property
    def spells_objects(self) -> bool:
        """Whether text stands for objects of the box."""
        return self.box.spells_objects

    def note(self, name: str) -> str | None:
        """Return what the box remarks."""
        return self.box.note(name)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`, less the kind."""
        return cls(Box(**data["box"]))


def _values(column: pl.Series) -> list[Any]:
    """Return a column's objects, None for a missing one."""
    return plain_objects([None if is_missing(value) else value for value in column.to_list()])


POLARS_FORMATS: tuple[type[ColumnFormat], ...] = (
    WideIntegerFormat,
    PoolFormat,
    ExtensionFormat,
    PolarsObjectFormat,
)
