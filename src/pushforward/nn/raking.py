"""Raking: a table's generated columns get the shares that they have in the training rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Raking(nn.Module):
    """Offsets of a table's logits, 0 until they are fitted.

    After training, they give each column the shares that it has in the training rows, by iterative
    proportional fitting (Deming & Stephan 1940): offset += log(observed / expected), where the
    expected shares are those of generated rows. These are few, so their sampling error is averaged
    over further rounds: the j-th of them moves 1 / (j + 1) of the way (Robbins & Monro 1951).
    Offsets are clamped to [-MAX_OFFSET, MAX_OFFSET], so that a cell that is never generated is not
    forced.
    """

    GAINS = (1.0, 1.0, *(1 / j for j in range(1, 10)))
    MAX_OFFSET = 1.0

    offset: Tensor

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros(cells))

    def forward(self, logits: Tensor) -> Tensor:
        """Return logits + offset."""
        return logits + self.offset

    @torch.no_grad()
    def fit(self, observed: Tensor, expected: Callable[[], Tensor], rows: int) -> None:
        """Fit the offsets.

        Args:
            observed: the shares (cells,) in the training rows.
            expected: generates rows anew and returns their shares (cells,).
            rows: the number of training rows; 1 / rows is added to both shares, against log(0).
        """
        for gain in self.GAINS:
            change = gain * ((observed + 1 / rows) / (expected() + 1 / rows)).log()
            self.offset.copy_((self.offset + change).clamp(-self.MAX_OFFSET, self.MAX_OFFSET))
