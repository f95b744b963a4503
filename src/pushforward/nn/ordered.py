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

from pushforward.nn.segments import Segments
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
    """The weights (units, cells) between hidden units and cells, some of them kept at 0.

    Without ranks each cell has weights of its own, w. With them the weights of the cell of column j
    and normal score t are w + gain sum_k a_jk h_k(t); a cell without a rank has w alone.

    Args:
        space: whose cells they are.
        mask: (units, cells), True where a weight counts.
        gain: of the shared weights: how fast they learn.
        pace: of all weights: how much faster they learn than those of other layers.
    """

    mask: Tensor
    owner: Tensor
    scores: Tensor

    def __init__(self, space: Cells, mask: Tensor, gain: float, pace: float = 1.0) -> None:
        super().__init__()
        self.pace = pace
        self.register_buffer("mask", mask.float(), persistent=False)
        self.weight = nn.Parameter(torch.empty(mask.shape))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as nn.Linear
        self.slopes: nn.Parameter | None = None
        if any(rank is not None for rank in space.ranks):
            scores = hermite_scores(space)
            shape = (DEGREE, len(mask), len(space.sizes))
            self.slopes = nn.Parameter(torch.randn(shape) / math.sqrt(DEGREE * len(space.sizes)))
            self.register_buffer("owner", Segments(space.sizes).segment_ids, persistent=False)
            self.register_buffer("scores", gain * scores, persistent=False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.div_(pace)

    def zero_(self) -> None:
        """Set all weights to 0."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self) -> Tensor:
        """Return the weights (units, cells)."""
        if self.slopes is None:
            return self.pace * self.weight * self.mask
        shared = (self.slopes.index_select(2, self.owner) * self.scores[:, None]).sum(0)
        return self.pace * (self.weight + shared) * self.mask
