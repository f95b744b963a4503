"""Numbers that nearly follow from what is before them in a row.

Where one column nearly follows from others (a length from a width, a balance from the last one, a
date from month and day), categoricals over hundreds of cells learn slowly where within those the
value lies. A line says it in a few numbers. With t a coordinate of the number's values, exact to
its fine digit, the logit of a cell or a digit of number j at t moves by

    - kappa_j log(1 + ((t - m_j) / s_j)^2),
    m_j = a_j + sum_c sum_{i<j} A^c_ij t^c_i + sum_{k<j} G_j[x_k] + h_j^T B_j,
    log s_j = b_j + h_j^T C_j + log(kappa_j / KAPPA) / 2,

c over the coordinates, i over the numbers and k over all columns before j, G a number for each of
their cells, and h_j the hidden units that have read the columns before j. It is the kernel of
Student's t with 2 kappa - 1 degrees of freedom: a few rows off the line do not widen it. How many
there are is learned, too; what is near the line changes little by it, and of a large kappa it is
the kernel of a normal distribution. It is so wide at first that it says little, unless it starts
from a regression (see `line_starts`).

There are three coordinates. In normal scores (see `ordered`) what rises with something else is near
a line whatever its distribution; in the values themselves sums and differences are; in their
logarithms products, ratios and powers (an area, a price a piece, a speed), of positive numbers. A
line in one of them hears of earlier numbers in all, so that exponentials are lines, too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.nn.fine import WithinCells
from pushforward.nn.segments import Segments
from pushforward.space import Cells

MOST = 128  # numbers of a table
KAPPA = 1.5  # at first: Student's t with 2 degrees of freedom
WIDE, NARROWEST = 3.0, 1e-4  # the widths s at first, and at least
FARTHEST = 1e-4  # the ranks of scores lie between this and 1 - this
# how fast parameters learn: a width falls from 3 to 0.01 within some hundred steps; so do tails
LINE, WIDTH, OTHERS = 6.0, 12.0, 3.0

Numbers = Sequence[float | None]


def scores(ranks: Numbers) -> Tensor:
    """Return the normal scores of ranks, 0 where there is none."""
    known = [0.5 if rank is None else rank for rank in ranks]
    inside = torch.tensor(known, dtype=torch.float64).clamp(FARTHEST, 1 - FARTHEST)
    t: Tensor = torch.special.ndtri(inside)
    return t.float()


def _filled(places: Numbers) -> Tensor:
    """Return standardised values, or logarithms, 0 where there is none."""
    return torch.tensor([0.0 if place is None else place for place in places])


def relations(space: Cells, units: int) -> nn.ModuleList:
    """Return the relations of a table's numbers in each coordinate that the space tells.

    None of more than `MOST` numbers: each of them has a weight for every cell of the table.
    """
    told = (
        (scores, space.ranks, [digit.ranks for digit in space.fine]),
        (_filled, space.places, [digit.places for digit in space.fine]),
        (_filled, space.logs, [digit.logs for digit in space.fine]),
    )
    if len(numbers(space)) > MOST:
        return nn.ModuleList()
    known = [own for own in told if any(cell is not None for cell in own[1])]
    return nn.ModuleList(
        Relations(space, units, len(known), of(cells), [torch.stack([*map(of, r)]) for r in rows])
        for of, cells, rows in known
    )


def numbers(space: Cells) -> list[int]:
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
        units: how many hidden units there are.
        coordinates: how many there are.
        of_cells: (cells,) the coordinate of each cell; those of digits do not count.
        of_digits: for each of `space.fine`, (its cells, digits).

    Attributes:
        number: by the position of a column that holds a number's cells or digits: which number.
        partly: the positions of those some of whose cells have no rank.
    """

    cells: Tensor
    of_number: Tensor
    ranked: Tensor
    ahead: Tensor
    alone: Tensor
    spread: Tensor
    digit_cells: Tensor
    before: Tensor
    earlier: Tensor

    def __init__(
        self,
        space: Cells,
        units: int,
        coordinates: int,
        of_cells: Tensor,
        of_digits: Sequence[Tensor],
    ) -> None:
        super().__init__()
        holding, column = numbers(space), Segments(space.sizes).segment_ids
        self.digits = WithinCells(space, of_digits)
        self.number = {at: k for k, at in enumerate(holding)}
        self.number |= {at: self.number[at - 1] for at in self.digits.columns}
        owner = torch.tensor([self.number.get(at, 0) for at in column.tolist()])
        ranked = torch.tensor([rank is not None for rank in space.ranks])
        is_digit = torch.isin(column, torch.tensor(self.digits.columns, dtype=torch.int64))
        divided = torch.isin(column + 1, torch.tensor(self.digits.columns, dtype=torch.int64))
        member = torch.nn.functional.one_hot(owner, len(holding)).float() * ranked[:, None]
        coarse = (member * ~is_digit[:, None]).T
        positions = torch.tensor(holding)
        buffers = {
            "cells": of_cells,
            "of_number": coarse,
            "ranked": ranked.float(),
            # from (1 / s, - m / s) of numbers to (t - m) / s of their cells
            "ahead": torch.cat([coarse * of_cells, coarse]),
            "alone": (coarse * of_cells * ~divided).T,
            "spread": member[is_digit].T,
            "digit_cells": is_digit.nonzero()[:, 0],
            "before": (positions[:, None] < positions).float(),
            "earlier": (column[:, None] < positions).float(),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)
        n = len(holding)
        self.partly = {at for at in self.number if not bool(ranked[self.digits.bounds[at]].all())}
        self.slope = nn.Parameter(torch.zeros(coordinates, n, n))
        self.step = nn.Parameter(torch.zeros(len(column), n))
        self.centre = nn.Parameter(torch.zeros(n))
        self.shift = nn.Parameter(torch.zeros(n, units))
        self.width = nn.Parameter(torch.full((n,), math.log(WIDE) / WIDTH))
        self.widen = nn.Parameter(torch.zeros(n, units))
        self.tail = nn.Parameter(torch.zeros(n))

    def places(self, x: Tensor) -> Tensor:
        """Return the coordinates of all numbers of rows x, exact to a digit, (n, numbers)."""
        with torch.autocast(x.device.type, enabled=False):
            exact = x.index_select(1, self.digit_cells) * self.digits(x)
            found: Tensor = x @ self.alone + exact @ self.spread.T
            return found

    def forward(self, x: Tensor, units: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of all cells (n, cells) and digits (n, digits) of rows x.

        Products spread what is told of numbers over their cells: so do their gradients.

        Args:
            x: one-hot rows.
            units: (numbers, n, units) those that have read the columns before each number.
            places: (n, coordinates x numbers) the numbers in each coordinate.
        """
        with torch.autocast(x.device.type, enabled=False):
            t, told = self.digits(x), x @ self.steps() + places @ self.slopes().flatten(0, 1)
            m, s = self.lines(told, units.float())
            of_cells = torch.cat([1 / s, -m / s], 1) @ self.ahead
            of_digits = t * (1 / s @ self.spread) - m / s @ self.spread
            kappa = self.kappas()
            pairs = ((of_cells, kappa @ self.of_number), (of_digits, kappa @ self.spread))
            cells, digits = (-own * apart.square().log1p() for apart, own in pairs)
            return cells, digits

    def apart(self, at: int, t: Tensor, m: Tensor, s: Tensor) -> Tensor:
        """Return log(1 + ((t - m) / s)^2) for the column at a position, of cells or digits.

        (n, size), 0 where there is no rank. In place, and so without a gradient.

        Args:
            at: a position in `number`.
            t: the coordinates of its cells, (size,) or (n, size).
            m: (n, 1) where its number's line is.
            s: (n, 1) how wide.
        """
        apart = (t - m).mul_(1 / s)
        if at in self.partly:
            apart *= self.ranked[self.digits.bounds[at]]
        return apart.square_().log1p_()

    def slopes(self) -> Tensor:
        """Return A, (coordinates, numbers, numbers)."""
        return LINE * self.slope * self.before

    def steps(self) -> Tensor:
        """Return G, (cells, numbers)."""
        return OTHERS * self.step * self.earlier

    def writes(self) -> tuple[Tensor, Tensor]:
        """Return what units say of each m and log s: (B, C) (numbers, 2, units), and the rest."""
        weights = OTHERS * torch.stack([self.shift, self.widen], 1)
        widths = WIDTH * (self.width + self.tail / 2)
        return weights, torch.stack([OTHERS * self.centre, widths], 1)

    def kappas(self) -> Tensor:
        """Return kappa, (numbers,)."""
        return KAPPA * (WIDTH * self.tail).exp()

    def lines(self, told: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        """Return m and s of all numbers, each (n, numbers).

        Args:
            told: (n, numbers) what the columns before say of m.
            units: (numbers, n, units) those that have read them.
        """
        weights, biases = self.writes()
        m, log_s = torch.einsum("knu,kmu->mnk", units, weights) + biases.T[:, None]
        return told + m, width(log_s)


def width(log_s: Tensor) -> Tensor:
    """Return the width of a line, which is not too narrow."""
    return log_s.clamp_min(math.log(NARROWEST)).exp()
