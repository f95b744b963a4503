"""From numbers to cells: the partitions of all columns as lookup tables, one entry for each piece.

The pieces of all columns lie one after another in flat tables, so that memory grows with their
total number. A category's code is the number of its piece; only numbers have to be searched for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Floats
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.common_grid import NOISE
from pushforward.data.tables.fine_digits import FinePartition
from pushforward.data.tables.partition import Partition

MISSING_CODE = 2.0**53  # larger than any code


@dataclass(frozen=True, eq=False)
class CellTable:
    """Lookup tables of C columns with P pieces in all; each column has one more for missing values.

    Args:
        categorical: (C - N,) the positions of the categorical columns.
        numeric: (N,) the positions of the numeric columns.
        inner: (N, W) the bounds between the pieces of each numeric column, padded by +inf.
        first: (C, 1) the number of each column's first piece.
        count: (C, 1) how many pieces each column has: the number of the one for missing values.
        cell: (P + C,) the cell of each piece.
        digit: (P + C,) its fine digit.
        fine: (F,) the positions of the columns that have fine digits.
        order: (C + F,) where each column of the space lies among all cells, then all digits.
        low: (P + C,) the lower bound of a piece; for an atom, its value.
        width: (P + C,) the width of a piece, 0 for an atom.
        below: (P + C,) the mass of the column's pieces below.
        mass: (P + C,) the mass of a piece, among the values that are not missing.
    """

    categorical: Tensor
    numeric: Tensor
    inner: Tensor
    first: Tensor
    count: Tensor
    cell: Tensor
    digit: Tensor
    fine: Tensor
    order: Tensor
    low: Tensor
    width: Tensor
    below: Tensor
    mass: Tensor

    @classmethod
    def of(cls, columns: Sequence[ColumnCodec]) -> CellTable:
        """Return the lookup tables of these columns."""
        partitions = [column.partition for column in columns]
        is_numeric = np.array([column.kind == "numeric" for column in columns])
        counts = np.array([len(p.cell) for p in partitions])
        fine = [FinePartition.of(p) for p in partitions]
        has_fine = np.flatnonzero([p.digits > 1 for p in fine])
        position = np.concatenate([np.arange(len(columns)), has_fine])
        return cls(
            categorical=torch.from_numpy(np.flatnonzero(~is_numeric)),
            numeric=torch.from_numpy(np.flatnonzero(is_numeric)),
            inner=_inner_bounds([p for p, n in zip(partitions, is_numeric, strict=True) if n]),
            first=torch.from_numpy(np.cumsum(counts + 1) - (counts + 1))[:, None],
            count=torch.from_numpy(counts)[:, None],
            cell=_flat([p.cell.astype(np.float64) for p in partitions]).long(),
            digit=_flat([p.digit.astype(np.float64) for p in fine]).long(),
            fine=torch.from_numpy(has_fine),
            order=torch.from_numpy(np.argsort(position, kind="stable")),
            low=_flat([np.where(np.isnan(p.atom), p.bounds[:-1], p.atom) for p in partitions]),
            width=_flat([np.where(np.isnan(p.atom), np.diff(p.bounds), 0) for p in partitions]),
            below=_flat([_present(p).cumsum() - _present(p) for p in partitions]),
            mass=_flat([_present(p) for p in partitions]),
        )

    def to(self, device: torch.device) -> CellTable:
        """Return the same tables on a device."""
        return CellTable(**{name: table.to(device) for name, table in vars(self).items()})

    def pieces(self, rows: Tensor) -> Tensor:
        """Return the piece (C, n) of each value of encoded rows (n, C), in the flat tables."""
        values = rows.mT
        piece = torch.empty(values.shape, dtype=torch.int64, device=rows.device)
        numbers = values[self.numeric].contiguous()
        piece[self.numeric] = torch.searchsorted(self.inner, numbers, right=True)
        piece[self.categorical] = values[self.categorical].nan_to_num(MISSING_CODE).long()
        return torch.minimum(piece, self.count).add_(self.first)

    def cells(self, rows: Tensor) -> Tensor:
        """Return the cell (C, n) of each value."""
        return self.cell[self.pieces(rows)]

    def rows(self, rows: Tensor) -> Tensor:
        """Return encoded rows as rows of the space (columns of the space, n)."""
        piece = self.pieces(rows)
        return torch.cat([self.cell[piece], self.digit[piece[self.fine]]])[self.order]

    def ranks(self, rows: Tensor) -> Tensor:
        """Return the share (C, n) of training rows below each value, and half of those equal."""
        piece = self.pieces(rows)
        low, values = self.low[piece], rows.mT
        above = torch.where((values - low).abs() <= NOISE * low.abs(), 0.0, values - low)
        place = (above / self.width[piece]).clamp(0, 1)
        # 0 / 0 for an atom: its middle
        rank = self.below[piece] + place.nan_to_num(0.5) * self.mass[piece]
        return torch.where(rows.mT.isnan(), 0.5, rank)


def _inner_bounds(partitions: Sequence[Partition]) -> Tensor:
    """Return the bounds between pieces (N, W), padded by +inf; at least one is padding."""
    size = max((len(p.cell) for p in partitions), default=0)
    bounds = [p.bounds[1:-1] for p in partitions]
    padded = [np.pad(b, (0, size - len(b)), constant_values=np.inf) for b in bounds]
    return torch.from_numpy(np.array(padded).reshape(len(partitions), size))


def _flat(columns: Sequence[Floats]) -> Tensor:
    """Return a table of all pieces, 0 for those of missing values."""
    return torch.from_numpy(np.concatenate([np.append(pieces, 0.0) for pieces in columns]))


def _present(p: Partition) -> Floats:
    """Return the masses among the values that are not missing."""
    total = float(p.mass.sum())
    return p.mass / total if total else p.mass
