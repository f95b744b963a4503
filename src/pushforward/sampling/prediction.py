"""The probabilities of a column's values, given the rest of a row.

p(value | known) = p(known, value) / sum over values. Each p(known, value) is the mean weight of
particles that are kept to it (see `completion`), with the same random numbers for every value, so
that most of the noise cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pushforward.data import TableSchema
from pushforward.data.numeric import Floats
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.constraints.combination import CombinationStep
from pushforward.data.tables.constraints.parts import PartsStep
from pushforward.data.tables.partial import PartialRows
from pushforward.errors import DataError, ModelError, nearest
from pushforward.random import Stream, derived_seed, isolated
from pushforward.sampling.completion import Completer, Known


@dataclass(frozen=True)
class Target:
    """A column whose values are predicted.

    Args:
        column: its codec.
        at: its position among the modelled columns, or that of its coarsest part or of the
            combination that it is in; None for the condition.
        cells: those that can be predicted: of training rows, and not that of missing values; of a
            combination, all that have the same value at once.
        values: the values, or ranges of values.
        split: (cells, values) which share of each cell's probability each value has.
    """

    column: ColumnCodec
    at: int | None
    cells: tuple[tuple[int, ...], ...]
    values: tuple[Any, ...]
    split: Floats

    @classmethod
    def of(cls, schema: TableSchema, name: str) -> Target:
        """Return the target of that name.

        DataError for an unknown one, identifiers, one that is constant, and one that is modelled by
        other columns.
        """
        at = {c.name: k for k, c in enumerate(schema.columns)}
        parts = {step.column.name: step for step in schema.constraint_set.parts}
        own = {n: k for n, k in at.items() if n in schema.column_names}
        own |= {n: at[step.names[0]] for n, step in parts.items()}
        combined = _combined(schema)
        own |= {n: at[step.name] for n, step in combined.items()}
        condition = schema.condition_column
        known = [*own, *([] if condition is None else [condition.name])]
        if name not in known:
            raise DataError(_refusal(schema, name, known))
        column = schema.columns[own[name]] if name in own else condition
        assert column is not None
        each, values, split = _outcomes(column)
        cells: tuple[tuple[int, ...], ...] = tuple((cell,) for cell in each)
        if name in combined:
            column, cells, values = _of_combination(combined[name], name, column)
            split = np.eye(len(values))
        if name in parts:
            finer = [schema.columns[at[n]] for n in parts[name].names[1:]]
            column, values = parts[name].column, _of_parts(parts[name], column, each, finer)
        if len(values) < 2:
            held = f"one value, {values[0]}" if values else "no value"
            raise DataError(
                f"column {name!r} has {held}, in the training rows: there is nothing to predict; "
                "name another column"
            )
        return cls(column, own.get(name), cells, values, split)


def _refusal(schema: TableSchema, name: str, known: Sequence[str]) -> str:
    """Return why a column cannot be predicted, and which can."""
    if name not in schema.column_names:
        return f"no column {name!r}; {nearest(name, known)}"
    is_identifier = name in {i.name for i in schema.identifiers}
    what = "holds identifiers" if is_identifier else "is computed from other columns"
    return (
        f"column {name!r} {what}, and has no probabilities of its own; predict one of "
        f"{', '.join(known)}"
    )


def _combined(schema: TableSchema) -> dict[str, CombinationStep]:
    """Return the columns of combinations each of which has a cell of its own, with their steps."""
    codecs = {column.name: column for column in schema.columns}
    steps = [s for s in schema.constraint_set.steps if isinstance(s, CombinationStep)]
    known = {s.name: codecs[s.name].partition for s in steps}
    shared = [n for n, p in known.items() if (np.bincount(p.cell[p.mass > 0]) > 1).any()]
    return {name: step for step in steps if step.name not in shared for name in step.replaced}


def _of_combination(
    step: CombinationStep, name: str, code: ColumnCodec
) -> tuple[ColumnCodec, tuple[tuple[int, ...], ...], tuple[Any, ...]]:
    """Return a column of a combination, the cells that share a value of it, and these values."""
    column = next(column for column in step.columns if column.name == name)
    pieces = np.flatnonzero(code.partition.mass > 0)
    cells = code.partition.cell[pieces]
    combinations = code.decode(pieces.astype(np.float64)).to_numpy().astype(np.int64)
    numbers = step.numbers_of(name)[combinations]
    values = np.unique(numbers[~np.isnan(numbers)])
    groups = [tuple(cells[numbers == value].tolist()) for value in values]
    return column, tuple(groups), tuple(column.decode(values).to_list())


def _outcomes(column: ColumnCodec) -> tuple[tuple[int, ...], tuple[Any, ...], Floats]:
    """Return the cells of training rows, their values, and each value's share of each cell."""
    p = column.partition
    mass = np.zeros((p.n_cells, len(p.cell)))
    mass[p.cell, np.arange(len(p.cell))] = p.mass
    cells = np.flatnonzero(mass.sum(1) > 0)
    if isinstance(column, CategoricalCodec):
        pieces = np.flatnonzero(p.mass > 0)
        values = column.decode(pieces.astype(np.float64)).to_list()
        part = mass[np.ix_(cells, pieces)]
        return tuple(cells.tolist()), tuple(values), part / part.sum(1, keepdims=True)
    ranges = [_range(column, _ends(column, cell)) for cell in cells.tolist()]
    return tuple(cells.tolist()), tuple(ranges), np.eye(len(cells))


