"""Columns of pandas as Polars series, and back: one format for each family of dtypes.

A format is found by the dtype (`column_format`), reads the column, is kept in the schema as plain
values, and restores a series to the dtype: value, missing values and dtype are those of the user.
Here are the formats that hold others: categoricals, whose categories have any dtype, and objects;
and an index as plain values. pandas is optional, so it is imported where a frame of it is at hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np
import polars as pl

from pushforward.data.tables.boxes import Box, distinct_texts, plain_objects
from pushforward.data.tables.column_format import ColumnFormat, rebuild
from pushforward.data.tables.column_summary import category_keys
from pushforward.data.tables.dtypes import dtype_from_json, dtype_to_json
from pushforward.data.tables.pandas_dtypes import (
    ArrowFormat,
    Column,
    IntervalFormat,
    NumberFormat,
    PeriodFormat,
    SparseFormat,
    TextFormat,
    TimeFormat,
    looked_up,
    not_understood,
)
from pushforward.errors import DataError

Index = Any  # a pandas index: its stubs know few dtypes


@dataclass(frozen=True)
class CategoryFormat(ColumnFormat):
    """Categoricals: their codes, and categories of any dtype."""

    kind = "category"

    levels: PackedIndex
    ordered: bool

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """Return the format of a categorical."""
        import pandas as pd

        if not isinstance(column.dtype, pd.CategoricalDtype):
            return None
        return cls(PackedIndex.of(column.cat.categories), bool(column.dtype.ordered))

    def read(self, column: Column) -> pl.Series:
        """Return an Enum of the categories as text."""
        texts = distinct_texts(column.cat.categories.tolist())
        return looked_up(column.cat.codes.to_numpy(), texts, pl.Enum(texts))

    def restore(self, series: pl.Series) -> Column:
        """Return a categorical of the user's categories."""
        import pandas as pd

        codes = series.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        levels = self.levels.index()
        return pd.Series(pd.Categorical.from_codes(codes, levels, ordered=self.ordered))

    def fits(self, dtype: pl.DataType) -> bool:
        """Whether a dtype is the Enum that `read` gives."""
        return isinstance(dtype, pl.Enum)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": self.kind, "levels": self.levels.to_json(), "ordered": self.ordered}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(PackedIndex.from_json(data["levels"]), data["ordered"])


@dataclass(frozen=True)
class ObjectFormat(ColumnFormat):
    """Python objects: see `boxes`; those of pandas' own types by the dtype that holds them.

    Args:
        box: of Python's objects.
        typed: the format of pandas' objects (time stamps, periods, ...), or None.
        missing: which of the values that mean missing stands in the column.
    """

    kind = "object"

    box: Box
    typed: ColumnFormat | None
    missing: str

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """Return the format of a column of objects."""
        import pandas as pd

        if column.dtype != object:
            return None
        gaps = column[column.isna()]
        missing = "None" if gaps.empty else _missing_name(gaps.iloc[0])
        if pd.api.types.infer_dtype(column, skipna=True) in ("string", "boolean"):
            return cls(Box("native"), None, missing)  # in one pass: these are the most frequent
        typed = _typed(column)
        if typed is not None:
            return cls(Box("native"), column_format(typed), missing)
        return cls(Box.of(str(column.name), _objects(column)), None, missing)

    def read(self, column: Column) -> pl.Series:
        """Return the objects, null where they are missing."""
        typed = None if self.typed is None else _typed(column)
        if self.typed is not None and typed is not None:
            return self.typed.read(typed)
        return self.box.series("", _objects(column))

    def restore(self, series: pl.Series) -> Column:
        """Return the objects, and the user's own kind of missing values."""
        import pandas as pd

        if self.typed is None or not self.typed.fits(series.dtype):
            values = np.array([*self.box.objects(series), None], dtype=object)[:-1]
        else:
            values = self.typed.restore(series).astype(object).to_numpy(copy=True)
        filler = {"None": None, "nan": np.nan, "NaT": pd.NaT, "NA": pd.NA}[self.missing]
        values[pd.isna(values)] = filler
        return pd.Series(values, dtype=object)

    @property
    def spells_objects(self) -> bool:
        """Whether text stands for objects of the box, or of pandas."""
        return self.box.spells_objects if self.typed is None else self.typed.spells_objects

    def note(self, name: str) -> str | None:
        """Return what the box remarks."""
        return self.box.note(name)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        typed = None if self.typed is None else self.typed.to_json()
        return {"kind": self.kind, "box": asdict(self.box), "typed": typed, "missing": self.missing}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        typed = data["typed"] and rebuild(data["typed"], PANDAS_FORMATS)
        return cls(Box(**data["box"]), typed, data["missing"])


