"""Rows of a table some of whose cells are known: what a user gives to be filled in or continued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.numeric import Mask
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.constraints.constraint_set import is_missing
from pushforward.data.tables.constraints.known_cells import KnownCells
from pushforward.data.tables.frames import by_name, to_polars
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import DataError, nearest

UNKNOWN = -1  # the code of a class that is not known


@dataclass(frozen=True, eq=False)
class PartialRows:
    """Rows (n) of a table, some of whose cells are known.

    Args:
        schema: the table's.
        rows: (n, C) the encoded values of the modelled columns, NaN where missing or unknown.
        known: (n, C) which of them are known.
        labels: (n,) the codes of the condition's classes, `UNKNOWN` for some; None without one.
        choices: by the position of a modelled column, which of its categories (n, levels) a row may
            have.
        free: (cells of the space,) which cells values that are not known may have.
        given: the user's rows, text parsed.
        kept: by the name of a user's column, in which rows (n,) it is known.
    """

    schema: TableSchema
    rows: Tensor
    known: Tensor
    labels: Tensor | None
    choices: Mapping[int, Tensor]
    free: Tensor
    given: pl.DataFrame
    kept: Mapping[str, Mask]

    @classmethod
    def of(
        cls, schema: TableSchema, raw: Any, *, fill: bool = False, missing_known: bool = False
    ) -> PartialRows:
        """Return the rows of a user's frame. Columns that it lacks are not known.

        Args:
            schema: the table's.
            raw: a data frame with some of its columns.
            fill: whether what is not known must have a value, and cannot be missing.
            missing_known: whether a missing value is known to be missing in a column where training
                rows have missing values; else it is not known.

        Raises:
            DataError: for a column or a category that the table does not have, no known column at
                all, a value that its column's type would change, a row that violates a constraint,
                and a column that one ties to another which is not known.
        """
        frame = _complete(schema, raw)
        codecs = schema.codecs
        kept = {n: ~is_missing(frame[n]) for n in frame.columns}
        known = {n: kept[n] for n in codecs}
        if missing_known:
            present = set(to_polars(raw)[0].columns)
            whole = [n for n in known if n in present and codecs[n].partition.missing is not None]
            known |= {n: np.ones(len(frame), np.bool_) for n in whole}
        cells = KnownCells(frame.select(list(codecs)), known)
        cells.transform(schema.constraint_set, fill=fill)
        numbers = np.stack([c.encode_present(cells.frame[c.name]) for c in schema.columns], 1)
        is_known = np.stack([cells.known[c.name] for c in schema.columns], 1)
        possible = np.array([c.partition.missing is not None for c in schema.columns])
        is_known &= possible | ~np.isnan(numbers)
        return cls(
            schema,
            torch.from_numpy(np.where(is_known, numbers, np.nan)),
            torch.from_numpy(is_known),
            _labels(schema, frame, known),
            _choices(schema, cells),
            _free(schema, fill=fill),
            frame,
            kept,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def share(self, index: Tensor) -> Tensor:
        """Return how much of each cell (b, cells of the space) some rows may have."""
        schema, rows = self.schema, self.rows[index]
        owner = schema.column_of_cell
        exact = schema.expand(rows)
        share = torch.where(self.known[index][:, owner], exact, self.free.expand_as(exact))
        for column, allowed in self.choices.items():
            own = torch.from_numpy(_level_cells(schema.columns[column])).float()
            part = allowed[index].float() @ own / own.sum(0).clamp_min(1e-300)
            at = schema.cells_of_column(column)
            share[:, at] = torch.where(self.known[index][:, [column]], exact[:, at], part)
        for i, j in schema.implied:  # what is there has not been implied to be missing
            there = ~rows[:, j].isnan() & ~self.known[index, i]
            share[there, schema.cells_of_column(i).start] = 0
        return share

    def settled(self, rows: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
        """Return drawn rows (b, C), in which what is known is as it was given.

        Of categories that share a cell, one of those is drawn that a row may have.
        """
        rows = rows.clone()
        for column, allowed in self.choices.items():
            codec, own = self.schema.columns[column], allowed[index]
            levels = torch.from_numpy(_level_cells(codec)).float()
            drawn = torch.from_numpy(codec.partition.cell)[rows[:, column].long()]
            weight = own.float() * levels[:, drawn].mT
            wrong = ~own.gather(1, rows[:, [column]].long())[:, 0] & (weight.sum(1) > 0)
            if wrong.any():
                again = torch.multinomial(weight[wrong], 1, generator=generator)[:, 0]
                rows[wrong, column] = again.to(rows)
        return torch.where(self.known[index], self.rows[index], rows)

    def restore(self, rows: Tensor, labels: Tensor | None, generator: torch.Generator) -> Any:
        """Return filled rows (n, C) as the user's data, each known cell as it was given."""
        schema = self.schema
        filled = schema.frame(rows, labels, generator)
        columns = []
        for drawn in filled.iter_columns():
            values = schema.parse(drawn)
            own, kept = self.given[drawn.name], pl.Series(self.kept[drawn.name])
            own = own.fill_nan(None) if own.dtype.is_float() else own
            columns.append(own.cast(values.dtype).zip_with(kept, values).alias(drawn.name))
        frame = schema.format_text(by_name(columns), only_held=True)
        return schema.frame_format.restore(frame)


