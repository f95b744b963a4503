r"""The cases of a row of which a number is known, and not whether it is that of another column.

A number y may be that of a column x, or its own (see `constraints.repeats`). Where y is known, and
neither x nor which of the two it is, each is a case of the row:

    p(y) = p("= x", x = y) + p("its own", y).

In the first x is known, too, and may itself repeat a third column, so that cases multiply, up to
`MOST`. As it is when rows are generated, whatever cells are drawn for y are then overwritten: they
may be any, and only x tells of the row. In the second they are those of y. The cells of x and y
differ in width: a case has the chance of its numbers within their cells, too (`number_chances`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.data.tables.number_chances import log_chance_in_cell
from pushforward.data.tables.repeated import Place, Repeater
from pushforward.data.tables.schema import TableSchema

MOST = 16  # cases of a row: what else its numbers may repeat is not told apart
PRECISION = 2.0**-24  # of numbers without decimals: single, relative to the largest


@dataclass(frozen=True, eq=False)
class Cases:
    """What is known of rows of C columns in each of m cases.

    Args:
        owner: (m,) of which row they are cases, ascending.
        rows: (m, C) encoded.
        known: (m, C) what is known of them.
        repeated: (m, C) of that the numbers which repeat others, whatever their own cells are.
    """

    owner: Tensor
    rows: Tensor
    known: Tensor
    repeated: Tensor

    @classmethod
    def single(cls, rows: Tensor, known: Tensor) -> Cases:
        """Return one case of each row (n, C), whose numbers are all their own."""
        return cls(torch.arange(len(rows)), rows, known, torch.zeros_like(known))

    @classmethod
    def of(
        cls,
        repeaters: Sequence[Repeater],
        rows: Tensor,
        known: Tensor,
        asked: int | None = None,
    ) -> Cases:
        """Return the cases of rows (n, C): what the last column repeats may repeat others.

        `asked` is the position of a column whose number is asked for: so it is where it is not
        known, but what it repeats is.
        """
        cases = cls.single(rows, known)
        for repeater in reversed(repeaters):
            cases = cases._split(repeater, is_asked=asked in repeater.column.at)
        for repeater in repeaters:
            repeats = repeater.repeats(cases.rows, cases.known)
            cases.repeated[:, repeater.column.at] |= repeats[:, None]
        return cases

    def _split(self, repeater: Repeater, *, is_asked: bool) -> Cases:
        """Return the cases by what a column repeats, where its number is known, or asked for."""
        stays = ~repeater.is_open(self.known)
        if is_asked:
            stays &= ~repeater.is_given(self.known)
        if stays.all():
            return self
        possible = repeater.possible(self.rows, self.known)
        many = torch.where(stays, 1, possible.sum(1))
        stays |= torch.zeros_like(self.owner).index_add_(0, self.owner, many)[self.owner] > MOST
        possible[stays] = False
        case, which = torch.cat([possible, stays[:, None]], 1).nonzero().mT
        owner, rows, known, repeated = (own[case] for own in vars(self).values())
        for label in range(possible.shape[1]):
            at = (which == label).nonzero()[:, 0]
            rows[at], known[at] = repeater.assumed(rows[at], known[at], label)
        return Cases(owner, rows, known, repeated)

    def log_chance(self, schema: TableSchema) -> Tensor:
        """Return the log-chance (m,) of numbers within their cells; 0 for a row of one case."""
        log_p = torch.zeros(len(self.owner), dtype=torch.float64)
        several = (self.owner.bincount()[self.owner] > 1).nonzero()[:, 0]
        for at, spacing in _spacings(schema).items() if len(several) else ():
            counts = (self.known & ~self.repeated)[several, at]
            numbers = torch.where(counts, self.rows[several, at], torch.nan).numpy()
            own = log_chance_in_cell(numbers, schema.fine_partitions[at], spacing)
            log_p[several] += torch.from_numpy(own)
        return log_p


def _spacings(schema: TableSchema) -> dict[int, float]:
    """Return how far the numbers of columns that repeat others, or are repeated, are apart.

    By their positions. A number that another repeats lies on the other's grid, too; one of full
    precision is taken to lie on the grid of its neighbours in this, or else on a fine one.
    """
    whole, found = dict[int, float](), dict[int, float]()
    for repeater in reversed(schema.repeaters):
        column, places = repeater.column, [repeater.column, *repeater.sources]
        finest = min((p.spacing for p in places if p.spacing), default=_finest(places))
        least = whole.get(column.at[0], 0.0) or column.spacing or finest
        for place in places:
            own = max(whole.get(place.at[0], 0.0), place.spacing, least)
            whole[place.at[0]] = own
            found |= dict.fromkeys(place.at, own if place.step is None else 1.0)  # parts: integers
    return found


def _finest(places: Iterable[Place]) -> float:
    """Return the precision of the largest number."""
    return PRECISION * float(np.abs([place.extent for place in places]).max()) or 1.0
