"""What a codec of one column is: it encodes each value as one number, exactly.

A number is encoded as itself, a time as the units since an origin, a category as its code, a
missing value as NaN. The partition (atoms and quantile bins) only determines how a network sees
that number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats
from pushforward.data.tables.dtypes import dtype_to_json
from pushforward.data.tables.partition import (
    Partition,
)
from pushforward.errors import DataError

ColumnKind = Literal["numeric", "categorical"]


@dataclass(frozen=True, eq=False)
class ColumnCodec(ABC):
    """The codec of one modelled column.

    Args:
        name: of the column.
        dtype: its Polars dtype, which `decode` restores.
        partition: the cells of its numbers.
    """

    kind: ClassVar[ColumnKind]

    name: str
    dtype: pl.DataType
    partition: Partition

    @property
    @abstractmethod
    def decimals(self) -> int | None:
        """The digits after the point of generated numbers; None for full precision."""

    @abstractmethod
    def encode(self, values: pl.Series) -> Floats:
        """Return the numbers of these values; DataError when they do not fit."""

    @abstractmethod
    def decode(self, numbers: Floats) -> pl.Series:
        """Return the values of these numbers."""

    def encode_present(self, values: pl.Series) -> Floats:
        """Return the numbers of values, NaN for missing ones, even in a column that has none."""
        if values.dtype == pl.Null:
            return np.full(len(values), np.nan)
        return replace(self, partition=Partition.empty()).encode(values)

    def refuse_changed(self, values: pl.Series) -> None:  # noqa: B027  # of categories none is changed
        """Raise DataError for a value that the column's type would change: 3.4 among integers."""

    @property
    def holds_text(self) -> bool:
        """Whether the user's data frame holds text, which is modelled as numbers or times."""
        return False

    def parse(self, values: pl.Series) -> pl.Series:
        """Return values with text, or integers that spell times, as the numbers or times it is."""
        return values

    def format_text(self, values: pl.Series) -> pl.Series:
        """Return values as they are written in a file of text."""
        return values

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "dtype": dtype_to_json(self.dtype),
            "partition": self.partition.to_json(),
        }

    def refuse_missing(self, numbers: Floats) -> Floats:
        """Return the numbers; DataError when one is missing and the column has no such cell."""
        if self.partition.missing is None and np.isnan(numbers).any():
            row = int(np.isnan(numbers).argmax()) + 1
            msg = f"column {self.name!r} must have no missing values, and row {row} has one"
            raise DataError(msg)
        return numbers
