"""Encoded rows in which numbers repeat those of other columns, where their rows say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Floats, Mask
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.common_grid import NOISE
from pushforward.data.tables.constraints import ConstraintSet, PartsStep
from pushforward.data.tables.constraints.repeats import first_equal
from pushforward.data.tables.partition import PLAIN_COMB


@dataclass(frozen=True, eq=False)
class Place:
    """Where in encoded rows the numbers of a column are: in its own column, or in its parts.

    Args:
        at: the positions of these.
        extent: the smallest and the largest number.
        decimals: of the numbers; None for full precision.
        comb: step and offset of the comb that they lie on, in units of the last decimal.
        step: what joins the parts; None where there are none.
    """

    at: list[int]
    extent: tuple[float, float]
    decimals: int | None
    comb: tuple[int, int] = PLAIN_COMB
    step: PartsStep | None = None

    @property
    def spacing(self) -> float:
        """How far a number is from the next one; 0 for full precision."""
        return 0.0 if self.decimals is None else self.comb[0] / 10.0**self.decimals

    def read(self, rows: Tensor) -> Floats:
        """Return the numbers (n,) of encoded rows, NaN where missing."""
        own: Floats = rows[:, self.at].cpu().double().numpy()
        if self.step is None:
            return own[:, 0]
        missing = np.isnan(own).any(1)
        parts = np.nan_to_num(own, nan=0.0).astype(np.int64)
        return np.where(missing, np.nan, self.step.join([*parts.T]))

    def known(self, known: Tensor) -> Tensor:
        """Return in which rows the number is known, (n,), by what is of them (n, columns).

        Of one that is missing only the coarsest part is.
        """
        return known[:, self.at[0]]

    def write(self, rows: Tensor, numbers: Floats) -> Tensor:
        """Return encoded rows with these numbers (n,), but those that the column cannot have."""
        fits = self.within(numbers)
        rounded = numbers if self.decimals is None else np.round(numbers, self.decimals)
        known = np.where(fits, rounded, self.extent[0])
        parts = [known] if self.step is None else self.step.split(known)
        own = torch.from_numpy(np.stack(parts, 1).astype(np.float64)).to(rows)
        written = rows.clone()
        written[:, self.at] = torch.where(
            torch.from_numpy(fits)[:, None].to(rows.device), own, rows[:, self.at]
        )
        return written

    def holds(self, numbers: Floats) -> Mask:
        """Return which numbers (n,) the column can have as they are."""
        fits = self.within(numbers)
        known = np.where(fits, numbers, self.extent[0])
        if self.step is not None:
            nearest = self.step.join(self.step.split(known))
        elif self.decimals is not None:
            (step, offset), scale = self.comb, 10.0**self.decimals
            nearest = (np.round((known * scale - offset) / step) * step + offset) / scale
        else:
            return fits
        return np.asarray(fits & (np.abs(nearest - known) <= NOISE * np.abs(known)))

    def within(self, numbers: Floats) -> Mask:
        """Return which numbers (n,) lie in the extent; a missing one does not."""
        low, high = self.extent
        return np.asarray((numbers >= low) & (numbers <= high))


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

    def back(self, rows: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return encoded rows whose unknown sources are what known numbers say that they repeat.

        And what is known then, (n, columns), given what is `known` of them.
        """
        numbers, known = self.column.read(rows), known.clone()
        for code, source in zip(self.codes, self.sources, strict=False):
            open_rows = self.column.known(known) & ~source.known(known)
            open_rows &= (rows[:, self.at] == code) & torch.from_numpy(source.holds(numbers))
            rows = _copied(rows, open_rows, self.column, source)
            known[:, source.at] |= open_rows[:, None]
        return rows, known

    def is_open(self, known: Tensor) -> Tensor:
        """Return in which rows the number is known, and not what they say, (n,)."""
        return self.column.known(known) & ~known[:, self.at]

    def repeats(self, rows: Tensor, known: Tensor) -> Tensor:
        """Return which encoded rows' known numbers are known to be those of others, (n,)."""
        return self.column.known(known) & known[:, self.at] & (rows[:, self.at] != self.codes[-1])

    def is_given(self, known: Tensor) -> Tensor:
        """Return in which rows the number is not known, and would be by what they say, (n,)."""
        some = torch.stack([source.known(known) for source in self.sources]).any(0)
        return some & ~self.column.known(known) & ~known[:, self.at]

    def possible(self, rows: Tensor, known: Tensor) -> Tensor:
        """Return what encoded rows may say, (n, sources + 1).

        That they repeat a source whose number is equal, or is not known and may be; but none after
        one that is equal, and not that the number is their own where one is. Anything where the
        number is not known.
        """
        own, any_number = self.column.read(rows), ~self.column.known(known).numpy()[:, None]
        equal = np.stack([source.read(rows) == own for source in self.sources], 1)
        holds = np.stack([source.holds(own) for source in self.sources], 1)
        is_known = torch.stack([source.known(known) for source in self.sources], 1).numpy()
        equal &= is_known
        before = np.cumsum(equal, 1) - equal > 0
        said = (equal | (holds & ~is_known)) & ~before
        return torch.from_numpy(np.column_stack([said, ~equal.any(1)]) | any_number)

    def assumed(self, rows: Tensor, known: Tensor, which: int) -> tuple[Tensor, Tensor]:
        """Return encoded rows that all say the same, and what is known of them then, (n, columns).

        Of a number and the source that it repeats, one that is known gives the other.
        """
        rows, known = rows.clone(), known.clone()
        rows[:, self.at], known[:, self.at] = self.codes[which], True
        if which < len(self.sources):
            source, column = self.sources[which], self.column
            of_column, of_source = column.known(known), source.known(known)
            rows = _copied(rows, of_column & ~of_source, column, source)
            known[:, source.at] |= of_column[:, None]
            given = ~of_column & of_source & torch.from_numpy(column.within(source.read(rows)))
            rows = _copied(rows, given, source, column)
            known[:, column.at] |= given[:, None]
        return rows, known

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
            of_parts = [at[n] for n in step.names]
            return Place(of_parts, step.extent, step.column.decimals, step=step)
        codec = columns[at[name]]
        return Place([at[name]], codec.partition.extent, codec.decimals, codec.partition.comb)

    made = []
    for repeat in constraints.repeats:
        codec = columns[at[repeat.name]]
        assert isinstance(codec, CategoricalCodec)
        codes = [codec.levels.index(said) for said in repeat.labels]
        sources = [place(source) for source in repeat.sources]
        made.append(Repeater(at[repeat.name], codes, sources, place(repeat.column)))
    return sorted(made, key=lambda own: own.at)
