"""Fixed combinations: several columns become one categorical over the combinations that occur."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl

from pushforward.data.tables.column_summary import WORDS, Facts
from pushforward.data.tables.columns import Category, Column, Number, column_from_json
from pushforward.data.tables.constraints.difference import Limits
from pushforward.data.tables.constraints.number_line import Line
from pushforward.data.tables.partition import Floats, Ints
from pushforward.data.tables.text import Spelling

CODE = "code"


@dataclass(frozen=True, eq=False)
class Joint:
    """Columns that are modelled as the code of their combination.

    Args:
        columns: the codecs of their values.
        table: (k, columns) the combinations as numbers, NaN for a missing value; those of training
            rows come first.
        seen: how many of them training rows have. The others (of validation and test rows) are
            encoded and decoded too, but are never generated.
        name: of the modelled column.
    """

    kind: ClassVar[str] = "joint"

    columns: tuple[Column, ...]
    table: Floats
    seen: int
    name: str

    @classmethod
    def fit(cls, frame: Sequence[pl.Series], train: Ints, spelling: Spelling, name: str) -> Joint:
        """Learn the combinations that there are, and which of them training rows have."""
        columns = tuple(_codec(values, spelling) for values in frame)
        own = cls(columns, np.empty((0, len(columns))), 0, name)
        rows = own._numbers({values.name: values for values in frame})
        seen = rows[train].unique().sort(rows.columns)
        others = rows.unique().join(seen, on=rows.columns, how="anti", nulls_equal=True)
        table = pl.concat([seen, others.sort(rows.columns)]).cast(pl.Float64)
        return replace(own, table=table.to_numpy().astype(np.float64), seen=len(seen))

    @property
    def replaced(self) -> tuple[str, ...]:
        """The columns that are not modelled themselves."""
        return tuple(column.name for column in self.columns)

    def category(self, codes: pl.Series, train: Ints) -> Category:
        """Return the codec of the modelled column, which gives no cell to an unseen combination."""
        column = Category.fit(Facts.of(codes, "categorical"), codes[train])
        cell = column.partition.cell.copy()
        cell[column.partition.mass == 0] = cell[column.partition.mass.argmax()]
        _, dense = np.unique(cell, return_inverse=True)
        return replace(column, partition=replace(column.partition, cell=dense))

    def codes(self, frame: pl.DataFrame) -> Floats:
        """Return the code (n,) of each row's combination; NaN for one that does not occur."""
        rows = self._numbers(frame)
        known = pl.DataFrame(self.table, schema=rows.schema, orient="row").fill_nan(None)
        known = known.with_columns(pl.Series(CODE, np.arange(len(known), dtype=np.float64)))
        found = rows.join(
            known, on=rows.columns, how="left", nulls_equal=True, maintain_order="left"
        )
        return found[CODE].fill_null(np.nan).to_numpy()

    def apply(self, frame: pl.DataFrame, _lines: Mapping[str, Line]) -> pl.DataFrame:
        """Return a frame with the code instead of the columns."""
        codes = pl.Series(self.name, self.codes(frame)).cast(pl.Int64)
        return frame.drop(self.replaced).with_columns(codes)

    def undo(
        self, frame: pl.DataFrame, _lines: Mapping[str, Line], _limits: Limits
    ) -> pl.DataFrame:
        """Return a frame with the columns instead of the code."""
        rows = self.table[frame[self.name].to_numpy()]
        found = [column.decode(rows[:, i]) for i, column in enumerate(self.columns)]
        return frame.drop(self.name).with_columns(found)

    def _numbers(self, frame: Mapping[str, pl.Series] | pl.DataFrame) -> pl.DataFrame:
        """Return the columns' values as numbers, null for a missing one."""
        numbers = {str(i): c.encode(frame[c.name]) for i, c in enumerate(self.columns)}
        return pl.DataFrame(numbers, schema=dict.fromkeys(numbers, pl.Float64)).fill_nan(None)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        table = [[None if np.isnan(x) else x for x in row] for row in self.table.tolist()]
        own = {"table": table, "seen": self.seen, "name": self.name}
        return {"kind": self.kind, "columns": [column.to_json() for column in self.columns]} | own

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Joint:
        """Rebuild from `to_json`."""
        columns = tuple(column_from_json(column) for column in data["columns"])
        rows = [[np.nan if x is None else x for x in row] for row in data["table"]]
        table = np.array(rows, np.float64).reshape(-1, len(columns))
        return cls(columns, table, data["seen"], data["name"])


def _codec(values: pl.Series, spelling: Spelling) -> Column:
    """Return an exact codec of a column."""
    if values.dtype in WORDS:
        return Category.fit(Facts.of(values, "categorical"), values.head(1), "keep")
    return Number.fit(Facts.of(values, None), values.head(1), spelling)
