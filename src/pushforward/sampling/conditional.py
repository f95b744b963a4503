r"""Rows under a condition on any columns, from the model's own conditional distribution.

A model of tables draws each column's cell from a categorical, given its code z (and class c) and
maybe the columns before. A draw that is kept to what is allowed of each cell (see `data.where`),
column by column, comes with the probability of what was allowed,

    w = prod_j P(what is allowed of column j | z, c, columns before j),

where a cell is divided into fine digits: that of the cells that are allowed in part, times the
allowed share of the fine cell that was drawn.

Accepted with probability w, such draws follow exactly p(row | where): they are the model's own
draws, with the noise of the restricted columns summed over and not drawn (rejection after
Rao-Blackwell). The mean of w is P(where), the hit rate. Where that is low, w is hardly ever near 1;
after `PILOT` draws one is accepted with probability w / b, b a little more than the largest w so
far. Should one lie beyond b, its row ought to count w / b times: accepted rows are worth
(sum v)^2 / sum v^2 independent ones, v = max(1, w / b) (Kong 1992).
Where not all rows are kept (see `blocks.chance_kept`), w is times the probability with which one
is. Classes are then drawn by their frequency over the share Z_c of their rows that is kept, and the
hit rate is the mean of w, times sum_c p(c) / Z_c.

Where that would take more draws than `allowance`, the rest of the rows is drawn by importance
resampling: each row is chosen among all draws with probability proportional to w (Rubin 1987), by a
reservoir for each row, so that no draw has to be kept. The effective number of draws is
(sum w)^2 / sum w^2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pushforward.data import TableSchema
from pushforward.data.tables.where import Restriction
from pushforward.errors import ModelError
from pushforward.families.model import Model
from pushforward.random import Stream, derived_seed, isolated
from pushforward.sampling.balanced import even
from pushforward.sampling.blocks import BLOCK, Block, block_size, chance_kept, chooses, propose
from pushforward.sampling.kept import KeptShare
from pushforward.sampling.streams import sliced

FEWEST_DRAWS = 2**20  # draws that are made for however few rows, and ...
PER_ROW = 100  # ... draws that are made for a row, before rejection gives up
PILOT = 8 * BLOCK  # draws after which w is known well enough to choose, and ...
BEYOND = 1.25  # ... how far beyond the largest of them b lies
PORTION = 2**16  # rows that are resampled at once
RARE = 1e-6  # the hit rate below which a condition counts as never met


def allowance(n: int) -> int:
    """Return how many draws are made at most for n rows."""
    return max(FEWEST_DRAWS, PER_ROW * n)


@dataclass
class Tally:
    """What the draws so far came to.

    Args:
        native: the probability of the allowed classes, to which the condition was kept exactly,
            over the share of all rows that are kept (see `blocks.chance_kept`).
        draws: how many rows were drawn.
        total: the sum of w over them.
        squares: the sum of w^2.
        largest: the largest w.
        accepted: rows by rejection.
        chosen: draws that were accepted, of which the rows are the first; ...
        v: ... the sum of v over them, ...
        v_squares: ... and that of v^2.
        resampled: the effective number of the other rows.
        doubt: the relative standard error of `native`.
    """

    native: float = 1.0
    draws: int = 0
    total: float = 0.0
    squares: float = 0.0
    largest: float = 0.0
    accepted: int = 0
    chosen: int = 0
    v: float = 0.0
    v_squares: float = 0.0
    resampled: float = 0.0
    doubt: float = 0.0

    def add(self, chance: Tensor) -> None:
        """Count a block of draws."""
        self.draws += len(chance)
        self.total += float(chance.sum())
        self.squares += float(chance.square().sum())
        self.largest = max(self.largest, float(chance.max()))

    def choose(self, v: Tensor) -> None:
        """Count draws that were accepted."""
        self.chosen += len(v)
        self.v += float(v.sum())
        self.v_squares += float(v.square().sum())

    @property
    def bound(self) -> float:
        """What w is compared with, b."""
        return min(1.0, BEYOND * self.largest) if self.draws >= PILOT and self.largest else 1.0

    @property
    def rate(self) -> float:
        """The mean of w."""
        return self.total / max(self.draws, 1)

    @property
    def hit_rate(self) -> float:
        """P(where): the mean of w, times the probability of the allowed classes."""
        return min(1.0, self.native * self.rate)

    @property
    def error(self) -> float:
        """The standard error of the hit rate."""
        variance = self.squares / max(self.draws, 1) - self.rate**2
        own = self.native * math.sqrt(max(variance, 0.0) / max(self.draws, 1))
        return math.hypot(own, self.doubt * self.hit_rate)

    @property
    def effective(self) -> float:
        """How many independent rows the rows are worth."""
        each = self.v**2 / (self.chosen * self.v_squares) if self.chosen else 1.0
        return self.accepted * each + self.resampled


@dataclass(frozen=True)
class Hits:
    """How rows under a condition were obtained.

    Args:
        hit_rate: P(where) under the model: how often a row meets the condition by itself.
        error: its standard error.
        effective: how many independent rows the rows are worth; all of them by rejection.
        draws: how many rows were drawn.
        independent: P(where) in the training rows, were their columns independent: as much as can
            be said of them without the rows.
    """

    hit_rate: float
    error: float
    effective: float
    draws: int
    independent: float

    def __str__(self) -> str:
        return (
            f"hit rate {self.hit_rate:.3g} ± {self.error:.1g} ({self.independent:.3g} if columns "
            f"were independent), {self.draws} draws, {self.effective:.0f} independent rows"
        )


@dataclass(frozen=True)
class _Draws:
    """Draws that keep to the condition.

    Args:
        cells: (n, columns) the fine cell of each column.
        labels: the codes of the classes (n,), or None.
        chance: (n,) w.
        rows: the encoded rows, where they had to be drawn to know whether they are allowed: w is 0
            where they are not.
    """

    cells: Tensor
    labels: Tensor | None
    chance: Tensor
    rows: Tensor | None = None

    def take(self, index: Tensor) -> _Draws:
        """Return these draws."""
        there = index.cpu()
        labels = None if self.labels is None else self.labels[there]
        rows = None if self.rows is None else self.rows[there]
        return _Draws(self.cells[index], labels, self.chance[index], rows)


@dataclass
class Conditioner:
    """Draws rows under one condition from one model.

    Args:
        model: any model of tables.
        schema: its table's.
        restriction: the condition.
        seed: the rows depend on it alone.
        kept: which share of rows is kept, of each class.
        tally: what the draws so far came to.
    """

    model: Model
    schema: TableSchema
    restriction: Restriction
    seed: int
    kept: KeptShare
    tally: Tally = field(default_factory=Tally)
    blocks: int = 0

    def __post_init__(self) -> None:
        self.restriction = self.restriction.to(self.model.device)
        self.tally.doubt = self.kept.error
        self.proposed = self._proposed()
        if self.proposed is None or self.schema.condition is None:
            self.tally.native = 1 / float(self.kept.of_class.mean())
        else:
            self.tally.native = float(self.proposed.sum()) / sum(self.schema.condition.frequencies)

    def _proposed(self) -> Tensor | None:
        """Return how often classes are to be drawn, so that kept rows have the right shares.

        That is the frequency of the allowed ones, over the share of their rows that is kept.
        """
        allowed = self.restriction.class_frequencies
        return None if allowed is None else allowed / self.kept.of_class.to(allowed)

    def rows(self, n: int) -> Iterator[Block]:
        """Yield n encoded rows in parts; ModelError when the condition is never met."""
        missing = n
        limit = allowance(n)
        while missing > 0 and not self._hopeless(missing, limit):
            part = sliced(self._accepted(), 0, missing)
            missing -= len(part[0])
            self.tally.accepted += len(part[0])
            yield part
        for size in even(missing, -(-missing // PORTION)):
            yield self._resampled(size, allowance(n) * size // missing)

    def _hopeless(self, missing: int, limit: int) -> bool:
        """Tell whether rejection would take more draws than are allowed."""
        tally = self.tally
        left = limit - tally.draws
        return tally.draws >= PILOT and tally.rate / tally.bound * left < missing

    @torch.no_grad()
    def _accepted(self) -> Block:
        """Draw one block, and accept each draw with probability w / b."""
        bound = self.tally.bound  # by the draws before
        with self._next_block():
            draws = self._draw()
            keep = torch.rand_like(draws.chance) * bound < draws.chance
            chosen = draws.take(keep.nonzero()[:, 0])
            self.tally.choose((chosen.chance / bound).clamp_min(1.0))
            return self._checked(*self._finished(chosen))

    @torch.no_grad()
    def _resampled(self, n: int, limit: int) -> Block:
        """Draw n rows, each chosen in proportion to w among so many draws.

        After each block, every row is replaced with probability (w of the block) / (w so far).
        """
        own = Tally()
        held: Block | None = None
        while own.draws < limit:
            with self._next_block():
                draws = self._draw()
                own.add(draws.chance)
                if not draws.chance.any():
                    continue
                share = float(draws.chance.sum()) / own.total
                swap = (torch.rand(n) < share).nonzero()[:, 0]
                if not len(swap):
                    continue
                index = torch.multinomial(draws.chance, len(swap), replacement=True)
                held = _replaced(held, swap, self._finished(draws.take(index)))
            self._refuse_never(own)
        self.tally.resampled += min(n, own.total**2 / max(own.squares, 1e-300))
        if held is None:
            raise self._never(own.draws)
        return held

    @property
    def hits(self) -> Hits:
        """What the draws so far came to."""
        tally, independent = self.tally, self.restriction.independent
        return Hits(tally.hit_rate, tally.error, tally.effective, tally.draws, independent)

    @property
    def names(self) -> list[str]:
        """The restricted columns, the condition's own left out."""
        columns = [self.schema.columns[i].name for i in self.restriction.columns]
        names = [name for name in columns if name in self.schema.column_names]
        return [*names, *(name for name in self.restriction.checked if name not in names)]

    def _refuse_never(self, own: Tally) -> None:
        if own.draws >= FEWEST_DRAWS and own.rate < RARE:
            raise self._never(own.draws)

    def _never(self, draws: int) -> ModelError:
        names = ", ".join(map(repr, self.names))
        return ModelError(
            f"where: such a row was never generated in {draws} draws (conditions on {names}; "
            f"{self.restriction.independent:.1g} of the rows, were columns independent); "
            "widen the condition, or drop part of it"
        )

    def _next_block(self) -> AbstractContextManager[None]:
        self.blocks += 1
        seed = derived_seed(self.seed, Stream.BLOCKS, self.blocks - 1)
        return isolated(self.model.device, seed)

    def _draw(self) -> _Draws:
        """Draw n rows' cells, kept to what is allowed."""
        own, n = self.restriction, block_size(self.schema)
        labels = None if self.proposed is None else torch.multinomial(self.proposed, n, True)
        share = own.share if own.columns else None
        cells, chance = propose(self.model, n, labels, share)
        fine = self.schema.fine_cells(cells)
        chance = chance * own.chance_within(fine)
        draws = self._kept_by_rows(_Draws(fine, labels, chance))
        self.tally.add(draws.chance)
        return draws

    def _kept_by_rows(self, draws: _Draws) -> _Draws:
        """Draw the rows and look at them, where only these tell what is allowed, or is kept."""
        own = self.restriction
        if not (own.checked or own.repeaters or chooses(self.model, self.schema)):
            return draws
        rows, labels = self._finished(draws)
        chance = draws.chance * chance_kept(self.model, self.schema, rows, labels).to(draws.chance)
        if own.repeaters:  # what is repeated may not be allowed
            chance = chance * own.allows(rows).to(chance)
        if own.checked:
            kept = own.allows_frame(self.schema.frame(rows, labels))
            chance = chance * kept.to(chance)
        return replace(draws, chance=chance, rows=rows)

    def _finished(self, draws: _Draws) -> Block:
        """Draw places within cells from what is allowed; return encoded rows on the CPU."""
        if draws.rows is not None:
            return draws.rows, draws.labels
        return self.restriction.draw_in_cells(draws.cells).cpu(), draws.labels

    def _checked(self, rows: Tensor, labels: Tensor | None) -> Block:
        """Drop rows that rounding to a column's grid has carried out of the condition."""
        kept = self.restriction.allows(rows)
        return rows[kept], None if labels is None else labels[kept]


def _replaced(held: Block | None, at: Tensor, fresh: Block) -> Block:
    """Return rows, in which those at these places are fresh."""
    if held is None:
        return fresh
    rows, labels = held
    rows[at] = fresh[0]
    if labels is not None and fresh[1] is not None:
        labels[at] = fresh[1]
    return rows, labels
