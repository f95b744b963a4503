"""Numbers that nearly follow from what is before them in a row.

Where one column nearly follows from others (a length from a width, a balance from the last one, a
date from month and day), categoricals over hundreds of cells learn slowly where within those the
value lies. A line says it in a few numbers. With t a coordinate of the number's values, exact to
its fine digit, the logit of a cell or a digit of number j at t moves by

    - kappa_j log(1 + ((t - m_j) / s_j)^2),
    m_j = sum_{i<j} A_ij t_i + sum_{k<j} G_j[x_k] + h^T B_j,     log s_j = b_j + h^T C_j,

i over the numbers and k over all columns before j, G a number for each of their cells, and h the
hidden units that have read no more than the columns before j. It is the kernel of Student's t: a
few rows off the line do not widen it. It starts so wide that it says little.

There are two coordinates. In normal scores (see `ordered`) what rises with something else is near a
line whatever its distribution; in the values themselves sums and differences are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pushforward.nn.fine import WithinCells
from pushforward.nn.segments import Segments
from pushforward.space import Cells

MOST = 128  # numbers of a table
WIDE, NARROWEST = 3.0, 1e-4  # the widths s at first, and at least
FARTHEST = 1e-4  # the ranks of scores lie between this and 1 - this
# how fast parameters learn: a width falls from 3 to 0.01 within some hundred steps
LINE, WIDTH, OTHERS = 6.0, 12.0, 3.0

Numbers = Sequence[float | None]


def scores(ranks: Numbers) -> Tensor:
    """Return the normal scores of ranks, 0 where there is none."""
    known = [0.5 if rank is None else rank for rank in ranks]
    t = torch.tensor(known, dtype=torch.float64).clamp(FARTHEST, 1 - FARTHEST)
    return torch.special.ndtri(t).float()


def _filled(places: Numbers) -> Tensor:
    """Return standardised values, 0 where there is none."""
    return torch.tensor([0.0 if place is None else place for place in places])


def relations(space: Cells, last: Tensor) -> nn.ModuleList:
    """Return the relations of a table's numbers in each coordinate that the space tells.

    None of more than `MOST` numbers: each of them has a weight for every cell of the table.
    """
    told = (
        (scores, space.ranks, [digit.ranks for digit in space.fine]),
        (_filled, space.places, [digit.places for digit in space.fine]),
    )
    if len(_numbers(space)) > MOST:
        return nn.ModuleList()
    return nn.ModuleList(
        Relations(space, last, of(cells), [torch.stack(list(map(of, rows))) for rows in digits])
        for of, cells, digits in told
        if any(cell is not None for cell in cells)
    )


def _numbers(space: Cells) -> list[int]:
    """Return the positions of the columns that hold the cells of numbers."""
    starts = itertools.accumulate(space.sizes, initial=0)
    ends = itertools.pairwise(starts)
    digits = {digit.at for digit in space.fine}
    return [
        at
        for at, cells in enumerate(ends)
        if at not in digits and any(rank is not None for rank in space.ranks[slice(*cells)])
    ]


class Relations(nn.Module):
    """Logits of a table's numbers that say how near they are to lines in one coordinate.

    Args:
        space: whose columns, or columns and fine digits, they are.
        last: (units,) the last column that each hidden unit reads.
        of_cells: (cells,) the coordinate of each cell; those of digits do not count.
        of_digits: for each of `space.fine`, (its cells, digits).

    Attributes:
        number: by the position of a column that holds a number's cells or digits: which number.
    """

    cells: Tensor
    spread: Tensor
    alone: Tensor
    before: Tensor
    earlier: Tensor
    heard: Tensor

    def __init__(
        self, space: Cells, last: Tensor, of_cells: Tensor, of_digits: Sequence[Tensor]
    ) -> None:
        super().__init__()
        segments = Segments(space.sizes)
        self.first, self.end = segments.first.tolist(), segments.end.tolist()
        digits = {digit.at for digit in space.fine}
        ranked = torch.tensor([rank is not None for rank in space.ranks])
        holding = _numbers(space)
        self.number = {at: k for k, at in enumerate(holding)}
        self.number |= {at: self.number[at - 1] for at in digits}
        column = segments.segment_ids.tolist()
        is_digit = torch.tensor([at in digits for at in column])
        owner = torch.tensor([self.number.get(at, 0) for at in column])
        positions = torch.tensor(holding)
        spread = torch.zeros(len(holding), len(column))
        spread[owner, torch.arange(len(column))] = ranked.float()
        alone = torch.tensor([at + 1 not in digits for at in column])
        buffers = {
            "cells": of_cells * ~is_digit,
            "spread": spread,  # from numbers to their cells and digits
            "alone": spread.T * (alone & ~is_digit)[:, None] * of_cells[:, None],
            "before": (positions[:, None] < positions).float(),
            "earlier": (segments.segment_ids[:, None] < positions).float(),
            "heard": (last[:, None] < positions).float(),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)
        self.digits = WithinCells(space, of_digits)
        self.divided = [self.number[at] for at in self.digits.columns]
        n = len(holding)
        self.slope = nn.Parameter(torch.zeros(n, n))
        self.step = nn.Parameter(torch.zeros(len(column), n))
        self.shift = nn.Parameter(torch.zeros(len(last), n))
        self.width = nn.Parameter(torch.full((n,), math.log(WIDE) / WIDTH))
        self.widen = nn.Parameter(torch.zeros(len(last), n))
        self.tail = nn.Parameter(torch.zeros(n))

    def forward(self, x: Tensor, units: Tensor) -> Tensor:
        """Return the logits (n, cells) of all columns of rows x, given the hidden units."""
        with torch.autocast(x.device.type, enabled=False):
            t, slopes = self.digits(x, self.cells.expand(len(x), -1)), self.slopes()
            told = x @ (self.steps() + self.alone @ slopes)
            if self.digits.columns:
                exact = [
                    (x[:, own] * t[:, own]).sum(1) for own in map(self._cells, self.digits.columns)
                ]
                told = told + torch.stack(exact, 1) @ slopes[self.divided]
            m, s = self._lines(told, units.float(), slice(None))
            return self._nearness(t, m, s, self.spread, slice(None))

    def column(self, at: int, t: Tensor, told: Tensor, units: Tensor) -> Tensor:
        """Return the logits (n, size) of the column at a position.

        Args:
            at: a position in `number`.
            t: the coordinates of its cells, (size,) or (n, size).
            told: (n,) what the columns before say of m.
            units: (n, some) those hidden units that have read the columns before.
        """
        k = self.number[at]
        own = slice(k, k + 1)
        m, s = self._lines(told[:, None], units, own)
        return self._nearness(t, m, s, self.spread[own, self._cells(at)], own)

    def _cells(self, at: int) -> slice:
        """Return where the cells of a column lie in a row."""
        return slice(self.first[at], self.end[at])

    def slopes(self) -> Tensor:
        """Return A, (numbers, numbers)."""
        return LINE * self.slope * self.before

    def steps(self) -> Tensor:
        """Return G, (cells, numbers)."""
        return OTHERS * self.step * self.earlier

    def _lines(self, told: Tensor, units: Tensor, which: slice) -> tuple[Tensor, Tensor]:
        """Return m and s of some numbers, each (n, some)."""
        ready = units.shape[1]
        heard = OTHERS * self.heard[:ready, which]
        log_s = WIDTH * self.width[which] + units @ (self.widen[:ready, which] * heard)
        m = told + units @ (self.shift[:ready, which] * heard)
        return m, log_s.clamp_min(math.log(NARROWEST)).exp()

    def _nearness(self, t: Tensor, m: Tensor, s: Tensor, spread: Tensor, which: slice) -> Tensor:
        """Return the logits of cells at t. A product spreads numbers: so does its gradient."""
        apart = t * (1 / s @ spread) - m / s @ spread
        kappa = softplus(1 + OTHERS * self.tail[which])
        return -(kappa @ spread) * apart.square().log1p()
