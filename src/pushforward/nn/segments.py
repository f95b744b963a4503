"""Softmax over the columns of a table: a row of logits is cut into segments, one a column.

All columns at once: the sums over segments are one matrix product with the membership matrix, in
which only exp is differentiated. The maxima that keep exp from overflowing cancel in the result,
so they carry no gradient. Sums are taken in float32 also where networks compute in half precision.
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
    owner: Tensor
    first: Tensor
    end: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        end = torch.tensor(sizes).cumsum(0)
        owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        tables = {"end": end, "first": end - torch.tensor(sizes), "owner": owner}
        tables["membership"] = (owner[:, None] == torch.arange(len(sizes))).float()
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def sums(self, rows: Tensor) -> Tensor:
        """Return the sum of each segment, (n, segments)."""
        return _product(rows, self.membership)

    def spread(self, each: Tensor) -> Tensor:
        """Return a number for each segment (n, segments) at all of its entries (n, total)."""
        return _product(each, self.membership.T)

    def maxima(self, logits: Tensor) -> Tensor:
        """Return the maximum of each segment, without gradient, (n, segments)."""
        top = logits.new_full((len(logits), len(self.end)), -torch.inf)
        return top.scatter_reduce_(1, self.owner.expand_as(logits), logits.detach(), "amax")

    def logsumexp(self, logits: Tensor) -> Tensor:
        """Return log sum exp over each segment, (n, segments)."""
        top = self.maxima(logits)
        return self.sums((logits - self.spread(top)).exp()).log() + top

    def softmax(self, logits: Tensor) -> Tensor:
        """Return the softmax over each segment, (n, total)."""
        weight = (logits - self.spread(self.maxima(logits))).exp()
        return weight / self.spread(self.sums(weight))

    def gumbel_softmax(self, logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Return softmax((logits + Gumbel noise) / temperature), and its one-hot draw."""
        noisy = (logits + gumbel(logits)) / temperature
        below = noisy - self.spread(self.maxima(noisy))
        weight = below.exp()
        soft = weight / self.spread(self.sums(weight))
        return soft, (below >= 0).to(soft.dtype)

    def draw(self, logits: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draw an entry of each segment, i with probability softmax(logits)_i share_i.

        Args:
            logits: (n, total).
            share: (total,) in [0, 1], how much of each entry is allowed; None for all of it.

        Returns:
            The entries drawn, counted within their segments, (n, segments), and the probability
            of what is allowed, prod_j sum_i softmax(logits_j)_i share_i, (n,) in float64. Where it
            is 0, the entries mean nothing.
        """
        weight = (logits - self.spread(self.maxima(logits))).exp()
        allowed = weight if share is None else weight * share.to(weight.dtype)
        entry, mass = _place(allowed, self.first, self.end)
        if share is None:
            return entry, torch.ones_like(mass[:, 0])
        return entry, (mass / self.sums(weight)).clamp_max(1.0).prod(1)

    def one_hot(self, entry: Tensor) -> Tensor:
        """Return entries (n, segments) as concatenated one-hot rows (n, total)."""
        rows = torch.zeros(len(entry), len(self.owner), device=entry.device)
        return rows.scatter_(1, entry + self.first, 1.0)


def draw(logits: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Do what `Segments.draw` does for rows (n, total) of one segment; return (n,) and (n,)."""
    weight = logits.softmax(1)
    allowed = weight if share is None else weight * share.to(weight.dtype)
    ends = torch.tensor([[0], [logits.shape[1]]], device=logits.device)
    entry, mass = _place(allowed, ends[0], ends[1])
    return entry[:, 0], torch.ones_like(mass[:, 0]) if share is None else mass[:, 0].clamp_max(1.0)


def _place(weight: Tensor, first: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Draw an entry of each segment in proportion to its weight; return it, and the weight's sum.

    By one search: a uniform point between the segment's ends on the scale of the running sum.
    """
    total = nn.functional.pad(weight.cumsum(1, dtype=torch.float64), (1, 0))
    below, above = total.index_select(1, first), total.index_select(1, end)
    aim = below + torch.rand_like(below) * (above - below)
    # never the upper end itself, beyond which nothing of the segment is left
    aim = torch.minimum(aim, above.nextafter(below))
    entry = torch.searchsorted(total, aim, right=True) - 1
    return torch.minimum(entry.maximum(first), end - 1) - first, above - below


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return a b in float32: in half precision the logits of a sum would not cancel."""
    with torch.autocast(a.device.type, enabled=False):
        return a.float() @ b