def _of_parts(
    step: PartsStep, coarsest: ColumnCodec, cells: Sequence[int], finer: Sequence[ColumnCodec]
) -> tuple[Any, ...]:
    """Return what cells of a column's coarsest part hold of the column itself."""
    extents = [(int(low), int(high)) for low, high in (c.partition.extent for c in finer)]
    ends = [_ends(coarsest, cell).astype(int) for cell in cells]
    return tuple(_range(step.column, step.span(low, high, extents)) for low, high in ends)


def _ends(column: ColumnCodec, cell: int) -> Floats:
    """Return the smallest and the largest number of a cell, (2,)."""
    p, decimals = column.partition, column.decimals
    pieces = np.flatnonzero((p.cell == cell) & (p.mass > 0))
    if not np.isnan(p.atom[pieces]).any():
        return p.atom[pieces[[0, 0]]]
    ends = p.bounds[[pieces[0], pieces[-1] + 1]]
    if decimals is None:
        return ends
    half = 0.5 * p.comb[0] / 10.0**decimals  # bounds lie between two values
    return np.round(ends + half * np.array([1, -1]), decimals) + 0.0  # not -0.0


def _range(column: ColumnCodec, ends: Floats) -> Any:
    """Return what lies between two numbers: a value, or text low..high as `--where` takes it."""
    decimals = column.decimals
    first, last = column.decode(ends).to_list()
    if first == last:
        return first
    digits = f".{decimals}f" if isinstance(first, float) and decimals is not None else ""
    return f"{first:{digits}}..{last:{digits}}"


@dataclass(frozen=True)
class Predictor:
    """Predicts one column by one model.

    Args:
        completer: whose particles weigh the values.
        target: what is predicted.
    """

    completer: Completer
    target: Target

    def probabilities(self, rows: PartialRows) -> Floats:
        """Return the probability (n, values) of each value in each row, given that it has one.

        ModelError for a row of which the model never generates what is known.
        """
        blocks = self.completer.blocks(len(rows))
        parts = [self._part(rows, index, number) for number, index in blocks]
        joint = np.concatenate(parts) if parts else np.zeros((0, len(self.target.cells)))
        total = joint.sum(1, keepdims=True)
        if not (total > 0).all():
            row = int((total[:, 0] <= 0).argmax()) + 1
            raise ModelError(
                f"row {row}: the model never generated what is known of it, whatever "
                f"{self.target.column.name!r} is; leave out some of its cells"
            )
        return np.asarray(joint / total @ self.target.split)

    def _part(self, rows: PartialRows, index: Tensor, number: int) -> Floats:
        """Return p(known, cell) of some rows (b, cells), up to a factor for each row."""
        own = self.completer
        device = own.model.device
        known = Known.of(rows, index, device, self.target.at)
        found = []
        for cells in self.target.cells:
            with isolated(device, derived_seed(own.seed, Stream.BLOCKS, number)):
                found.append(own.complete(self._with(known, cells)).log_chance)
        log_p = torch.stack(found, 1)
        top = log_p.max(1, keepdim=True).values.nan_to_num(neginf=0.0)
        return (log_p - top).exp().cpu().numpy()

    def _with(self, known: Known, cells: tuple[int, ...]) -> Known:
        """Return what is known, and that the target is in one of these cells."""
        schema = self.completer.schema
        if self.target.at is None:
            labels = torch.full_like(known.labels, cells[0])  # type: ignore[arg-type]
            return replace(known, labels=labels)
        at = schema.cells_of_column(self.target.at)
        share = known.share.clone()
        chosen = at.start + torch.tensor(cells, device=share.device)
        own = share[:, chosen]  # 0 where what is known of the row forbids it
        share[:, at] = 0
        share[:, chosen] = own
        repeated = known.repeated[:, [self.target.at]]  # whose number counts, not what is drawn
        is_there = schema.expand(known.values)[:, chosen].sum(1, keepdim=True)
        return replace(known, share=torch.where(repeated, known.share * is_there, share))


def as_frame(schema: TableSchema, values: tuple[Any, ...], chances: Floats) -> Any:
    """Return probabilities (n, values) as a frame of the user's library, a column for each value.

    Polars calls columns by text.
    """
    if schema.frame_format.library == "pandas":
        try:
            import pandas as pd
        except ImportError:
            pass
        else:
            return pd.DataFrame(chances, columns=pd.Index(values, dtype=object))
    return pl.DataFrame(chances, schema=[str(value) for value in values])
