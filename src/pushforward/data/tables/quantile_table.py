"""From cells to numbers: the quantile functions of all columns as one lookup table.

The quantile function of a column maps a position, its cell plus a number in [0, 1), to a value: it
is linear on each piece. The pieces of all columns lie one after another on one axis, each column's
behind those of the columns before it, so that a single search finds them all.
"""

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
    """The quantile functions of C columns, with Q linear pieces in all.

    Args:
        axis: (Q,) where a piece begins on the common axis: `offset` + `start`.
        start: (Q,) where it begins among the positions of its column.
        value: (Q,) the value there.
        slope: (Q,) its slope.
        offset: (C, 1) where the positions of each column begin on the common axis.
        scale: (C, 1) 10 to the number of decimals, or 0 for full precision.
        comb: (2, C, 1) step and offset of the comb that the values lie on, in units of the last
            decimal.
        extent: (2, C, 1) the smallest and the largest value.
    """

    axis: Tensor
    start: Tensor
    value: Tensor
    slope: Tensor
    offset: Tensor
    scale: Tensor
    comb: Tensor
    extent: Tensor

    @classmethod
    def of(cls, partitions: Sequence[Partition], decimals: Sequence[int | None]) -> QuantileTable:
        """Return the table of these columns; `decimals` None means full precision."""
        functions = [_quantile_function(p) for p in partitions]
        start, value, slope = (np.concatenate(parts) for parts in zip(*functions, strict=True))
        offset = np.cumsum([0, *(p.n_cells for p in partitions[:-1])]).astype(np.float64)
        axis = start + np.repeat(offset, [len(function[0]) for function in functions])
        extent = np.array([p.extent for p in partitions])
        scale = [0.0 if d is None else 10.0**d for d in decimals]
        return cls(
            axis=torch.from_numpy(axis),
            start=torch.from_numpy(start),
            value=torch.from_numpy(value),
            slope=torch.from_numpy(slope),
            offset=torch.from_numpy(offset)[:, None],
            scale=torch.tensor(scale, dtype=torch.float64)[:, None],
            comb=torch.tensor([p.comb for p in partitions], dtype=torch.float64).mT[..., None],
            extent=torch.from_numpy(extent).mT[..., None].contiguous(),
        )

    def to(self, device: torch.device) -> QuantileTable:
        """Return the same tables on a device."""
        return QuantileTable(**{name: table.to(device) for name, table in vars(self).items()})

    def draw_in_cells(self, cells: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return encoded rows (n, C), each value a draw from within its cell (n, C)."""
        device = cells.device if generator is None else generator.device
        place = torch.rand(cells.mT.shape, generator=generator, device=device).to(cells.device)
        return self.quantiles((cells.mT + place.double() + HALF_SPACING).contiguous())

    def quantiles(self, position: Tensor) -> Tensor:
        """Return the values (n, C) at positions (C, n), each a cell plus the place within it."""
        piece = torch.searchsorted(self.axis, (position + self.offset).contiguous(), right=True) - 1
        ahead = position - self.start[piece]
        return self.on_grid((self.value[piece] + ahead * self.slope[piece]).mT)

    def on_grid(self, values: Tensor) -> Tensor:
        """Return the nearest values (n, C) that are drawn for values (n, C)."""
        step, offset = self.comb
        nearest = ((values.mT * self.scale - offset) / step).round() * step + offset
        exact = torch.where(self.scale > 0, nearest / self.scale, values.mT)
        return exact.clamp(self.extent[0], self.extent[1]).mT.contiguous()


def _quantile_function(p: Partition) -> tuple[Floats, Floats, Floats]:
    """Return where each piece starts (its cell plus the mass before it), its value, its slope.

    A cell without training rows is uniform over its pieces.
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
    spread = np.isnan(atom) & (high > np.nextafter(low, np.inf))  # over more than one number
    slope = np.where(spread, high - low, 0.0) / share
    if p.missing is None:
        return start, value, slope
    return np.insert(start, 0, 0.0), np.insert(value, 0, np.nan), np.insert(slope, 0, 0.0)
