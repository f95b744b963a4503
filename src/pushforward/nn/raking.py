"""Raking: a table's generated columns get the shares that they have in the training rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Raking(nn.Module):
    """Offsets of a table's logits, 0 until they are fitted.

    After training, columns shall have the shares that they have in the training rows: iterative
    proportional fitting (Deming & Stephan 1940) of what a model is expected to generate, by
    offset += log(wanted / expected). No offset goes beyond `MOST`, so that what is never generated
    is not put anywhere.
    """

    ROUNDS = 5
    MOST = 1.0

    offset: Tensor

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros(cells))

    def forward(self, logits: Tensor) -> Tensor:
        """Return logits + offset."""
        return logits + self.offset

    @torch.no_grad()
    def fit(self, wanted: Tensor, expected: Callable[[], Tensor], rows: int) -> None:
        """Fit the offsets.

        Args:
            wanted: the shares (cells,) in the training rows.
            expected: generates rows anew and returns their shares (cells,).
            rows: how many they are; one of them smooths both shares.
        """
        for _ in range(self.ROUNDS):
            change = ((wanted + 1 / rows) / (expected() + 1 / rows)).log()
            self.offset.copy_((self.offset + change).clamp(-self.MOST, self.MOST))
