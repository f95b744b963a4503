"""Masked linear maps of a table's cells that know the order of a column's numbers.

As categories, the 64 quantile bins of two columns have 4,096 pairs, and 4,000 rows say nothing
about most of them. But numbers are ordered, and relations between them are mostly smooth. With the
normal score t of a cell, Phi(t) the share of rows below its middle, the relation of two normal
variables of correlation r is (Mehler 1866)

    p(s, t) / (p(s) p(t)) = sum_k r^k h_k(s) h_k(t),    h_k = He_k / sqrt(k!),

He_k the Hermite polynomials. So each cell's weights are those of its own plus a cubic in t, which
all cells of a column share and all of its rows teach.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pushforward.nn.segments import Segments, product
from pushforward.space import Cells

DEGREE = 3


def hermite_scores(space: Cells) -> Tensor:
    """Return h_1 .. h_DEGREE of each cell's normal score, (DEGREE, cells); 0 without a rank."""
    ranks = [0.5 if rank is None else rank for rank in space.ranks]
    t = torch.special.ndtri(torch.tensor(ranks, dtype=torch.float64).clamp(1e-3, 1 - 1e-3))
    known = torch.tensor([rank is not None for rank in space.ranks])
    h = [torch.ones_like(t), t]
    for k in range(1, DEGREE):  # He_{k+1} = t He_k - k He_{k-1}
        h.append((t * h[k] - math.sqrt(k) * h[k - 1]) / math.sqrt(k + 1))
    return (torch.stack(h[1:]) * known).float()


class CellWeights(nn.Module):
    """The weights (cells, units) between a table's cells and hidden units.

    Without ranks each cell has weights of its own, w. With them the weights of the cell of column j
    and normal score t are w + gain sum_k a_jk h_k(t); a cell without a rank has w alone.

    Args:
        space: whose cells they are.
        units: how many hidden units there are.
        gain: of the shared weights: how fast they learn.
        pace: of all weights: how much faster they learn than those of other layers.
    """

    basis: Tensor

    def __init__(self, space: Cells, units: int, gain: float, pace: float = 1.0) -> None:
        super().__init__()
        self.pace = pace
        cells, columns = sum(space.sizes), len(space.sizes)
        bound = 1 / math.sqrt(cells)  # as nn.Linear
        self.weight = nn.Parameter(torch.empty(cells, units).uniform_(-bound, bound))
        self.slopes: nn.Parameter | None = None
        if any(rank is not None for rank in space.ranks):
            shape = (DEGREE * columns, units)
            self.slopes = nn.Parameter(torch.randn(shape) / math.sqrt(DEGREE * columns))
            segments = Segments(space.sizes)
            # (cells, columns of a group x DEGREE): h_k of the cells of each column
            basis = segments.membership[:, :, None] * gain * hermite_scores(space).T[:, None]
            self.register_buffer("basis", basis.flatten(1), persistent=False)
            self.group_entries = segments.group_entries
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.div_(pace)

    def zero_(self) -> None:
        """Set all weights to 0."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self) -> Tensor:
        """Return the weights (cells, units)."""
        if self.slopes is None:
            return self.pace * self.weight
        slopes = self.slopes.split(self.basis.shape[1])
        groups = zip(self.basis.split(self.group_entries), slopes, strict=True)
        shared = [product(basis[:, : len(own)], own) for basis, own in groups]
        return self.pace * (self.weight + torch.cat(shared))
