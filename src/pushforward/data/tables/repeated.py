"""Encoded rows in which numbers repeat those of other columns, where their rows say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Floats
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.constraints import ConstraintSet, PartsStep
from pushforward.data.tables.constraints.repeats import first_equal


@dataclass(frozen=True, eq=False)
class Place:
    """Where in encoded rows the numbers of a column are: in its own column, or in its parts.

    Args:
        at: the positions of these.
        extent: the smallest and the largest number.
        decimals: of the numbers; None for full precision.
        step: what joins the parts; None where there are none.
    """

    at: list[int]
    extent: tuple[float, float]
    decimals: int | None
    step: PartsStep | None = None

    def read(self, rows: Tensor) -> Floats:
        """Return the numbers (n,) of encoded rows, NaN where missing."""
        own: Floats = rows[:, self.at].cpu().double().numpy()
        if self.step is None:
            return own[:, 0]
        missing = np.isnan(own).any(1)
        parts = np.nan_to_num(own, nan=0.0).astype(np.int64)
        return np.where(missing, np.nan, self.step.join([*parts.T]))

    def write(self, rows: Tensor, numbers: Floats) -> Tensor:
        """Return encoded rows with these numbers (n,), but those that the column cannot have."""
        low, high = self.extent
        fits = (numbers >= low) & (numbers <= high)  # a missing number does not
        rounded = numbers if self.decimals is None else np.round(numbers, self.decimals)
        known = np.where(fits, rounded, low)
        parts = [known] if self.step is None else self.step.split(known)
        own = torch.from_numpy(np.stack(parts, 1).astype(np.float64)).to(rows)
        written = rows.clone()
        written[:, self.at] = torch.where(
            torch.from_numpy(fits)[:, None].to(rows.device), own, rows[:, self.at]
        )
        return written


@dataclass(frozen=True, eq=False)
class Repeater:
    """One column that repeats others.

    Args:
        at: the position of the column that says which.
        codes: what it says for each source, and for none.
        sources: where their numbers are.
        column: where its own are.
    """

    at: int
    codes: list[int]
    sources: list[Place]
    column: Place

    def __call__(self, rows: Tensor) -> Tensor:
        """Return encoded rows that repeat what they say."""
        for code, source in zip(self.codes, self.sources, strict=False):
            rows = _copied(rows, rows[:, self.at] == code, source, self.column)
        return rows

    def back(self, rows: Tensor, known: Tensor) -> Tensor:
        """Return encoded rows whose unknown sources are what known numbers say that they repeat.

        `known` (n, columns) says what is known of the rows.
        """
        of_column = known[:, self.column.at].all(1)
        for code, source in zip(self.codes, self.sources, strict=False):
            open_rows = of_column & ~known[:, source.at].any(1)
            rows = _copied(rows, open_rows & (rows[:, self.at] == code), self.column, source)
        return rows

    def told(self, rows: Tensor) -> Tensor:
        """Return the codes (n,) of what encoded rows say, by their numbers."""
        which = first_equal(self.column.read(rows), [source.read(rows) for source in self.sources])
        return torch.tensor(self.codes, dtype=rows.dtype)[torch.from_numpy(which)]

    def is_known(self, known: Tensor) -> Tensor:
        """Return in which rows what they say follows from what is known of them, (n, columns)."""
        needed = [*self.column.at, *(at for source in self.sources for at in source.at)]
        return known[:, needed].all(1)


def _copied(rows: Tensor, which: Tensor, source: Place, target: Place) -> Tensor:
    """Return encoded rows, in some of which a column has the numbers of another."""
    index = which.nonzero()[:, 0]
    if not len(index):
        return rows
    chosen = rows[index]
    return rows.index_copy(0, index, target.write(chosen, source.read(chosen)))


def repeaters(columns: Sequence[ColumnCodec], constraints: ConstraintSet) -> list[Repeater]:
    """Return what lets the columns of a table repeat others, those first that come first."""
    at = {column.name: i for i, column in enumerate(columns)}
    steps = {step.column.name: step for step in constraints.parts}

    def place(name: str) -> Place:
        step = steps.get(name)
        if step is not None:
            return Place([at[n] for n in step.names], step.extent, step.column.decimals, step)
        codec = columns[at[name]]
        return Place([at[name]], codec.partition.extent, codec.decimals)

    made = []
    for repeat in constraints.repeats:
        codec = columns[at[repeat.name]]
        assert isinstance(codec, CategoricalCodec)
        codes = [codec.levels.index(said) for said in repeat.labels]
        sources = [place(source) for source in repeat.sources]
        made.append(Repeater(at[repeat.name], codes, sources, place(repeat.column)))
    return sorted(made, key=lambda own: own.at)