def _complete(schema: TableSchema, raw: Any) -> pl.DataFrame:
    """Return a user's frame with all columns of the table, text parsed, absent ones null."""
    frame = to_polars(raw)[0]
    unknown = [name for name in frame.columns if name not in schema.column_names]
    if unknown:
        raise DataError(f"no column {unknown[0]!r}; {nearest(unknown[0], schema.column_names)}")
    if not set(frame.columns) & set(schema.codecs):
        raise DataError(f"the rows must have some of the columns {', '.join(schema.codecs)}")
    parsed = by_name(schema.parse(values) for values in frame.iter_columns())
    for name in parsed.columns:
        if name in schema.codecs:  # refuses what is unknown, by its row
            schema.codecs[name].encode_present(parsed[name])
    refuse_changed(schema, frame)
    absent = [pl.lit(None).alias(name) for name in schema.column_names if name not in frame.columns]
    return parsed.with_columns(absent).select(schema.column_names)


def refuse_changed(schema: TableSchema, frame: pl.DataFrame) -> None:
    """Raise DataError for a value of a user's frame that its column's type would change."""
    for values in frame.iter_columns():
        if values.name in schema.codecs:
            schema.codecs[values.name].refuse_changed(values)


def _labels(schema: TableSchema, frame: pl.DataFrame, known: Mapping[str, Mask]) -> Tensor | None:
    """Return the codes of the condition's classes, `UNKNOWN` where they are not known."""
    column = schema.condition_column
    if column is None:
        return None
    codes = column.encode_present(frame[column.name])
    classes = np.where(np.isnan(codes), len(column.levels), codes)  # a missing value is the last
    return torch.from_numpy(np.where(known[column.name], classes, UNKNOWN)).long()


def _level_cells(column: ColumnCodec) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return how many training rows (levels, cells) each category brings to each cell."""
    p = column.partition
    mass = np.zeros((len(p.cell), p.n_cells))
    mass[np.arange(len(p.cell)), p.cell] = p.mass
    return mass


def _choices(schema: TableSchema, cells: KnownCells) -> dict[int, Tensor]:
    """Return the choices by position, of the levels of the column's codec."""
    found = {}
    for at, column in enumerate(schema.columns):
        if column.name in cells.choices:
            codes = np.array(getattr(column, "levels", ()), np.int64)
            found[at] = torch.from_numpy(cells.choices[column.name][:, codes])
    for key, step, rows, frame in cells.looked_up:
        positions = {column.name: i for i, column in enumerate(schema.columns)}
        if key not in positions:
            name, row = step.column.name, int(rows.argmax()) + 1
            msg = f"row {row}: {name!r} is known, and it is looked up by {key!r}, which is not"
            raise DataError(f"{msg}; give {key!r} as well, or leave {name!r} out")
        at = positions[key]
        levels = list(getattr(schema.columns[at], "levels", ()))
        numbers = step.column.encode_present(frame[step.column.name])
        agree = torch.from_numpy(step.agreeing(frame, key, levels, numbers) | ~rows[:, None])
        found[at] = found[at] & agree if at in found else agree
    return found


def _free(schema: TableSchema, *, fill: bool) -> Tensor:
    """Return which cells may be drawn: all, or all but those of missing values."""
    free = torch.ones(sum(schema.space.sizes))
    for at, column in enumerate(schema.columns):
        if fill and column.partition.missing is not None and column.partition.n_cells > 1:
            free[schema.cells_of_column(at).start] = 0
    return free