@dataclass(frozen=True)
class PackedIndex:
    """A pandas index as plain values: column labels, categories.

    Args:
        formats, dtypes, values: of each level: its format, its Polars dtype, its keys.
        names: of the levels.
        shape: `"multi"` for a MultiIndex, `"range"` for a RangeIndex, else `"plain"`.
        freq: the frequency of dates, or None.
    """

    formats: tuple[ColumnFormat, ...]
    dtypes: tuple[pl.DataType, ...]
    values: tuple[list[Any], ...]
    names: tuple[Any, ...]
    shape: str
    freq: str | None

    @classmethod
    def of(cls, index: Index) -> PackedIndex:
        """Return the plain values of an index."""
        import pandas as pd

        shapes = {"multi": pd.MultiIndex, "range": pd.RangeIndex}
        shape = next((s for s, family in shapes.items() if isinstance(index, family)), "plain")
        levels = [pd.Series(index.get_level_values(i)) for i in range(index.nlevels)]
        formats = tuple(column_format(level) for level in levels)
        series = [f.read(level) for f, level in zip(formats, levels, strict=True)]
        values = tuple(_json_keys(keys) for keys in series)
        names = plain_names(index)
        dtypes = tuple(keys.dtype for keys in series)
        freq = None if isinstance(index, pd.PeriodIndex) else getattr(index, "freqstr", None)
        return cls(formats, dtypes, values, names, shape, freq)

    def index(self) -> Index:
        """Return the index."""
        import pandas as pd

        levels = [
            pd.Index(f.restore(_from_json_keys(keys, dtype)))
            for f, dtype, keys in zip(self.formats, self.dtypes, self.values, strict=True)
        ]
        if self.shape == "multi":
            return pd.MultiIndex.from_arrays(levels, names=self.names)
        index: Index = levels[0].rename(self.names[0])
        if self.shape == "range":
            step = index[1] - index[0] if len(index) > 1 else 1
            start = index[0] if len(index) else 0
            return pd.RangeIndex(start, start + step * len(index), step, name=self.names[0])
        if self.freq is not None:
            index.freq = self.freq
        return index

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "formats": [f.to_json() for f in self.formats],
            "dtypes": [dtype_to_json(dtype) for dtype in self.dtypes],
            "values": [list(keys) for keys in self.values],
            "names": list(self.names),
            "shape": self.shape,
            "freq": self.freq,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PackedIndex:
        """Rebuild from `to_json`."""
        return cls(
            tuple(rebuild(column, PANDAS_FORMATS) for column in data["formats"]),
            tuple(map(dtype_from_json, data["dtypes"])),
            tuple(map(list, data["values"])),
            tuple(data["names"]),
            data["shape"],
            data["freq"],
        )


PANDAS_FORMATS: tuple[type[ColumnFormat], ...] = (
    CategoryFormat,
    SparseFormat,
    IntervalFormat,
    PeriodFormat,
    ArrowFormat,
    TextFormat,
    ObjectFormat,
    TimeFormat,
    NumberFormat,
)


def column_format(column: Column) -> ColumnFormat:
    """Return the format of a column; DataError for a dtype that has none."""
    for family in PANDAS_FORMATS:
        found = family.of(column)
        if found is not None:
            return found
    raise not_understood(column)


def pack_labels(labels: Index) -> tuple[PackedIndex, list[str]]:
    """Return column labels as plain values, and a note where they come back as text."""
    try:
        return PackedIndex.of(labels), []
    except DataError:
        packed = PackedIndex.of(labels.map(str).rename(labels.name))
        return packed, ["check: the column labels are no text, numbers or times: they become text"]


def _json_keys(series: pl.Series) -> list[Any]:
    """Return values as JSON has them: times as ticks, infinite numbers as text."""
    keys = category_keys(series).to_list()
    return [str(key) if isinstance(key, float) and not math.isfinite(key) else key for key in keys]


def _from_json_keys(keys: list[Any], dtype: pl.DataType) -> pl.Series:
    """Return the values of `_json_keys`."""
    if dtype.is_float():
        keys = [None if key is None else float(key) for key in keys]
    return pl.Series(keys).cast(dtype) if keys else pl.Series([], dtype=dtype)


def plain_names(index: Index) -> tuple[Any, ...]:
    """Return the names of an index's levels; text for one that is neither that nor a number."""
    names = plain_objects(list(index.names))
    return tuple(n if n is None or type(n) in (str, int, float, bool) else str(n) for n in names)


def _missing_name(value: Any) -> str:
    """Return which value that means missing this is."""
    names = {"NoneType": "None", "NaTType": "NaT", "NAType": "NA"}
    return names.get(type(value).__name__, "nan")


def _objects(column: Column) -> list[Any]:
    """Return a column's Python objects, None for a missing one."""
    values = column.to_numpy(dtype=object, copy=True)
    values[column.isna().to_numpy()] = None
    return plain_objects(list(values))


def _typed(column: Column) -> Column | None:
    """Return a column of pandas' own objects in the dtype that holds them; None for others."""
    import pandas as pd

    present = column.reset_index(drop=True).dropna()
    types = set(map(type, present))
    families = (
        {pd.Timestamp, np.datetime64, datetime},
        {pd.Timedelta, np.timedelta64, timedelta},
        {pd.Period},
        {pd.Interval},
    )
    if not types or types in ({datetime}, {timedelta}) or not any(types <= f for f in families):
        return None
    typed = pd.Series(present.tolist(), index=present.index)
    return None if typed.dtype == object else typed.reindex(range(len(column)))
