"""Likelihoods of tables: categoricals over each column's atoms and quantile bins."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import dropout, leaky_relu, linear

from pushforward.nn.likelihoods.observation import Likelihood, Observation
from pushforward.nn.ordered import CellWeights
from pushforward.nn.raking import Raking
from pushforward.nn.segments import Segments, draw, gumbel_like
from pushforward.nn.straight_through import straight_through
from pushforward.nn.trunks import SLOPE
from pushforward.space import Cells, values


class Categorical(Likelihood):
    """One categorical a column of a table, over its atoms and quantile bins, independent given z.

    For a one-hot row x the log-likelihood is <x, logits> - sum_j logsumexp_j(logits).
    """

    def __init__(self, space: Cells) -> None:
        super().__init__()
        self.segments = Segments(space.sizes)
        self.raking = Raking(values(space))

    def forward(self, outputs: Tensor) -> Observation:
        """Return independent columns, column j with softmax(outputs_j)."""
        outputs = self.raking(outputs)

        def cells(share: Tensor | None) -> tuple[Tensor, Tensor]:
            return self.segments.draw(outputs, share)

        return Observation(
            lambda x: _chosen(self.segments, x, outputs),
            lambda: self.segments.one_hot(cells(None)[0]),
            lambda: relaxed(self.segments, outputs),
            lambda: self.segments.softmax(outputs),
            cells,
        )


def relaxed(segments: Segments, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return one-hot rows from softmax(logits), straight through the Gumbel-softmax.

    Forward, each column is a draw; backward, softmax((logits + Gumbel noise) / temperature) (Jang
    et al. 2017).
    """
    soft, hard = segments.gumbel_softmax(logits, temperature)
    return straight_through(hard, soft)


def _chosen(segments: Segments, x: Tensor, logits: Tensor) -> Tensor:
    """Return the log-probability of one-hot rows x under one categorical a column, (n,)."""
    return (x * logits).sum(1) - segments.logsumexp(logits).sum(1)


class Autoregressive(Likelihood):
    """Each column of a table given z and the columns before it.

    p(x_j | z, x_<j) = softmax(outputs_j(z) + V_j act(W x_<j)): one hidden layer whose units read
    the columns up to their own and write to those after it (MADE, Germain et al. 2015), beside a
    decoder of z (Chen et al. 2017, the variational lossy autoencoder). What one column says about
    the next needs no code then, so that the codes that are left are close to their prior. `write`
    starts at 0, where the columns are independent given z. Of more columns than units, a column may
    not see the last few before it. Cells of numbers share weights (see `ordered`).
    """

    independent = False
    UNITS = 128
    DROPOUT = 0.2  # without it, the layer learns single rows of a table of 20,000
    GAIN = 3.0  # of what is said about the order of a column: a narrow relation has large logits

    def __init__(self, space: Cells, units: int = UNITS) -> None:
        super().__init__()
        self.units = units
        self.segments = Segments(space.sizes)
        self.raking = Raking(values(space))
        owner = self.segments.segment_ids
        # unit i reads the columns up to last[i]; in ascending order
        last = torch.arange(units) * max(len(space.sizes) - 1, 1) // units
        self.read = CellWeights(space, owner <= last[:, None], gain=1.0)
        self.write = CellWeights(space, last[:, None] < owner, gain=self.GAIN)
        self.write.zero_()
        self.ready = torch.searchsorted(last, torch.arange(len(space.sizes))).tolist()

    def context(self, x: Tensor) -> Tensor:
        """Return what the columns of one-hot rows say about those after them, (n, cells)."""
        units = leaky_relu(linear(x, self.read()), SLOPE)
        context: Tensor = dropout(units, self.DROPOUT, self.training) @ self.write()
        return context.float()

    def forward(self, outputs: Tensor) -> Observation:
        """Return the chain of columns, column j with softmax(outputs_j + context_j)."""
        outputs = self.raking(outputs)

        def cells(share: Tensor | None) -> tuple[Tensor, Tensor]:
            return self._draw(outputs, share)

        def sample() -> Tensor:
            return self.segments.one_hot(cells(None)[0])

        return Observation(
            lambda x: _chosen(self.segments, x, outputs + self.context(x)),
            sample,
            lambda: self._relaxed(outputs),
            lambda: self.segments.softmax(outputs + self.context(sample())),
            cells,
        )

    def _relaxed(self, outputs: Tensor) -> Tensor:
        """Draw column after column, straight through: later columns pass their gradient back."""
        read, tell = self.read(), self.write()
        heard = outputs.new_zeros(len(outputs), self.units)
        columns = []
        bounds = zip(self.segments.first.tolist(), self.segments.end.tolist(), strict=True)
        for first, end in bounds:
            logits = outputs[:, first:end] + leaky_relu(heard, SLOPE) @ tell[:, first:end]
            soft = (logits + gumbel_like(logits)).softmax(1)
            hard = torch.nn.functional.one_hot(soft.argmax(1), end - first).to(soft)
            columns.append(straight_through(hard, soft))
            heard = heard + columns[-1] @ read[:, first:end].T
        return torch.cat(columns, 1)

    def _draw(self, outputs: Tensor, share: Tensor | None) -> tuple[Tensor, Tensor]:
        """Draw column after column; the first `ready[j]` units have read all they need for j."""
        read, tell = self.read().T.contiguous(), self.write()
        heard = outputs.new_zeros(len(outputs), self.units)
        drawn, chance = [], outputs.new_ones(len(outputs), dtype=torch.float64)
        bounds = zip(self.segments.first.tolist(), self.segments.end.tolist(), strict=True)
        for ready, (first, end) in zip(self.ready, bounds, strict=True):
            units = leaky_relu(heard[:, :ready], SLOPE)
            logits = outputs[:, first:end] + units @ tell[:ready, first:end]
            cell, allowed = draw(logits, None if share is None else share[first:end])
            heard[:, ready:] += read[first + cell, ready:]
            drawn.append(cell)
            chance *= allowed
        return torch.stack(drawn, 1), chance
