"""Numbers that nearly follow from the numbers before them in a row.

Where one column nearly follows from others (a length from a width, a balance from the last one),
categoricals over hundreds of cells learn slowly where within those the value lies. A line says it
in a few numbers. With t the normal score of a value (see `ordered`), exact to its fine digit, the
logit of a cell or a digit of number j with score t moves by

    - kappa_j log(1 + ((t - m_j) / s_j)^2),    m_j = sum_{i<j} A_ij t_i + h^T B_j,
                                               log s_j = b_j + h^T C_j,

i over the numbers before j, and h the hidden units that have read no more than the columns before
j. It is the kernel of Student's t: a few rows off the line do not widen it. It starts so wide that
it says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pushforward.nn.fine import WithinCells
from pushforward.nn.segments import Segments
from pushforward.space import Cells

WIDE, NARROWEST = 3.0, 1e-4  # the widths s at first, and at least
FARTHEST = 1e-4  # the ranks of scores lie between this and 1 - this
# how fast parameters learn: a width falls from 3 to 0.01 within some hundred steps
LINE, WIDTH, UNITS, TAIL = 6.0, 12.0, 3.0, 3.0


def exact_scores(ranks: Sequence[float | None]) -> Tensor:
    """Return the normal scores of ranks, 0 where there is none."""
    known = [0.5 if rank is None else rank for rank in ranks]
    t = torch.tensor(known, dtype=torch.float64).clamp(FARTHEST, 1 - FARTHEST)
    return torch.special.ndtri(t).float()


class Relations(nn.Module):
    """Logits of a table's numbers that say how near they are to a line.

    Args:
        space: whose columns, or columns and fine digits, they are.
        last: (units,) the last column that each hidden unit reads.

    Attributes:
        number: by the position of a column that holds a number's cells or digits: which number.
    """

    scores: Tensor
    owner: Tensor
    ranked: Tensor
    exact: Tensor
    before: Tensor
    heard: Tensor

    def __init__(self, space: Cells, last: Tensor) -> None:
        super().__init__()
        segments = Segments(space.sizes)
        self.first, self.end = segments.first.tolist(), segments.end.tolist()
        digits = {digit.at for digit in space.fine}
        ranked = torch.tensor([rank is not None for rank in space.ranks])
        holding = [
            at
            for at, ends in enumerate(zip(self.first, self.end, strict=True))
            if at not in digits and bool(ranked[slice(*ends)].any())
        ]
        self.number = {at: k for k, at in enumerate(holding)}
        self.number |= {at: self.number[at - 1] for at in digits}
        column = segments.segment_ids.tolist()
        is_digit = torch.tensor([at in digits for at in column])
        tells = torch.tensor([at in self.number and at + 1 not in digits for at in column])
        owner = torch.tensor([self.number.get(at, 0) for at in column])
        exact = torch.zeros(len(column), len(holding))
        exact[torch.arange(len(column)), owner] = tells.float()
        buffers = {
            "scores": exact_scores(space.ranks) * ~is_digit,
            "owner": owner,
            "ranked": ranked.float(),
            "exact": exact,
            "before": torch.ones(len(holding), len(holding)).triu(1),
            "heard": (last[:, None] < torch.tensor(holding)).float(),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)
        tables = [torch.stack([exact_scores(row) for row in digit.ranks]) for digit in space.fine]
        self.digit_scores = WithinCells(space, tables)
        self.slope = nn.Parameter(torch.zeros(len(holding), len(holding)))
        self.shift = nn.Parameter(torch.zeros(len(last), len(holding)))
        self.width = nn.Parameter(torch.full((len(holding),), math.log(WIDE) / WIDTH))
        self.widen = nn.Parameter(torch.zeros(len(last), len(holding)))
        self.tail = nn.Parameter(torch.zeros(len(holding)))

    def forward(self, x: Tensor, units: Tensor) -> Tensor:
        """Return the logits (n, cells) of all columns of rows x, given the hidden units."""
        with torch.autocast(x.device.type, enabled=False):
            t = self.digit_scores(x, self.scores.expand(len(x), -1))
            m, log_s = self._lines((x * t) @ self.exact, units.float())
            m, log_s = (of.index_select(1, self.owner) for of in (m, log_s))
            return self._nearness(t, m, log_s, self._kappa[self.owner] * self.ranked)

    def column(self, at: int, t: Tensor, known: Tensor, units: Tensor) -> Tensor:
        """Return the logits (n, size) of the column at a position.

        Args:
            at: a position in `number`.
            t: the scores of its cells, (size,) or (n, size).
            known: (n, numbers) the scores of the numbers so far, whatever the others.
            units: (n, some) those hidden units that have read the columns before.
        """
        k, cells = self.number[at], slice(self.first[at], self.end[at])
        m, log_s = self._lines(known, units, slice(k, k + 1))
        return self._nearness(t, m, log_s, self._kappa[k] * self.ranked[cells])

    def _lines(
        self, known: Tensor, units: Tensor, which: slice = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """Return m and log s of some numbers, each (n, some)."""
        ready = units.shape[1]
        heard = UNITS * self.heard[:ready, which]
        m = known @ (LINE * self.slope * self.before)[:, which]
        log_s = WIDTH * self.width[which] + units @ (self.widen[:ready, which] * heard)
        return m + units @ (self.shift[:ready, which] * heard), log_s.clamp_min(math.log(NARROWEST))

    @property
    def _kappa(self) -> Tensor:
        return softplus(1 + TAIL * self.tail)

    @staticmethod
    def _nearness(t: Tensor, m: Tensor, log_s: Tensor, kappa: Tensor) -> Tensor:
        return -kappa * ((t - m) * (-log_s).exp()).square().log1p()
