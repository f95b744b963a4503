r"""Refinement: a classifier chooses among the generated rows of a table.

A table is often told apart by relations that its model has not learned. A classifier that tells
training rows from generated ones estimates the density ratio, s(x) = log p_data(x) / p_model(x),
and rejection by it brings the rows nearer (Azadi et al. 2019, here with boosted trees): a row is
kept with probability

    a(x) = min(1, exp(s(x) - b)),

so that rows follow p_model(x) a(x) / Z, Z the mean of a over p_model. With b the `CLIPPED` quantile
of s, only the few rows that are most in want count less than they should.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.nn.boosting import BoostedTrees

TREES = 200
ROWS_A_TREE = 100
FEWEST = 1000  # training rows from which a classifier says something of others
HELD_OUT = 0.2  # share of the rows that say how many trees, b, Z, and whether it is worth it
CLIPPED = 0.8  # so Z is at least 0.2
MIN_Z = 3.0  # deviations of the gain on held-out rows, and ...
WORTH = 0.03  # nats of it at least: rows that are chosen take half as long again to draw


class Refinement(nn.Module):
    """Which rows are kept; all of them until it is fitted.

    Attributes:
        trees: s.
        level: b.
        share: Z.
        gain: E_data log a - log Z, in nats: how much likelier held-out training rows are.
    """

    level: Tensor
    share: Tensor
    gain: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trees = BoostedTrees(TREES)
        self.register_buffer("level", torch.zeros(()))
        self.register_buffer("share", torch.ones(()))
        self.register_buffer("gain", torch.zeros(()))

    @property
    def fitted(self) -> bool:
        """Whether rows are chosen."""
        return bool(self.trees.count)

    @torch.no_grad()
    def log_accept(self, rows: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return log a of encoded rows (n, columns) and the codes of their classes (n,)."""
        s: Tensor = self.trees(with_labels(rows.to(self.level.device), labels))
        return (s - self.level).clamp(max=0.0)

    def clear(self) -> None:
        """Keep all rows."""
        self.trees.count.zero_()
        self.share.fill_(1.0)
        self.gain.zero_()

    @torch.no_grad()
    def fit(
        self, real: Tensor, generated: Tensor, seed: torch.Generator, trees: int = TREES
    ) -> None:
        """Fit it to as many real as generated rows (n, columns), on the CPU, with so many trees.

        All rows are kept unless the gain is clearly positive, and worth the time.
        """
        self.clear()
        n = len(real)
        x, label = torch.cat([real, generated]), torch.arange(2 * n) < n
        held = torch.rand(2 * n, generator=seed) < HELD_OUT
        self.trees.fit(x, label, held, min(trees, TREES, n // ROWS_A_TREE), seed)
        if not self.fitted:
            return
        known, drawn = (self.trees(x[held & own].to(self.level.device)) for own in (label, ~label))
        self.level.copy_(drawn.quantile(CLIPPED))
        a, log_a = ((s - self.level).clamp(max=0.0) for s in (drawn, known))
        a = a.exp()
        self.share.copy_(a.mean())
        self.gain.copy_(log_a.mean() - a.mean().log())
        error = (log_a.var() / len(log_a) + (a / a.mean()).var() / len(a)).sqrt()
        if self.gain < max(MIN_Z * float(error), WORTH):
            self.clear()


def with_labels(rows: Tensor, labels: Tensor | None) -> Tensor:
    """Return rows whose last number is the code of their class, if they have one."""
    return rows if labels is None else torch.cat([rows, labels[:, None].to(rows)], 1)
