"""Batches in which each row is by a coin of its own, and conditions that no row gives away."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.families.model import Batch
from pushforward.space import Cells
from pushforward.training.batches import Batches


class PoissonBatches(Batches):
    """Batches of a random size: each row is in one with the same probability `rate`.

    Their coins come from `secret`. Conditions of turns without rows are drawn by the shares that
    the schema has, which are noisy counts.
    """

    def __init__(
        self,
        data: Dataset,
        batch_size: int,
        rate: float,
        device: torch.device,
        classes: int,
        secret: torch.Generator,
    ) -> None:
        super().__init__(data, batch_size, 0, device, classes)
        self.rate, self.secret = rate, secret
        self.sizes = data.schema.space.sizes if isinstance(data.schema.space, Cells) else ()
        condition = data.schema.condition
        self.shares = None if condition is None else torch.tensor(condition.frequencies)

    def __call__(self) -> Batch:
        """Return the next batch x (expanded), and its condition c."""
        self.drawn += 1
        coins = torch.rand(len(self.rows), generator=self.secret, device=self.secret.device)
        return self._batch((coins < self.rate).nonzero()[:, 0])

    def conditions(self) -> Tensor | None:
        """Return the conditions of `own` rows, drawn by noisy shares."""
        if self.shares is None:
            return None
        labels = torch.multinomial(self.shares.to(self.device), self.own, replacement=True)
        return self.classes.index_select(0, labels)

    def public(self, n: int) -> Batch:
        """Return n rows of cells drawn evenly: of the schema's form, and nobody's."""
        cells = torch.stack([torch.randint(size, (n,)) for size in self.sizes], 1)
        x = self.expand(cells.to(self.device))
        if self.shares is None:
            return x, None
        return x, self.classes.index_select(0, torch.randint(len(self.shares), (n,)))
