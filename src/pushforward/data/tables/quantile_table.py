"""The partitions of all columns as lookup tables, so that one operation serves a whole table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Floats
from pushforward.data.tables.partition import Partition

HALF_SPACING = 2.0**-25  # of torch.rand's float32: no draw lies on the border of a cell


@dataclass(frozen=True, eq=False)
class QuantileTable:
    """Lookup tables of C columns.

    Args:
        inner: (C, W) bounds between the pieces of each column, padded by +inf.
        cell: (C, W + 1) the cell of each piece; the last one serves NaN, a missing value.
        low: (C, W + 1) where a piece begins; for an atom, its value.
        width: (C, W + 1) how wide a piece is, 0 for an atom.
        below: (C, W + 1) the mass below a piece.
        mass: (C, W + 1) the mass of a piece.
        start: (C, Q) on the scale of cell + place within the cell, where the q-th piece of the
            quantile function begins, padded by +inf.
        value: (C, Q) the value there.
        slope: (C, Q) and how fast it grows.
        scale: (C, 1) 10 to the number of decimals, or 0 for full precision.
        extent: (2, C, 1) the smallest and the largest value.
        offset: (C, 1) the first position of each column in an expanded row.
    """

    inner: Tensor
    cell: Tensor
    low: Tensor
    width: Tensor
    below: Tensor
    mass: Tensor
    start: Tensor
    value: Tensor
    slope: Tensor
    scale: Tensor
    extent: Tensor
    offset: Tensor

    @classmethod
    def of(cls, partitions: Sequence[Partition], decimals: Sequence[int | None]) -> QuantileTable:
        """Return the lookup tables of these columns; `decimals` None means full precision."""
        width = max(len(p.cell) for p in partitions) + 1
        quantile = [_quantile_function(p) for p in partitions]
        longest = max(len(start) for start, _, _ in quantile)
        extent = [p.extent for p in partitions]
        sizes = [p.n_cells for p in partitions]

        def table(rows: list[Floats], size: int = width, fill: float = 0.0) -> Tensor:
            padded = [np.pad(row, (0, size - len(row)), constant_values=fill) for row in rows]
            return torch.from_numpy(np.stack(padded).astype(np.float64))

        return cls(
            inner=table([p.bounds[1:-1] for p in partitions], width - 1, np.inf),
            cell=table([p.cell.astype(np.float64) for p in partitions]).long(),
            low=table([np.where(np.isnan(p.atom), p.bounds[:-1], p.atom) for p in partitions]),
            width=table([np.where(np.isnan(p.atom), np.diff(p.bounds), 0) for p in partitions]),
            below=table([_present(p).cumsum() - _present(p) for p in partitions]),
            mass=table([_present(p) for p in partitions]),
            start=table([start for start, _, _ in quantile], longest, np.inf),
            value=table([value for _, value, _ in quantile], longest),
            slope=table([slope for _, _, slope in quantile], longest),
            scale=torch.tensor([[0.0 if d is None else 10.0**d] for d in decimals]).double(),
            extent=torch.tensor(extent, dtype=torch.float64).mT[..., None].contiguous(),
            offset=torch.tensor([0, *sizes[:-1]]).cumsum(0)[:, None],
        )

    def to(self, device: torch.device) -> QuantileTable:
        """Return the same tables on a device."""
        return QuantileTable(**{name: table.to(device) for name, table in vars(self).items()})

    def pieces(self, rows: Tensor) -> Tensor:
        """Return the piece (C, n) of each value of encoded rows (n, C)."""
        return torch.searchsorted(self.inner, rows.mT.contiguous(), right=True)

    def cells(self, rows: Tensor) -> Tensor:
        """Return the cell (C, n) of each value."""
        return self.cell.gather(1, self.pieces(rows))

    def ranks(self, rows: Tensor) -> Tensor:
        """Return the share (C, n) of training rows below each value, and half of those equal."""
        piece = self.pieces(rows)
        low, width = self.low.gather(1, piece), self.width.gather(1, piece)
        place = ((rows.mT - low) / width).clamp(0, 1)  # 0 / 0 for an atom: its middle
        rank = self.below.gather(1, piece) + place.nan_to_num(0.5) * self.mass.gather(1, piece)
        return torch.where(rows.mT.isnan(), 0.5, rank)

    def draw_in_cells(self, cells: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return encoded rows (n, C), each value a draw from within its cell (n, C)."""
        device = cells.device if generator is None else generator.device
        place = torch.rand(cells.mT.shape, generator=generator, device=device).to(cells.device)
        return self.quantiles((cells.mT + place.double() + HALF_SPACING).contiguous())

    def quantiles(self, position: Tensor) -> Tensor:
        """Return the values (n, C) at positions (C, n), each a cell plus the place within it."""
        piece = torch.searchsorted(self.start, position, right=True) - 1
        ahead = position - self.start.gather(1, piece)
        value = self.value.gather(1, piece) + ahead * self.slope.gather(1, piece)
        exact = torch.where(self.scale > 0, (value * self.scale).round() / self.scale, value)
        return exact.clamp(self.extent[0], self.extent[1]).mT.contiguous()


def _present(p: Partition) -> Floats:
    """Return the masses among the values that are not missing."""
    total = float(p.mass.sum())
    return p.mass / total if total else p.mass


def _quantile_function(p: Partition) -> tuple[Floats, Floats, Floats]:
    """Return where each piece starts (its cell plus the mass before it), its value, its slope.

    A cell without training rows spreads evenly over its pieces.
    """
    total = np.bincount(p.cell, p.mass, minlength=p.n_cells)[p.cell]
    weight = np.where(total > 0, p.mass, 1.0)
    used = weight > 0
    order = np.lexsort((p.bounds[:-1][used], p.cell[used]))
    cell, weight = p.cell[used][order], weight[used][order]
    low, high, atom = (x[used][order] for x in (p.bounds[:-1], p.bounds[1:], p.atom))
    share = weight / np.bincount(cell, weight, minlength=p.n_cells)[cell]
    before = np.cumsum(share) - share
    first = np.searchsorted(cell, cell)
    start = cell + (before - before[first])
    value = np.where(np.isnan(atom), low, atom)
    slope = np.where(np.isnan(atom), high - low, 0.0) / share
    if p.missing is None:
        return start, value, slope
    return np.insert(start, 0, 0.0), np.insert(value, 0, np.nan), np.insert(slope, 0, 0.0)
