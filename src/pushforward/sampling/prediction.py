"""The probabilities of a column's values, given the rest of a row.

p(value | known) = p(known, value) / sum over values. Each p(known, value) is the mean weight of
particles that are kept to it (see `completion`), with the same random numbers for every value, so
that most of the noise cancels.
"""

from __future__ import annotations

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
from pushforward.data.tables.partial import PartialRows
from pushforward.errors import DataError, ModelError, nearest
from pushforward.random import Stream, derived_seed, isolated
from pushforward.sampling.completion import Completer, Known


@dataclass(frozen=True)
class Target:
    """A column whose values are predicted.

    Args:
        column: its codec.
        at: its position among the modelled columns; None for the condition.
        cells: those that can be predicted: of training rows, and not that of missing values.
        values: the values, or ranges of values.
        split: (cells, values) which share of each cell's probability each value has.
    """

    column: ColumnCodec
    at: int | None
    cells: tuple[int, ...]
    values: tuple[Any, ...]
    split: Floats

    @classmethod
    def of(cls, schema: TableSchema, name: str) -> Target:
        """Return the target of that name.

        DataError for an unknown one, identifiers, one that is constant, and one that is modelled by
        other columns.
        """
        own = {c.name: k for k, c in enumerate(schema.columns) if c.name in schema.column_names}
        condition = schema.condition_column
        known = [*own, *([] if condition is None else [condition.name])]
        if name not in schema.column_names:
            raise DataError(f"no column {name!r}; {nearest(name, known)}")
        if name not in known:
            is_identifier = name in {i.name for i in schema.identifiers}
            what = "holds identifiers" if is_identifier else "is computed from other columns"
            raise DataError(
                f"column {name!r} {what}, and has no probabilities of its own; predict one of "
                f"{', '.join(known)}"
            )
        at = own.get(name)
        column = condition if at is None else schema.columns[at]
        assert column is not None
        cells, values, split = _outcomes(column)
        if len(values) < 2:
            held = f"one value, {values[0]}" if values else "no value"
            raise DataError(
                f"column {name!r} has {held}, in the training rows: there is nothing to predict; "
                "name another column"
            )
        return cls(column, at, cells, values, split)


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
    ranges = [_range(column, np.flatnonzero(mass[cell] > 0)) for cell in cells]
    return tuple(cells.tolist()), tuple(ranges), np.eye(len(cells))


def _range(column: ColumnCodec, pieces: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    """Return what a cell of numbers holds: a value, or text low..high as `--where` takes it."""
    p, decimals = column.partition, column.decimals
    ends = p.bounds[[pieces[0], pieces[-1] + 1]]
    if not np.isnan(p.atom[pieces]).any():
        ends = p.atom[pieces[[0, 0]]]
    elif decimals is not None:
        half = 0.5 * p.comb[0] / 10.0**decimals  # bounds lie between two values
        ends = np.round(ends + half * np.array([1, -1]), decimals) + 0.0  # not -0.0
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
        known, device = Known.of(rows, index, own.model.device), own.model.device
        found = []
        for cell in self.target.cells:
            with isolated(device, derived_seed(own.seed, Stream.BLOCKS, number)):
                found.append(own.complete(self._with(known, cell)).log_chance)
        log_p = torch.stack(found, 1)
        top = log_p.max(1, keepdim=True).values.nan_to_num(neginf=0.0)
        return (log_p - top).exp().cpu().numpy()

    def _with(self, known: Known, cell: int) -> Known:
        """Return what is known, and that the target is in this cell."""
        if self.target.at is None:
            labels = torch.full_like(known.labels, cell)  # type: ignore[arg-type]
            return replace(known, labels=labels)
        at = self.completer.schema.cells_of_column(self.target.at)
        share = known.share.clone()
        share[:, at] = 0
        share[:, at.start + cell] = 1
        return replace(known, share=share)


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
