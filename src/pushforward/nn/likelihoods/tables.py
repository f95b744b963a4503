"""Likelihoods of tables: categoricals over each column's atoms and quantile bins."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, linear

from pushforward.nn.fine import fine_logits
from pushforward.nn.likelihoods.observation import Likelihood, Observation
from pushforward.nn.ordered import CellWeights
from pushforward.nn.particles import resampled
from pushforward.nn.raking import Raking
from pushforward.nn.relations import Relations, relations
from pushforward.nn.segments import Segments, draw, gumbel_like
from pushforward.nn.straight_through import straight_through
from pushforward.nn.trunks import SLOPE
from pushforward.space import Cells, values


class Categorical(Likelihood):
    """One categorical a column of a table, over its atoms and quantile bins, independent given z.

    For a one-hot row x the log-likelihood is <x, logits> - sum_j logsumexp_j(logits). A fine digit
    depends on its own cell, too. Draws that pass gradients on are softened at a temperature.
    """

    def __init__(self, space: Cells, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.columns = IndependentColumns(space)
        self.raking = Raking(values(space))

    def forward(self, outputs: Tensor) -> Observation:
        """Return independent columns, column j with softmax(outputs_j)."""
        outputs, columns = self.raking(outputs), self.columns

        def cells(share: Tensor | None) -> tuple[Tensor, Tensor]:
            return columns.draw(outputs, share)

        return Observation(
            lambda x: _chosen(columns.segments, x, columns.of_rows(outputs, x)),
            lambda: columns.segments.one_hot(cells(None)[0]),
            lambda: columns.relaxed(outputs, self.temperature),
            lambda: columns.shares(outputs),
            cells,
        )


class IndependentColumns(nn.Module):
    """Columns of a table that are independent given their logits, but for their fine digits."""

    def __init__(self, space: Cells) -> None:
        super().__init__()
        self.segments = Segments(space.sizes)
        self.fine = fine_logits(space)

    def of_rows(self, logits: Tensor, x: Tensor) -> Tensor:
        """Return the logits (n, cells) of rows x, given their cells."""
        return self.fine.added(logits, self.fine(x))

    def draw(self, logits: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draw rows under a condition, see `Segments.draw`; digits after their cells."""
        if not self.fine.columns:
            return self.segments.draw(logits, share)
        first, then = (None, None) if share is None else self._parts(share)
        cells, chance = self.segments.draw(logits, first)
        given = self.of_rows(logits, self.segments.one_hot(cells))
        digits, allowed = self.segments.draw(given, then)
        cells[:, self.fine.columns] = digits[:, self.fine.columns]
        return cells, chance * allowed

    def _parts(self, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is allowed of cells, whatever their digits, and of digits."""
        columns = torch.tensor(self.fine.columns, device=share.device)
        is_digit = torch.isin(self.segments.segment_ids, columns)
        whole = torch.ones_like(share)
        return torch.where(is_digit, whole, share), torch.where(is_digit, share, whole)

    def relaxed(self, logits: Tensor, temperature: float = 1.0) -> Tensor:
        """Return one-hot rows from softmax(logits), straight through the Gumbel-softmax.

        Forward, each column is a draw; backward, softmax((logits + Gumbel noise) / temperature)
        (Jang et al. 2017). A digit knows its cell, but passes no gradient back to it.
        """
        noisy = logits + gumbel_like(logits)
        if self.fine.columns:
            _, cells = self.segments.soft_and_hard(noisy.detach())
            noisy = self.of_rows(noisy, cells)
        soft, hard = self.segments.soft_and_hard(noisy / temperature)
        return straight_through(hard, soft)

    def shares(self, logits: Tensor) -> Tensor:
        """Return the probabilities (n, cells) of each column's cells, of digits given a cell."""
        if self.fine.columns:
            logits = self.of_rows(logits, self.segments.one_hot(self.draw(logits)[0]))
        return self.segments.softmax(logits)


def _chosen(segments: Segments, x: Tensor, logits: Tensor) -> Tensor:
    """Return the log-probability of one-hot rows x under one categorical a column, (n,)."""
    return (x * logits).sum(1) - segments.logsumexp(logits).sum(1)


class Autoregressive(Likelihood):
    """Each column of a table given z and the columns before it.

    p(x_j | z, x_<j) = softmax(outputs_j(z) + V_j act(W x_<j) + ...): one hidden layer whose units
    read the columns up to their own and write to those after it (MADE, Germain et al. 2015), beside
    a decoder of z (Chen et al. 2017, the variational lossy autoencoder). What one column says about
    the next needs no code then, so that the codes that are left are close to their prior. `write`
    starts at 0, where the columns are independent given z. Of more columns than units, a column may
    not see the last few before it. Cells of numbers share weights (see `ordered`), numbers are near
    lines (see `relations`), and a fine digit begins with what its cell says (see `fine`).
    """

    independent = False
    UNITS = 128
    DROPOUT = 0.2  # without it, the layer learns single rows of a table of 20,000
    GAIN = 3.0  # of what is said about the order of a column: a narrow relation has large logits
    PACE = 3.0  # of the layer: logits of one-hot rows are long ways from 0, and rarely moved

    def __init__(self, space: Cells, units: int = UNITS, temperature: float = 1.0) -> None:
        super().__init__()
        self.units, self.temperature = units, temperature
        self.segments = Segments(space.sizes)
        self.raking = Raking(values(space))
        owner = self.segments.segment_ids
        # unit i reads the columns up to last[i]; in ascending order
        last = torch.arange(units) * max(len(space.sizes) - 1, 1) // units
        self.read = CellWeights(space, owner <= last[:, None], 1.0, self.PACE)
        self.write = CellWeights(space, last[:, None] < owner, self.GAIN, self.PACE)
        self.write.zero_()
        self.fine = fine_logits(space)
        self.relations = relations(space, last)
        self.ready = torch.searchsorted(last, torch.arange(len(space.sizes))).tolist()

    def context(self, x: Tensor, drop: bool = False) -> Tensor:
        """Return what the columns of one-hot rows say about those after them, (n, cells)."""
        units = leaky_relu(linear(x, self.read()), SLOPE)
        context: Tensor = dropout(units, self.DROPOUT, drop) @ self.write()
        logits, digits = context.float(), self.fine(x)
        for lines in self.relations:
            of_cells, of_digits = lines(x, units)
            logits, digits = logits + of_cells, digits + of_digits
        return self.fine.added(logits, digits)

    def forward(self, outputs: Tensor) -> Observation:
        """Return the chain of columns, column j with softmax(outputs_j + context_j)."""
        outputs = self.raking(outputs)

        def cells(share: Tensor | None) -> tuple[Tensor, Tensor]:
            return self._draw(outputs, share)

        def sample() -> Tensor:
            return self.segments.one_hot(cells(None)[0])

        return Observation(
            lambda x: _chosen(self.segments, x, outputs + self.context(x, self.training)),
            sample,
            lambda: self._relaxed(outputs),
            lambda: self.segments.softmax(outputs + self.context(sample())),
            cells,
            lambda share, log_w, k: self._particles(outputs, share, log_w, k),
        )

    def _relaxed(self, outputs: Tensor) -> Tensor:
        """Draw column after column; a gradient reaches what was said of each, given the draw.

        Backward, a column is softmax(logits / temperature) given the columns before it as drawn: no
        gradient comes to a column by way of those after it. One pass gives them all.
        """
        with torch.no_grad():
            x = self.segments.one_hot(self._draw(outputs, None)[0])
        if not torch.is_grad_enabled():
            return x
        logits = outputs + self.context(x)
        return straight_through(x, self.segments.softmax(logits / self.temperature))

    def _draw(self, outputs: Tensor, share: Tensor | None) -> tuple[Tensor, Tensor]:
        """Draw column after column."""
        walk = _Walk(self, outputs)
        drawn, chance = [], outputs.new_ones(len(outputs), dtype=torch.float64)
        for _ in self.ready:
            own = walk.cells
            cell, allowed = draw(walk.logits(), None if share is None else share[..., own])
            walk.take(cell)
            drawn.append(cell)
            chance *= allowed
        return torch.stack(drawn, 1), chance

    def _particles(
        self, outputs: Tensor, share: Tensor, log_w: Tensor, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw column after column; where few particles bear a row's weight, those live on."""
        walk, origin = _Walk(self, outputs), torch.arange(len(outputs), device=outputs.device)
        cells = origin.new_zeros(len(outputs), len(self.ready))
        for column in range(len(self.ready)):
            cell, allowed = draw(walk.logits(), share[:, walk.cells])
            walk.take(cell)
            cells[:, column] = cell
            log_w = log_w + allowed.log()
            fate = resampled(log_w, k)
            if fate is not None:
                ancestors, log_w = fate
                walk.keep(ancestors)
                cells, origin = cells[ancestors], origin[ancestors]
        return cells, log_w, origin


class _Walk:
    """One pass through the columns of rows, each of which is told before the next is asked for.

    The first `ready[j]` units have read all they need for column j.
    """

    def __init__(self, chain: Autoregressive, outputs: Tensor) -> None:
        self.chain, self.outputs, self.at = chain, outputs, 0
        self.read, self.tell = chain.read().T.contiguous(), chain.write()
        self.heard = outputs.new_zeros(len(outputs), chain.units)
        self.lines = [_Told(cast(Relations, own), len(outputs)) for own in chain.relations]
        self.before: Tensor | None = None
        first, end = chain.segments.first.tolist(), chain.segments.end.tolist()
        self.bounds = list(map(slice, first, end))

    @property
    def cells(self) -> slice:
        """The next column's cells among those of all columns."""
        return self.bounds[self.at]

    def logits(self) -> Tensor:
        """Return the logits (n, size) of the next column."""
        ready = self.chain.ready[self.at]
        units = leaky_relu(self.heard[:, :ready], SLOPE)
        logits: Tensor = self.outputs[:, self.cells] + units @ self.tell[:ready, self.cells]
        within = self.chain.fine.table(self.at)
        logits = logits if within is None else logits + _entries(within, self.before)
        for told in self.lines:
            logits = logits + told.logits(self.at, self.before, units)
        return logits

    def take(self, cell: Tensor) -> None:
        """Hear the next column's cell, its number (n,)."""
        later = slice(self.chain.ready[self.at], None)
        self.heard[:, later] += _entries(self.read[self.cells, later], cell)
        for told in self.lines:
            told.take(self.cells, cell)
        self.before, self.at = cell, self.at + 1

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (n,), some of them maybe more than once."""
        self.outputs, self.heard = self.outputs[rows], self.heard[rows]
        self.before = None if self.before is None else self.before[rows]
        for told in self.lines:
            told.m = told.m[rows]


class _Told:
    """What the columns of a walk have said so far about where the numbers after them lie."""

    def __init__(self, relations: Relations, n: int) -> None:
        self.relations = relations
        self.slopes, self.steps = relations.slopes(), relations.steps()
        self.m = self.steps.new_zeros(n, len(self.slopes))
        self.own: Tensor | None = None

    def logits(self, at: int, before: Tensor | None, units: Tensor) -> Tensor | float:
        """Return what a column's logits move by, (n, size); 0 if it holds no number."""
        relations, self.own = self.relations, None
        if at not in relations.number:
            return 0.0
        cells, table = relations.digits.bounds[at], relations.digits.table(at)
        self.own = relations.cells[cells] if table is None else _entries(table, before)
        self.ends = at + 1 not in relations.digits.columns
        self.number = relations.number[at]
        return relations.column(at, self.own, self.m[:, self.number], units)

    def take(self, cells: slice, cell: Tensor) -> None:
        """Hear a column's cell, and by its last digit a number."""
        self.m = self.m + _entries(self.steps[cells], cell)
        if self.own is not None and self.ends:
            self.m = self.m + _entry(self.own, cell)[:, None] * self.slopes[self.number]


def _entries(table: Tensor, cell: Tensor | None) -> Tensor:
    """Return the rows of a table (size, m) at cells (n,); (n, m)."""
    assert cell is not None
    return table[cell]


def _entry(coordinates: Tensor, cell: Tensor) -> Tensor:
    """Return the coordinate (n,) of cells (n,)."""
    return coordinates.expand(len(cell), -1).gather(1, cell[:, None])[:, 0]
