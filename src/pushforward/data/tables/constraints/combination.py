"""Combinations: several columns become one categorical over the combinations that occur."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.column_summary import ColumnSummary
from pushforward.data.tables.columns import CategoricalCodec, column_from_json
from pushforward.data.tables.constraints.difference import Limits
from pushforward.data.tables.constraints.lookup import exact_codec
from pushforward.data.tables.constraints.number_line import NumberLine
from pushforward.data.tables.text_types import TextFormats
from pushforward.errors import DataError

CODE, COUNT = "code", "count"  # columns beside those of a combination, which are numbered
MOST = 0.5  # of the training rows


@dataclass(frozen=True, eq=False)
class CombinationStep:
    """Columns that are modelled as the code of their combination.

    Args:
        columns: the codecs of their values.
        table: (k, columns) the combinations as numbers, NaN for a missing value; those of training
            rows come first.
        observed: how many of them training rows have. The others (of validation and test rows) are
            encoded and decoded too, but are never generated, and not stored.
        name: of the modelled column.
        single: how many of them one training row alone has.
    """

    kind: ClassVar[str] = "combination"

    columns: tuple[ColumnCodec, ...]
    table: Floats
    observed: int
    name: str
    single: int = 0

    @classmethod
    def fit(
        cls, members: Sequence[pl.Series], train: Ints, text_formats: TextFormats, name: str
    ) -> CombinationStep:
        """Learn the combinations of all rows, and which of them training rows have.

        DataError where most training rows have one of their own: to store them would be to store
        rows, and to generate them to copy rows.
        """
        columns = tuple(exact_codec(values, text_formats) for values in members)
        step = cls(columns, np.empty((0, len(columns))), 0, name)
        rows = step._numbers({values.name: values for values in members})
        counted = rows[train].group_by(rows.columns).len(COUNT).sort(rows.columns)
        single, observed = int((counted[COUNT] == 1).sum()), counted.drop(COUNT)
        if single > MOST * len(train):
            raise DataError(_refusal(step.replaced, single, len(train)))
        others = rows.unique().join(observed, on=rows.columns, how="anti", nulls_equal=True)
        table = pl.concat([observed, others.sort(rows.columns)]).cast(pl.Float64)
        numbers = table.to_numpy().astype(np.float64)
        return replace(step, table=numbers, observed=len(observed), single=single)

    @property
    def modelled(self) -> tuple[str, ...]:
        """The column that is modelled instead."""
        return (self.name,)

    @property
    def operands(self) -> tuple[str, ...]:
        """The columns that the replaced ones are computed from: none."""
        return ()

    @property
    def replaced(self) -> tuple[str, ...]:
        """The columns that are not modelled themselves."""
        return tuple(column.name for column in self.columns)

    def codec(self, codes: pl.Series, train: Ints) -> CategoricalCodec:
        """Return the codec of the modelled column, without cells of unobserved combinations."""
        column = CategoricalCodec.fit(ColumnSummary.of(codes, "categorical"), codes[train])
        cell = column.partition.cell.copy()
        cell[column.partition.mass == 0] = cell[column.partition.mass.argmax()]
        _, consecutive = np.unique(cell, return_inverse=True)
        return replace(column, partition=replace(column.partition, cell=consecutive))

    def codes(self, frame: pl.DataFrame) -> Floats:
        """Return the code (n,) of each row's combination; NaN for one that does not occur."""
        rows = self._numbers(frame)
        known = pl.DataFrame(self.table, schema=rows.schema, orient="row").fill_nan(None)
        known = known.with_columns(pl.Series(CODE, np.arange(len(known), dtype=np.float64)))
        joined = rows.join(
            known, on=rows.columns, how="left", nulls_equal=True, maintain_order="left"
        )
        return joined[CODE].fill_null(np.nan).to_numpy()

    def transform(self, frame: pl.DataFrame, _lines: Mapping[str, NumberLine]) -> pl.DataFrame:
        """Return a frame with the code instead of the columns."""
        codes = pl.Series(self.name, self.codes(frame)).cast(pl.Int64)
        return frame.drop(self.replaced).with_columns(codes)

    def inverse_transform(
        self, frame: pl.DataFrame, _lines: Mapping[str, NumberLine], _limits: Limits
    ) -> pl.DataFrame:
        """Return a frame with the columns instead of the code."""
        rows = self.table[frame[self.name].to_numpy()]
        members = [column.decode(rows[:, i]) for i, column in enumerate(self.columns)]
        return frame.drop(self.name).with_columns(members)

    def numbers_of(self, name: str) -> Floats:
        """Return the number that each combination (k,) has in a column, NaN for a missing value."""
        return self.table[:, self.replaced.index(name)]

    def _numbers(self, frame: Mapping[str, pl.Series] | pl.DataFrame) -> pl.DataFrame:
        """Return the columns' values as numbers, null for a missing one."""
        numbers = {str(i): c.encode(frame[c.name]) for i, c in enumerate(self.columns)}
        return pl.DataFrame(numbers, schema=dict.fromkeys(numbers, pl.Float64)).fill_nan(None)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; of the combinations those of training rows."""
        known = self.table[: self.observed]
        return {
            "kind": self.kind,
            "columns": [column.to_json() for column in self.columns],
            "table": [[None if np.isnan(x) else x for x in row] for row in known.tolist()],
            "observed": self.observed,
            "name": self.name,
            "single": self.single,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CombinationStep:
        """Rebuild from `to_json`."""
        columns = tuple(column_from_json(column) for column in data["columns"])
        rows = [[np.nan if x is None else x for x in row] for row in data["table"]]
        table = np.array(rows, np.float64).reshape(-1, len(columns))
        return cls(columns, table, data["observed"], data["name"], data["single"])


def _refusal(columns: Sequence[str], single: int, rows: int) -> str:
    """Return why columns cannot be combined."""
    return (
        f"{single:,} of {rows:,} training rows have a combination of {', '.join(columns)} of their "
        "own, and combine() would store and copy these; combine fewer columns, or leave it out"
    )
