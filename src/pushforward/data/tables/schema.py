"""Tables: every column becomes one categorical over atoms and quantile bins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.schema import Condition, Kind, Schema
from pushforward.data.tables.columns import Category, Column, column_from_json
from pushforward.data.tables.constraints import Rules
from pushforward.data.tables.frames import Make, to_polars
from pushforward.data.tables.identifiers import Identifier
from pushforward.data.tables.quantile_table import Stack, stack
from pushforward.errors import DataError
from pushforward.space import Cells


class TableSchema(Schema):
    """Tables of numbers, categories, truth values and times, with missing values in each.

    Encoded: float64 (n, columns), one number for each modelled column: an amount as it is, a time
    in units since an origin, a category's code, NaN for a missing value; nothing is lost. Expanded:
    one-hot over each column's cells (atoms and quantile bins, see `partition`).

    Args:
        order: all column names, as the user's table has them.
        columns: the modelled columns, in that order.
        identifiers: the columns that are generated fresh.
        classes: the column that models are conditioned on, or None.
        make: how to give a data frame back as it came.
        rules: the constraints: how the user's table becomes one of the modelled columns, and back.
    """

    kind: ClassVar[Kind] = "table"

    def __init__(
        self,
        order: Sequence[str],
        columns: Sequence[Column],
        identifiers: Sequence[Identifier] = (),
        classes: Category | None = None,
        make: Make | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.order, self.columns = tuple(order), tuple(columns)
        self.identifiers, self.classes = tuple(identifiers), classes
        self.make, self.rules = make or Make(), rules or Rules()
        self.condition = None if classes is None else _condition(classes)
        self._stacks: dict[torch.device, Stack] = {}
        if not columns:
            msg = (
                "a table needs at least one column to model, and each of its columns is an "
                "identifier or the condition; override one of them, e.g. as categorical"
            )
            raise DataError(msg)

    @cached_property
    def space(self) -> Cells:
        """One categorical a column."""
        return Cells(tuple(column.partition.cells for column in self.columns))

    @cached_property
    def numeric_columns(self) -> tuple[int, ...]:
        """The positions of the numeric columns among the modelled ones."""
        return tuple(i for i, column in enumerate(self.columns) if column.kind == "numeric")

    def numeric(self, rows: Tensor) -> Tensor:
        """Return the values (n, numeric columns) of the numeric columns, NaN where missing."""
        return rows[:, list(self.numeric_columns)]

    def cells(self, rows: Tensor) -> Tensor:
        """Return the cell (n, columns) that each value falls into."""
        return self._stack(rows.device).cells(rows).mT

    def encode(self, raw: Any) -> Tensor:
        """Return float64 (n, columns) for a data frame; DataError when it does not fit."""
        frame = self.rules.apply(to_polars(raw)[0])
        absent = [column.name for column in self.columns if column.name not in frame.columns]
        if absent:
            msg = f"the table lacks the column(s) {', '.join(map(repr, absent))}"
            raise DataError(msg)
        numbers = [column.encode(frame[column.name]) for column in self.columns]
        return torch.from_numpy(np.stack(numbers, axis=1))

    def labels(self, raw: Any) -> Tensor | None:
        """Return the codes (n,) of the condition's classes in a data frame, or None."""
        if self.classes is None:
            return None
        frame, _, _ = to_polars(raw)
        if self.classes.name not in frame.columns:
            msg = f"the table lacks the column {self.classes.name!r}, the condition"
            raise DataError(msg)
        codes = self.classes.encode(frame[self.classes.name])
        return torch.from_numpy(codes).nan_to_num(len(self.classes.levels)).long()

    def compact(self, rows: Tensor) -> Tensor:
        """Return the cell (n, columns) of each value, as the smallest integers that hold them."""
        largest = max(self.space.sizes) - 1
        fitting = (t for t in (torch.uint8, torch.int16) if largest <= torch.iinfo(t).max)
        return self.cells(rows).to(next(fitting, torch.int32)).contiguous()

    def expand(self, rows: Tensor) -> Tensor:
        """Return float32 (n, sum of cells): one-hot, by one scatter; of encoded rows or compact."""
        cells = self.cells(rows) if rows.is_floating_point() else rows
        position = cells + self._stack(rows.device).offset.mT
        x = rows.new_zeros((len(rows), *self.space.shape), dtype=torch.float32)
        return x.scatter_(1, position, 1.0)

    def quantise(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return encoded rows: the likeliest cell of each column, and a draw from within it."""
        best = torch.stack(
            [part.argmax(1) for part in torch.split(x, list(self.space.sizes), dim=1)]
        )
        return self.draw_in_cells(best.mT, generator)

    def draw_in_cells(self, cells: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return encoded rows, each value a draw from within its cell (n, columns)."""
        return self._stack(cells.device).draw_in_cells(cells, generator)

    def decode(
        self,
        rows: Tensor,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Any:
        """Return a data frame of the make, the columns and the dtypes that the user gave."""
        return self.make.restore(self.frame(rows, labels, generator))

    def frame(
        self,
        rows: Tensor,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
        first: int = 0,
    ) -> pl.DataFrame:
        """Return a Polars frame for rows of which the first is the sample's row `first`.

        With the same generator, identifiers differ from those of the sample's other rows.
        """
        numbers = rows.detach().cpu().double().numpy()
        found = {c.name: c.decode(numbers[:, i]) for i, c in enumerate(self.columns)}
        found |= {i.name: i.generate(len(numbers), generator, first) for i in self.identifiers}
        if self.classes is not None:
            found[self.classes.name] = self.classes.decode(self._codes(labels))
        return self.rules.verify(self.rules.undo(pl.DataFrame(found)).select(self.order))

    def _codes(self, labels: Tensor | None) -> Any:
        """Return the condition's codes as its column has them, NaN for missing."""
        if labels is None or self.classes is None:
            name = self.condition and self.condition.name
            msg = f"column {name!r} is the condition: decoding rows needs their labels"
            raise DataError(msg)
        codes = labels.detach().cpu().double().numpy()
        return np.where(codes == len(self.classes.levels), np.nan, codes)

    def features(self, rows: Tensor) -> Tensor:
        """Return float32 (n, d): ranks of numbers, one-hot categories, flags for missing numbers.

        Ranks (in [0, 1], 0.5 for a missing value) are scaled by sqrt(6) and one-hot cells by
        1 / sqrt(2): then a column adds at most 1 to the expected squared distance of two rows, a
        number without ties exactly 1, a category the probability that two rows differ in it.
        """
        ranks = self._stack(rows.device).ranks(rows)[list(self.numeric_columns)]
        gaps = [i for i in self.numeric_columns if self.columns[i].partition.missing is not None]
        parts = torch.split(self.expand(rows), list(self.space.sizes), dim=1)
        numeric = set(self.numeric_columns)
        onehot = [part for i, part in enumerate(parts) if i not in numeric]
        flags = rows[:, gaps].isnan()
        scaled = [ranks.mT * math.sqrt(6), *(p / math.sqrt(2) for p in onehot), flags]
        return torch.cat([part.float() for part in scaled], dim=1)

    def spelled(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame with numbers and times spelled as in the user's CSV file."""
        known = self.rules.codecs | {column.name: column for column in self.columns}
        columns = frame.iter_columns()
        return pl.DataFrame(
            {c.name: known[c.name].text(c) if c.name in known else c for c in columns}
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "order": list(self.order),
            "columns": [column.to_json() for column in self.columns],
            "identifiers": [identifier.to_json() for identifier in self.identifiers],
            "condition": None if self.classes is None else self.classes.to_json(),
            "make": self.make.to_json(),
            "rules": self.rules.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TableSchema:
        """Rebuild a schema from `to_json`."""
        classes = None if data["condition"] is None else column_from_json(data["condition"])
        return cls(
            data["order"],
            [column_from_json(column) for column in data["columns"]],
            [Identifier.from_json(identifier) for identifier in data["identifiers"]],
            classes if isinstance(classes, Category) else None,
            Make.from_json(data["make"]),
            Rules.from_json(data["rules"]),
        )

    def _stack(self, device: torch.device) -> Stack:
        """Return the lookup tables on a device."""
        if device not in self._stacks:
            partitions = [column.partition for column in self.columns]
            tables = stack(partitions, [column.decimals for column in self.columns])
            self._stacks[device] = tables.to(device)
        return self._stacks[device]


def _condition(column: Category) -> Condition:
    """Return the classes of a column, a missing value the last."""
    codes = np.arange(len(column.levels), dtype=np.float64)
    times = column.dtype.is_temporal()
    classes = map(str, column.decode(codes).to_list()) if times else column.levels
    gone, shares = column.partition.missing, tuple(column.partition.mass.tolist())
    if gone is None:
        return Condition(column.name, tuple(classes), shares)
    return Condition(column.name, (*classes, None), (*shares, gone))
