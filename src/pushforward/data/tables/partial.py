"""Rows of a table some of whose cells are known: what a user gives to be filled in or continued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data.numeric import Mask
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.columns import CategoricalCodec, Level
from pushforward.data.tables.constraints.constraint_set import is_missing
from pushforward.data.tables.constraints.derived import DerivedStep
from pushforward.data.tables.constraints.known_cells import HiddenKey, KnownCells
from pushforward.data.tables.constraints.lookup import LookupStep
from pushforward.data.tables.frames import by_name, to_polars
from pushforward.data.tables.missing_together import with_implied
from pushforward.data.tables.repeat_cases import Cases
from pushforward.data.tables.schema import TableSchema
from pushforward.errors import DataError, nearest

UNKNOWN = -1  # the code of a class that is not known
TINY = 1e-300  # against division by 0


@dataclass(frozen=True, eq=False)
class Choice:
    """What a column of categories may have in rows (n) where it is not known.

    Args:
        codec: the column's.
        levels: (n, levels) which categories.
        missing: (n,) whether it may be missing.
    """

    codec: ColumnCodec
    levels: Tensor
    missing: Tensor

    def share(self, index: Tensor) -> Tensor:
        """Return how much of each cell (b, cells) some rows may have."""
        mass = _level_cells(self.codec)
        share = self.levels[index].to(mass) @ mass / mass.sum(0).clamp_min(TINY)
        if self.codec.partition.missing is not None:
            share[:, 0] = self.missing[index].to(mass)
        return share.float()

    def settled(self, drawn: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
        """Return drawn codes (b,) of some rows, those they may not have drawn again.

        Of the categories of the same cell, as far as there is one.
        """
        own, missing, level = self.levels[index], drawn.isnan(), drawn.nan_to_num().long()
        partition = self.codec.partition
        weight = _level_cells(self.codec)[:, torch.from_numpy(partition.cell)[level]].mT.clone()
        weight[missing] = torch.from_numpy(partition.mass).clamp_min(TINY)
        weight *= own
        wrong = torch.where(missing, ~self.missing[index], ~own.gather(1, level[:, None])[:, 0])
        wrong &= weight.sum(1) > 0
        settled = drawn.clone()
        if wrong.any():
            again = torch.multinomial(weight[wrong], 1, generator=generator)[:, 0]
            settled[wrong] = again.to(drawn)
        return settled


@dataclass(frozen=True, eq=False)
class PartialRows:
    """Rows (n) of a table, some of whose cells are known.

    Args:
        schema: the table's.
        rows: (n, C) the encoded values of the modelled columns, NaN where missing or unknown.
        known: (n, C) which of them are known.
        labels: (n,) the codes of the condition's classes, `UNKNOWN` for some; None without one.
        choices: by the position of a modelled column, what a row may have of it.
        rests: by the position of the rest of a lookup, in which rows (n,) it has the value that is
            looked up, if any, and those values (n,), NaN for what no rest is.
        free: (cells of the space,) which cells values that are not known may have.
        given: the user's rows, text parsed.
        kept: by the name of a user's column, in which rows (n,) it is known.
        computed: the columns of formulas that may have no value, where all rows shall have one.
    """

    schema: TableSchema
    rows: Tensor
    known: Tensor
    labels: Tensor | None
    choices: Mapping[int, Choice]
    rests: Mapping[int, tuple[Tensor, Tensor]]
    free: Tensor
    given: pl.DataFrame
    kept: Mapping[str, Mask]
    computed: tuple[str, ...] = ()

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
        schema = _never_missing(schema) if fill else schema
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
        unsaid, unknown = np.full(len(frame), np.nan), np.zeros(len(frame), np.bool_)
        said = {repeat.name for repeat in schema.constraint_set.repeats}
        numbers = np.stack(
            [
                unsaid if c.name in said else c.encode_present(cells.frame[c.name])
                for c in schema.columns
            ],
            1,
        )
        is_known = np.stack([cells.known.get(c.name, unknown) for c in schema.columns], 1)
        for repeater in schema.repeaters:
            numbers[:, repeater.at] = repeater.told(torch.from_numpy(numbers))
            is_known[:, repeater.at] = repeater.is_known(torch.from_numpy(is_known))
        possible = np.array([c.partition.missing is not None for c in schema.columns])
        is_known &= possible | ~np.isnan(numbers)
        return cls(
            schema,
            torch.from_numpy(np.where(is_known, numbers, np.nan)),
            torch.from_numpy(is_known),
            _labels(schema, frame, known),
            _choices(schema, cells, fill=fill),
            _rests(schema, cells),
            _free(schema, fill=fill),
            frame,
            kept,
            _computed(schema) if fill else (),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def cases(self, index: Tensor, asked: int | None = None) -> Cases:
        """Return the cases of some rows, see `Cases.of`."""
        return Cases.of(self.schema.repeaters, self.rows[index], self.known[index], asked)

    def share(self, index: Tensor, cases: Cases | None = None) -> Tensor:
        """Return how much of each cell (b, cells of the space) some rows may have.

        Or that of each of their cases, (m, cells of the space).
        """
        cases = cases or Cases.single(self.rows[index], self.known[index])
        index, schema, known = index[cases.owner], self.schema, cases.known
        owner = schema.column_of_cell
        exact = schema.expand(cases.rows)
        share = torch.where(known[:, owner], exact, self.free.expand_as(exact))
        for column, choice in self.choices.items():
            at = schema.cells_of_column(column)
            share[:, at] = torch.where(known[:, [column]], exact[:, at], choice.share(index))
        if self.rests:
            values, open_rows = self._rests(index)
            share = torch.where(open_rows[:, owner], exact.maximum(schema.expand(values)), share)
        for i, j in schema.implied:  # what has a value has not been implied to be missing
            there = (share[:, schema.cells_of_column(j).start] == 0) & ~known[:, i]
            share[there, schema.cells_of_column(i).start] = 0
        return torch.where(cases.repeated[:, owner], 1.0, share)

    def _rests(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return some rows with the rests that they have if any, and where that is open, (b, C)."""
        values, open_rows = self.rows[index], torch.zeros_like(self.known[index])
        for at, (rows, rest) in self.rests.items():
            open_rows[:, at] = rows[index]
            values[:, at] = torch.where(rows[index], rest[index], values[:, at])
        return values, open_rows

    def settled(self, rows: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
        """Return drawn rows (b, C), in which what is known is as it was given.

        Of categories that share a cell, one of those is drawn that a row may have.
        """
        rows = rows.clone()
        for column, choice in self.choices.items():
            rows[:, column] = choice.settled(rows[:, column], index, generator)
        schema, given, known = self.schema, self.rows[index], self.known[index]
        rows, then_known = torch.where(known, given, rows), known
        for repeater in reversed(schema.repeaters):
            rows, then_known = repeater.back(rows, then_known)
        rows = with_implied(schema.repeated(rows), schema.implied)
        return torch.where(known, given, rows)

    def are_complete(self, rows: Tensor, labels: Tensor | None) -> Tensor:
        """Return in which drawn rows (b, C) all formulas have the values that they shall have."""
        frame = self.schema.frame(rows, labels, torch.Generator())
        lacking = [is_missing(frame[name]) for name in self.computed]
        return ~torch.from_numpy(np.any(lacking, axis=0))

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


def _level_cells(column: ColumnCodec) -> Tensor:
    """Return how many training rows (levels, cells) each category brings to each cell.

    A cell without any is spread over its categories, as generated values are.
    """
    p = column.partition
    mass = np.zeros((len(p.cell), p.n_cells))
    total = np.bincount(p.cell, p.mass, minlength=p.n_cells)[p.cell]
    mass[np.arange(len(p.cell)), p.cell] = np.where(total > 0, p.mass, 1.0)
    return torch.from_numpy(mass)


def _never_missing(schema: TableSchema) -> TableSchema:
    """Return the schema of rows that have all values: none is implied, or drawn, to be missing."""
    own, condition = schema.constraint_set, schema.condition_column
    steps = tuple(s.never_missing() if isinstance(s, LookupStep) else s for s in own.steps)
    if condition is not None and condition.partition.missing is not None:
        condition = replace(condition, partition=replace(condition.partition, missing=0.0))
    return TableSchema(
        schema.column_names,
        schema.columns,
        schema.identifiers,
        condition,
        schema.frame_format,
        replace(own, steps=steps),
        schema.separator,
        schema.hot_decks,
    )


def _computed(schema: TableSchema) -> tuple[str, ...]:
    """Return the columns of formulas that have no value in some rows of the user's table."""
    steps = [step for step in schema.constraint_set.steps if isinstance(step, DerivedStep)]
    return tuple(s.column.name for s in steps if s.column.partition.missing is not None)


def _choices(schema: TableSchema, cells: KnownCells, *, fill: bool) -> dict[int, Choice]:
    """Return the choices by the position of a modelled column."""
    found = {}
    for at, column in enumerate(schema.columns):
        levels = list(getattr(column, "levels", ()))
        hidden = [key for key in cells.hidden if key.key == column.name]
        if column.name in cells.choices:
            allowed = cells.choices[column.name][:, np.array(levels, np.int64)]
            missing = np.zeros(len(allowed), np.bool_)  # one of the combinations, if it occurs
            found[at] = Choice(column, torch.from_numpy(allowed), torch.from_numpy(missing))
        elif hidden and levels:
            found[at] = _key_choice(column, levels, hidden, fill=fill)
    _refuse_unfound(cells.hidden, {schema.columns[at].name for at in found})
    return found


def _key_choice(
    column: ColumnCodec, levels: list[Level], hidden: list[HiddenKey], *, fill: bool
) -> Choice:
    """Return which categories a key may have by the lookups in which it alone is not known.

    If it must have a value it is missing only where no category agrees with what is known; and it
    is one that gives a value to what is looked up, if any does.
    """
    allowed = np.ones((len(hidden[0].rows), len(levels) + 1), np.bool_)
    allowed[:, -1] = column.partition.missing is not None
    for key in hidden:
        allowed[key.rows] &= key.agreeing([*levels, None])
        none = ~allowed.any(1)
        if none.any():
            name = key.step.column.name
            msg = f"row {int(none.argmax()) + 1}: no category of {key.key!r} agrees with the value"
            raise DataError(f"{msg} of {name!r}; leave {name!r} out")
    categories, missing = allowed[:, :-1], allowed[:, -1]
    if fill:
        missing &= ~categories.any(1)
        for key in hidden:
            telling = categories[key.rows] & key.telling(levels)
            some = telling.any(1, keepdims=True)
            categories[key.rows] = np.where(some, telling, categories[key.rows])
    return Choice(column, torch.from_numpy(categories), torch.from_numpy(missing))


def _refuse_unfound(hidden: Sequence[HiddenKey], found: Set[str]) -> None:
    """Raise DataError for a value that is known, and whose key cannot be drawn to agree with it."""
    for key in hidden:
        if key.valued.any() and key.key not in found:
            name, row = key.step.column.name, int(np.flatnonzero(key.rows)[key.valued.argmax()]) + 1
            msg = f"row {row}: {name!r} is known, and it is looked up by {key.key!r}, which is not"
            raise DataError(f"{msg}; give {key.key!r} as well, or leave {name!r} out")


def _rests(schema: TableSchema, cells: KnownCells) -> dict[int, tuple[Tensor, Tensor]]:
    """Return, by its position, in which rows a rest is a value or missing, and the values."""
    found = {}
    for at, column in enumerate(schema.columns):
        if column.name in cells.rests and column.partition.missing is not None:
            rows, values = cells.rests[column.name]
            numbers = _lenient(column).encode_present(values)
            low, high = column.partition.extent
            numbers[(numbers < low) | (numbers > high)] = np.nan
            found[at] = (torch.from_numpy(rows), torch.from_numpy(numbers))
    return found


def _lenient(column: ColumnCodec) -> ColumnCodec:
    """Return the codec of a rest with a missing value for categories that no rest has."""
    return replace(column, drops_rare=True) if isinstance(column, CategoricalCodec) else column


def _free(schema: TableSchema, *, fill: bool) -> Tensor:
    """Return which cells may be drawn: all, or all but those of missing values."""
    free = torch.ones(sum(schema.space.sizes))
    for at, column in enumerate(schema.columns):
        if fill and column.partition.missing is not None and column.partition.n_cells > 1:
            free[schema.cells_of_column(at).start] = 0
    return free
