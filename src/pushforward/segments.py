"""Softmax over the columns of a table: a row of logits is cut into segments, one a column.

All columns at once: the sums over segments are one matrix product with the membership matrix, in
which only exp is differentiated. The maxima that keep exp from overflowing cancel in the result,
so they carry no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def gumbel(like: Tensor) -> Tensor:
    """Return standard Gumbel noise of the shape of `like`: -log(-log U), U uniform.

    On a CPU this is four times as fast as the logarithm of `exponential_`.
    """
    return -torch.rand_like(like).clamp_min_(torch.finfo(like.dtype).tiny).log_().neg_().log_()


class Segments(nn.Module):
    """The segments of rows (n, sum(sizes)); segment j holds `sizes[j]` neighbouring entries."""

    membership: Tensor
    padded: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        count, widest, total = len(sizes), max(sizes), sum(sizes)
        owner = torch.repeat_interleave(torch.arange(count), torch.tensor(sizes))
        place = torch.arange(total) - (torch.tensor(sizes).cumsum(0) - torch.tensor(sizes))[owner]
        padded = torch.full((count, widest), total)
        padded[owner, place] = torch.arange(total)
        membership = nn.functional.one_hot(owner, count).float()
        self.register_buffer("padded", padded, persistent=False)
        self.register_buffer("membership", membership, persistent=False)

    def pad(self, rows: Tensor) -> Tensor:
        """Return rows (n, total) as (n, segments, widest), filled up with -inf."""
        filled = nn.functional.pad(rows, (0, 1), value=-torch.inf)
        return filled.index_select(1, self.padded.flatten()).view(-1, *self.padded.shape)

    def spread(self, each: Tensor) -> Tensor:
        """Return a number for each segment (n, segments) at all of its entries (n, total)."""
        return each @ self.membership.T

    def maxima(self, logits: Tensor) -> Tensor:
        """Return the maximum of each segment, without gradient, (n, segments)."""
        return self.pad(logits.detach()).amax(-1)

    def logsumexp(self, logits: Tensor) -> Tensor:
        """Return log sum exp over each segment, (n, segments)."""
        top = self.maxima(logits)
        return ((logits - self.spread(top)).exp() @ self.membership).log() + top

    def softmax(self, logits: Tensor) -> Tensor:
        """Return the softmax over each segment, (n, total)."""
        weight = (logits - self.spread(self.maxima(logits))).exp()
        return weight / self.spread(weight @ self.membership)

    def gumbel_softmax(self, logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Return softmax((logits + Gumbel noise) / temperature), and its one-hot draw."""
        noisy = (logits + gumbel(logits)) / temperature
        below = noisy - self.spread(self.maxima(noisy))
        weight = below.exp()
        soft = weight / self.spread(weight @ self.membership)
        return soft, (below >= 0).to(soft.dtype)
