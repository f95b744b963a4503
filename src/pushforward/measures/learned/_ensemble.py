"""Ensembles of small networks that learn to tell two samples apart, trained all at once.

Each member learns from its own random three quarters of the rows, and keeps the parameters that did
best on the other quarter; the critic is the members' mean. It overfits less than any of them: where
one network reaches 79 % of the divergence (500 rows, 10 columns), the mean of four reaches 88 %.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

MEMBERS = 4
WIDTH = 64
TRAINING_SHARE = 0.75  # of a member's rows train it, the others say when to stop
STEPS = 500  # at most
CHECK_EVERY = 10  # steps between two checks on the held-out rows
PATIENCE = 8  # checks without a gain until training stops
BATCH = 256  # rows a side
LEARNING_RATE = 2e-3
NARROW = 10  # columns up to which the rate is that

Objective = Callable[[Tensor, Tensor], Tensor]
"""Values on both sides (members, n) and (members, m) -> what each member maximises (members,)."""


class Affine(nn.Module):
    """x W + b for every member: (members, n, inputs) -> (members, n, outputs)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply each member's map to its own rows."""
        return torch.baddbmm(self.bias, x, self.weight)


class Ensemble(nn.Module):
    """A function of rows for each member: (members, n, d) -> (members, n)."""

    def project(self) -> None:
        """Project the parameters onto the allowed set; called after each step."""

    def mean(self, rows: Tensor) -> Tensor:
        """Return the members' mean on rows (n, d) as float64 (n,), without a graph."""
        with torch.no_grad():
            values: Tensor = self(rows.expand(MEMBERS, *rows.shape))
        return values.double().mean(0)


def fit(
    ensemble: Ensemble, objective: Objective, x: Tensor, y: Tensor, generator: torch.Generator
) -> None:
    """Train each member until no member's held-out rows gain any more; keep the best of each.

    Args:
        ensemble: changed in place. Its initial parameters are the first candidate.
        objective: what to maximise.
        x: rows of the one side (n, d), prepared.
        y: rows of the other side (m, d).
        generator: of the members' splits and of the batches.
    """
    samples = [_MemberRows(rows, generator) for rows in (x, y)]
    # A step of Adam moves each weight by the rate, and so a value by the rate times sqrt(columns):
    # with 784 columns the first steps would already be too long.
    learning_rate = LEARNING_RATE * min(1.0, (NARROW / x.shape[1]) ** 0.5)
    optimizer = torch.optim.Adam(ensemble.parameters(), learning_rate)
    best = _Best(ensemble)
    best.offer(_gain(ensemble, objective, [sample.held_out for sample in samples]))
    for step in range(1, STEPS + 1):
        loss = -_gain(ensemble, objective, [sample.batch(generator) for sample in samples]).sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        ensemble.project()
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                best.offer(_gain(ensemble, objective, [sample.held_out for sample in samples]))
            if best.idle >= PATIENCE:
                break
    best.restore()


def _gain(ensemble: Ensemble, objective: Objective, rows: list[Tensor]) -> Tensor:
    values = ensemble(torch.cat(rows, 1))
    return objective(*values.split([part.shape[1] for part in rows], 1))


class _MemberRows:
    """One sample's rows, split for each member into training and held-out rows."""

    def __init__(self, rows: Tensor, generator: torch.Generator) -> None:
        order = torch.rand(MEMBERS, len(rows), generator=generator).argsort(1).to(rows.device)
        self.rows, size = rows, int(TRAINING_SHARE * len(rows))
        self.training, self.held_out = order[:, :size], rows[order[:, size:]]

    def batch(self, generator: torch.Generator) -> Tensor:
        size = self.training.shape[1]
        if size <= BATCH:
            return self.rows[self.training]
        columns = torch.randperm(size, generator=generator)[:BATCH].to(self.rows.device)
        return self.rows[self.training[:, columns]]


class _Best:
    """The parameters with which each member did best so far."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.parameters = list(ensemble.parameters())
        self.kept = [p.detach().clone() for p in self.parameters]
        self.gain = torch.full((MEMBERS,), -torch.inf, device=self.kept[0].device)
        self.idle = 0

    def offer(self, gain: Tensor) -> None:
        better = gain.detach() > self.gain
        self.idle = 0 if better.any() else self.idle + 1
        self.gain = torch.where(better, gain.detach(), self.gain)
        for kept, now in zip(self.kept, self.parameters, strict=True):
            kept[better] = now.detach()[better]

    def restore(self) -> None:
        with torch.no_grad():
            for kept, now in zip(self.kept, self.parameters, strict=True):
                now.copy_(kept)


def uniform(generator: torch.Generator, *shape: int, bound: float) -> Tensor:
    """Return values in [-bound, bound]."""
    return bound * (2 * torch.rand(*shape, generator=generator) - 1)
