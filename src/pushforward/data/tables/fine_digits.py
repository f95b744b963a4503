"""Fine digits: where within its bin a value lies, as one more categorical after that of its cell.

A bin holds a histogram of pieces that pool at least 20 rows each. Numbered in ascending order, on
the scale of the bin's own ranks, they are digits that a model can learn from the rest of the row; a
bin of few pieces has few of them, an atom and a missing value the digit 0 alone. Within a digit a
value is drawn from its histogram. A column none of whose bins has two pieces has no fine digit.

A column's *fine cells* are the pairs of a cell and a digit that occur.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.partition import MIN_MAGNITUDE, Partition
from pushforward.space import Cells, FineDigit

MAX_DIGITS = 16  # of one bin
FEW = 0.01  # of the values: so many may not be positive in a column that has logarithms


@dataclass(frozen=True, eq=False)
class FinePartition:
    """A partition whose bins are cut into fine digits.

    Args:
        coarse: the partition, whose bins are whole.
        digits: how many digits there are; 1 if the column has none.
        digit: (P,) that of each piece.
    """

    coarse: Partition
    digits: int
    digit: Ints

    @classmethod
    def of(cls, p: Partition) -> FinePartition:
        """Number the pieces of each bin, in as many digits as the bin with most pieces has."""
        held = np.isnan(p.atom) & (p.mass > 0) & p.fine
        most = np.bincount(p.cell[held], minlength=1).max(initial=1)
        digits = int(min(max(most, 1), MAX_DIGITS))
        return cls(p, digits, _piece_digits(p, digits))

    @cached_property
    def shares(self) -> Floats:
        """How the values of each cell are spread over the digits, (cells, digits)."""
        mass = np.zeros((self.coarse.n_cells, self.digits))
        np.add.at(mass, (self.coarse.cell, self.digit), self.coarse.mass)
        mass[mass.sum(1) == 0, 0] = 1.0
        shares: Floats = mass / mass.sum(1, keepdims=True)
        return shares

    @cached_property
    def cell(self) -> Ints:
        """The fine cell of each cell and digit (cells, digits); the nearest where none is."""
        occurs = self.shares > 0
        number = (np.cumsum(occurs) - 1).reshape(occurs.shape)
        at = np.arange(self.digits)
        apart = np.where(occurs[:, None, :], np.abs(at[:, None] - at), self.digits)
        nearest: Ints = np.take_along_axis(number, apart.argmin(2), 1)
        return nearest

    @cached_property
    def partition(self) -> Partition:
        """The partition into fine cells."""
        return replace(self.coarse, cell=self.cell[self.coarse.cell, self.digit])


def _piece_digits(p: Partition, digits: int) -> Ints:
    """Return the digit of each piece, by its middle rank in its cell; a gap has the one below it.

    An atom has the digit 0, and so has every piece of a cell without training rows.
    """
    order = np.lexsort((p.bounds[:-1], p.cell))
    cell, mass = p.cell[order], p.mass[order]
    total = np.bincount(cell, mass, minlength=1)[cell]
    before = np.cumsum(mass) - mass
    first = np.searchsorted(cell, cell)
    rank = (before - before[first] + mass / 2) / np.where(total > 0, total, 1.0)
    digit = np.minimum((rank * digits).astype(np.int64), digits - 1)
    held = (mass > 0) | (np.arange(len(cell)) == first)
    last = np.maximum.accumulate(np.where(held, np.arange(len(cell)), -1))
    result = np.zeros(len(cell), np.int64)
    result[order] = np.where(total > 0, digit[last], 0)
    return np.where(np.isnan(p.atom), result, 0)


@dataclass(frozen=True, eq=False)
class FineTable:
    """Lookup tables from the columns of a space to the fine cells of a table's C columns.

    Args:
        coarse: (C,) where the space has the cell of each column.
        fine: (C,) where it has the column's digit, or again its cell if the column has none.
        digits: (C,) how many digits there are; 0 if the column has none.
        first: (C,) the first entry of each column in `cell`.
        cell: the fine cell of each cell and digit, columns one after another.
    """

    coarse: Tensor
    fine: Tensor
    digits: Tensor
    first: Tensor
    cell: Tensor

    @classmethod
    def of(cls, partitions: Sequence[FinePartition]) -> FineTable:
        """Return the lookup tables of these columns."""
        has = torch.tensor([p.digits > 1 for p in partitions]).long()
        coarse = torch.arange(len(partitions)) + has.cumsum(0) - has
        length = torch.tensor([p.cell.size for p in partitions])
        return cls(
            coarse,
            coarse + has,
            torch.tensor([p.digits for p in partitions]),
            length.cumsum(0) - length,
            torch.from_numpy(np.concatenate([p.cell.ravel() for p in partitions])),
        )

    def to(self, device: torch.device) -> FineTable:
        """Return the same tables on a device."""
        return FineTable(**{name: table.to(device) for name, table in vars(self).items()})

    def cells(self, row: Tensor) -> Tensor:
        """Return the fine cells (n, C) of rows (n, columns of the space)."""
        digit = torch.where(self.digits > 1, row[:, self.fine].long(), 0)
        return self.cell[self.first + row[:, self.coarse].long() * self.digits + digit]


def space_of(columns: Sequence[ColumnCodec], partitions: Sequence[FinePartition]) -> Cells:
    """Return one categorical for each column, and one for each fine digit, right after it.

    The cells of numbers, and digits, have ranks and places, and logarithms where they are positive.
    """
    sizes: list[int] = []
    fine: list[FineDigit] = []
    along: list[list[list[float | None]]] = [[] for _ in COORDINATES]
    for column, p in zip(columns, partitions, strict=True):
        sizes.append(p.coarse.n_cells)
        unordered: list[float | None] = [None] * sizes[-1]
        for found, of_cells in zip(along, COORDINATES, strict=True):
            found.append(of_cells(p.coarse) if column.kind == "numeric" else unordered)
        if p.digits > 1:
            fine.append(_fine_digit(len(sizes), p))
            sizes.append(p.digits)
            for found in along:
                found.append([(k + 0.5) / p.digits for k in range(p.digits)])
    ranks, places, logs = (tuple(chain.from_iterable(found)) for found in along)
    return Cells(tuple(sizes), ranks, places, logs, tuple(fine))


def _fine_digit(at: int, p: FinePartition) -> FineDigit:
    """Return what a digit says of a value, for each cell before it."""
    along = [of_cells(p.partition) for of_cells in COORDINATES]
    of_digits = (
        tuple(tuple(own[cell] for cell in digits) for digits in p.cell.tolist()) for own in along
    )
    return FineDigit(at, tuple(map(tuple, p.shares.tolist())), *of_digits)


def _places(p: Partition) -> list[float | None]:
    """Return the mean of each cell's values, of mean 0 and variance 1 over all; None for missing.

    The values themselves are first divided by the largest, as squares may overflow.
    """
    middle = _middle(p)
    return _standardised(p, middle / max(float(np.abs(middle).max(initial=0)), MIN_MAGNITUDE))


def _logs(p: Partition) -> list[float | None]:
    """Return the same of logarithms; None throughout where more than a few are not positive.

    Those few count as the smallest that is.
    """
    middle, held = _middle(p), p.mass > 0
    positive = held & (middle > 0)
    if not positive.any() or p.mass[held & ~positive].sum() > FEW * p.mass.sum():
        return [None] * p.n_cells
    return _standardised(p, np.log(np.where(positive, middle, middle[positive].min())))


def _middle(p: Partition) -> Floats:
    """Return the middle of each piece."""
    return np.where(np.isnan(p.atom), p.bounds[:-1] / 2 + p.bounds[1:] / 2, p.atom)


def _standardised(p: Partition, of_pieces: Floats) -> list[float | None]:
    """Return the means of cells, of mean 0 and variance 1 over all; None for missing."""
    mass = np.bincount(p.cell, p.mass, p.n_cells)
    total = max(float(mass.sum()), MIN_MAGNITUDE)
    mean = np.bincount(p.cell, p.mass * of_pieces, p.n_cells) / np.where(mass > 0, mass, 1.0)
    centred = mean - float(mass @ mean) / total
    spread = max(float(np.sqrt(mass @ centred**2 / total)), MIN_MAGNITUDE)
    placed = (centred / spread).tolist()
    return [place if own > 0 else None for place, own in zip(placed, mass, strict=True)]


# along which numbers are near lines, in the order of the fields of `Cells` and `FineDigit`
COORDINATES: Sequence[Callable[[Partition], list[float | None]]] = (
    attrgetter("ranks"),
    _places,
    _logs,
)
