"""Likelihoods of tables: categoricals over each column's atoms and quantile bins."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import accumulate
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, linear

from pushforward.nn.fine import fine_logits
from pushforward.nn.likelihoods.observation import Likelihood, Observation
from pushforward.nn.line_starts import start_lines
from pushforward.nn.ordered import CellWeights
from pushforward.nn.particles import resampled
from pushforward.nn.raking import Raking
from pushforward.nn.relations import Relations, numbers, relations, width
from pushforward.nn.segments import Segments, draw, gumbel_like
from pushforward.nn.straight_through import straight_through
from pushforward.nn.trunks import SLOPE
from pushforward.space import Cells, values

Draws = TypeVar("Draws", bound=Callable[..., Any])


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


def _exact(draw: Draws) -> Draws:
    """Draw without gradient and in float32 whatever networks compute in: narrow lines need it."""

    @wraps(draw)
    def drawn(head: Autoregressive, outputs: Tensor, *rest: Any) -> Any:
        with torch.no_grad(), torch.autocast(outputs.device.type, enabled=False):
            return draw(head, outputs, *rest)

    return cast(Draws, drawn)


class Autoregressive(Likelihood):
    """Each column of a table given z and the columns before it.

    p(x_j | z, x_<j) = softmax(outputs_j(z) + V_j act(sum_{i<j} W_i x_i) + ...): all units of one
    hidden layer read the columns before j and write to it (NADE, Larochelle & Murray 2011), beside
    a decoder of z (Chen et al. 2017, the variational lossy autoencoder). What one column says about
    the next needs no code then, so that the codes that are left are close to their prior. `write`
    starts at 0, where the columns are independent given z. Of more than `MOST` columns, neighbours
    share their units, and do not see one another. Cells of numbers share weights (see `ordered`),
    numbers are near lines (see `relations`), and a fine digit begins with what its cell says (see
    `fine`).
    """

    independent = False
    UNITS = 128
    MOST = 128  # groups of columns, each of which has units
    DROPOUT = 0.2  # without it, the layer learns single rows of a table of 20,000
    GAIN = 3.0  # of what is said about the order of a column: a narrow relation has large logits
    PACE = 3.0  # of the layer: logits of one-hot rows are long ways from 0, and rarely moved
    holding: Tensor

    def __init__(self, space: Cells, units: int = UNITS, temperature: float = 1.0) -> None:
        super().__init__()
        self.units, self.temperature = units, temperature
        self.segments = Segments(space.sizes)
        self.raking = Raking(values(space))
        self.read = CellWeights(space, units, 1.0, self.PACE)
        self.write = CellWeights(space, units, self.GAIN, self.PACE)
        self.write.zero_()
        self.fine = fine_logits(space)
        self.relations = relations(space, units)
        columns = len(space.sizes)
        groups = min(columns, self.MOST)
        self.group = [at * groups // columns for at in range(columns)]
        holding = [self.group[at] for at in numbers(space)]
        self.register_buffer("holding", torch.tensor(holding, dtype=torch.int64), persistent=False)
        self.widths = [0] * groups  # the cells of each group
        for group, size in zip(self.group, space.sizes, strict=True):
            self.widths[group] += size

    def begin(self, x: Tensor) -> None:
        """Start the lines of numbers at regressions on rows x (n, cells)."""
        start_lines([cast(Relations, own) for own in self.relations], x)

    def units_before(self, x: Tensor) -> Tensor:
        """Return the units that have read the columns before each group, (groups, n, units)."""
        parts = zip(x.split(self.widths, 1), self.read().split(self.widths), strict=True)
        told = [(part @ weight).float() for part, weight in parts]
        heard = accumulate(told[:-1], initial=torch.zeros_like(told[0]))
        return leaky_relu(torch.stack(list(heard)), SLOPE)

    def context(self, x: Tensor, drop: bool = False) -> Tensor:
        """Return what the columns of one-hot rows say about those after them, (n, cells)."""
        units = self.units_before(x)
        kept = dropout(torch.ones_like(units[0]), self.DROPOUT, drop)  # for all columns
        parts = zip(units * kept, self.write().split(self.widths), strict=True)
        logits, digits = torch.cat([linear(*part) for part in parts], 1).float(), self.fine(x)
        of_numbers = units.index_select(0, self.holding)
        lines = [cast(Relations, own) for own in self.relations]
        places = torch.cat([x[:, :0], *(own.places(x) for own in lines)], 1)
        for own in lines:
            of_cells, of_digits = own(x, of_numbers, places)
            logits, digits = logits + of_cells, digits + of_digits
        return self.fine.added(logits, digits)

    def forward(self, outputs: Tensor) -> Observation:
        """Return the chain of columns, column j with softmax(outputs_j + context_j)."""

        def cells(share: Tensor | None) -> tuple[Tensor, Tensor]:
            return self._draw(outputs, share)

        def sample() -> Tensor:
            return self.segments.one_hot(cells(None)[0])

        return Observation(
            lambda x: _chosen(self.segments, x, self._logits(outputs, x, self.training)),
            sample,
            lambda: self._relaxed(outputs),
            lambda: self.segments.softmax(self._logits(outputs, sample())),
            cells,
            lambda share, log_w, k: self._particles(outputs, share, log_w, k),
        )

    def _logits(self, outputs: Tensor, x: Tensor, drop: bool = False) -> Tensor:
        """Return the logits (n, cells) of rows x, each column's given those before it."""
        return cast(Tensor, self.raking(outputs)) + self.context(x, drop)

    def _relaxed(self, outputs: Tensor) -> Tensor:
        """Draw column after column; a gradient reaches what was said of each, given the draw.

        Backward, a column is softmax(logits / temperature) given the columns before it as drawn: no
        gradient comes to a column by way of those after it. One pass gives them all.
        """
        x = self.segments.one_hot(self._draw(outputs, None)[0])
        if not torch.is_grad_enabled():
            return x
        logits = self._logits(outputs, x)
        return straight_through(x, self.segments.softmax(logits / self.temperature))

    @_exact
    def _draw(self, outputs: Tensor, share: Tensor | None) -> tuple[Tensor, Tensor]:
        """Draw column after column."""
        walk = _Walk(self, outputs)
        drawn, chance = [], outputs.new_ones(len(outputs), dtype=torch.float64)
        for u in self._uniform(outputs):
            allowed = None if share is None else share[..., walk.cells]
            cell, mass = draw(walk.logits(), u, allowed)
            walk.take(cell)
            drawn.append(cell)
            chance *= mass
        return torch.stack(drawn, 1), chance

    def _uniform(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """Return (n, 1) uniform numbers for each column, drawn at once: that is faster."""
        u = torch.rand(len(outputs), len(self.group), device=outputs.device)
        columns: tuple[Tensor, ...] = u.split(1, 1)
        return columns

    @_exact
    def _particles(
        self, outputs: Tensor, share: Tensor, log_w: Tensor, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw column after column; where few particles bear a row's weight, those live on."""
        walk, origin = _Walk(self, outputs), torch.arange(len(outputs), device=outputs.device)
        cells = origin.new_zeros(len(outputs), len(self.group))
        for column, u in enumerate(self._uniform(outputs)):
            cell, allowed = draw(walk.logits(), u, share[:, walk.cells])
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

    Attributes:
        heard: (n, units + numbers of all relations) what the units have read so far, and beside it
            what each relation has been told of where its numbers lie.
        units: (n, units) those that speak to the next column.
        before: (n,) the cell of the last column.
    """

    def __init__(self, chain: Autoregressive, outputs: Tensor) -> None:
        self.chain, self.outputs, self.at = chain, outputs, 0
        relations = [cast(Relations, own) for own in chain.relations]
        self.number = relations[0].number if relations else {}
        self.read = torch.cat([chain.read(), *(own.steps() for own in relations)], 1)
        self.write, self.offset = chain.write(), chain.raking.offset
        # by which a number in each coordinate moves what all relations are told of their numbers
        self.slopes = torch.cat([own.slopes() for own in relations], 2) if relations else None
        said = [own.writes() for own in relations]
        self.line_writes = [torch.cat(parts, 1) for parts in zip(*said, strict=True)]
        self.heard = self.read.new_zeros(len(outputs), self.read.shape[1])
        self.units = self.heard[:, : chain.units].clone()  # at 0, their activation is theirs
        self.lines = [
            _Line(own, chain.units + k * len(own.width)) for k, own in enumerate(relations)
        ]
        self.before = torch.zeros(len(outputs), dtype=torch.int64, device=outputs.device)
        first, end = chain.segments.first.tolist(), chain.segments.end.tolist()
        self.bounds = list(map(slice, first, end))

    @property
    def cells(self) -> slice:
        """The next column's cells among those of all columns."""
        return self.bounds[self.at]

    def logits(self) -> Tensor:
        """Return the logits (n, size) of the next column."""
        own, number = self.outputs[:, self.cells], self.number.get(self.at)
        weight, bias = self.write[self.cells], self.offset[self.cells]
        within = self.chain.fine.table(self.at)
        begins = number is not None and within is None
        if begins:  # one product for its cells and its lines
            writes, biases = self.line_writes
            weight, bias = torch.cat([weight, writes[number]]), torch.cat([bias, biases[number]])
        said = linear(self.units, weight, bias)
        logits = own + said[:, : own.shape[1]]
        if within is not None:
            logits += within.index_select(0, self.before)
        for k, line in enumerate(self.lines):
            if number is None:
                break
            if begins:
                line.place(number, self.heard, said[:, own.shape[1] + 2 * k :])
            logits.sub_(line.apart(self.at, self.before), alpha=line.kappas[number])
        return logits

    def take(self, cell: Tensor) -> None:
        """Hear the next column's cell, its number (n,)."""
        self.heard += self.read[self.cells].index_select(0, cell)
        if self.at in self.number and self.at + 1 not in self.chain.fine.columns:
            assert self.slopes is not None
            told = self.heard[:, self.chain.units :]
            for line, slopes in zip(self.lines, self.slopes[:, self.number[self.at]], strict=True):
                told.addcmul_(line.place_of(cell), slopes)
        self.before, self.at = cell, self.at + 1
        group = self.chain.group
        if self.at < len(group) and group[self.at] != group[self.at - 1]:
            self.units = leaky_relu(self.heard[:, : self.chain.units], SLOPE)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (n,), some of them maybe more than once."""
        self.outputs, self.heard, self.units, self.before = (
            t.index_select(0, rows) for t in (self.outputs, self.heard, self.units, self.before)
        )
        for line in self.lines:
            line.keep(rows)


class _Line:
    """One relation's line for the number that a walk is at.

    Args:
        relations: whose line.
        first: where a walk keeps what they have been told of their first number.
    """

    def __init__(self, relations: Relations, first: int) -> None:
        self.relations, self.first, self.kappas = relations, first, relations.kappas().tolist()
        self.m = self.s = self.own = torch.zeros(0, 1, device=relations.cells.device)

    def place(self, number: int, heard: Tensor, said: Tensor) -> None:
        """Learn where the line of a number is, and how wide, by what the units say (n, 2 ...)."""
        at = self.first + number
        self.m = heard[:, at : at + 1] + said[:, :1]
        self.s = width(said[:, 1:2])

    def apart(self, at: int, before: Tensor) -> Tensor:
        """Return how far the number's cells, or its digits given the cell, are from the line."""
        table = self.relations.digits.table(at)
        self.own = (
            self.relations.cells[self.relations.digits.bounds[at]][None]
            if table is None
            else table.index_select(0, before)
        )
        return self.relations.apart(at, self.own, self.m, self.s)

    def place_of(self, cell: Tensor) -> Tensor:
        """Return the coordinate of a number (n, 1), which is known by its last digit."""
        return self.own.expand(len(cell), -1).gather(1, cell[:, None])

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (n,); what they were asked for last is told already."""
        if len(self.m):
            self.m, self.s = self.m.index_select(0, rows), self.s.index_select(0, rows)
