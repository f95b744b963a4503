"""Softmax over the columns of a table: a row of logits is cut into segments, one a column.

All columns at once: a sum over segments is a matrix product with the membership matrix, and its
gradient a product with the transpose. The matrix is block-diagonal: each group of `GROUP`
neighbouring segments has a product of its own, so that memory is linear in the length of a row. The
order in which a float32 product adds depends on its shape: beyond `GROUP` columns, sums equal those
of a single product to rounding.

The maxima that keep exp from overflowing cancel in the result, so they carry no gradient. Sums are
taken in float32 where networks compute in half precision, in float64 where rows are float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

GROUP = 32  # segments whose sums are one product


def gumbel_like(x: Tensor) -> Tensor:
    """Return standard Gumbel noise of the shape of x: -log(-log U), U uniform.

    On a CPU this is four times as fast as the logarithm of `exponential_`.
    """
    return -torch.rand_like(x).clamp_min_(torch.finfo(x.dtype).tiny).log_().neg_().log_()


class Segments(nn.Module):
    """The segments of rows (n, sum(sizes)); segment j holds `sizes[j]` neighbouring entries.

    Attributes:
        first: where segments begin, (segments,).
        end: where they end, (segments,).
        segment_ids: the segment of each entry, (total,).
        membership: (total, GROUP or fewer), 1 where entry i lies in segment k of its group, or 0.
        group_entries: how many entries each group has.
        group_segments: how many segments each group has.
    """

    first: Tensor
    end: Tensor
    segment_ids: Tensor
    membership: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        size = torch.tensor(sizes)
        segment_ids = torch.repeat_interleave(torch.arange(len(sizes)), size)
        own = torch.arange(min(GROUP, len(sizes)))
        self.register_buffer("first", size.cumsum(0) - size, persistent=False)
        self.register_buffer("end", size.cumsum(0), persistent=False)
        self.register_buffer("segment_ids", segment_ids, persistent=False)
        membership = (segment_ids[:, None] % GROUP == own).float()
        self.register_buffer("membership", membership, persistent=False)
        groups = [sizes[i : i + GROUP] for i in range(0, len(sizes), GROUP)]
        self.group_entries = [sum(group) for group in groups]
        self.group_segments = [len(group) for group in groups]

    def sums(self, rows: Tensor) -> Tensor:
        """Return the sum of each segment, (n, segments)."""
        if len(self.group_entries) == 1:
            return product(rows, self.membership)
        parts = zip(rows.split(self.group_entries, 1), self._blocks(), strict=True)
        return torch.cat([product(part, block) for part, block in parts], 1)

    def broadcast(self, each: Tensor) -> Tensor:
        """Return a number for each segment (n, segments) at all of its entries (n, total)."""
        if len(self.group_entries) == 1:
            return product(each, self.membership.T)
        parts = zip(each.split(self.group_segments, 1), self._blocks(), strict=True)
        return torch.cat([product(part, block.T) for part, block in parts], 1)

    def _blocks(self) -> list[Tensor]:
        """Return the membership matrix of each group, (its entries, its segments)."""
        blocks = self.membership.split(self.group_entries)
        return [block[:, :k] for block, k in zip(blocks, self.group_segments, strict=True)]

    def maxima(self, logits: Tensor) -> Tensor:
        """Return the maximum of each segment, without gradient, (n, segments)."""
        lowest = logits.new_full((len(logits), len(self.end)), -torch.inf)
        ids = self.segment_ids.expand_as(logits)
        return lowest.scatter_reduce_(1, ids, logits.detach(), "amax").to(_precise(logits))

    def _shifted(self, logits: Tensor, maxima: Tensor) -> Tensor:
        """Return logits less the maximum of their segment, (n, total)."""
        return logits - maxima.index_select(1, self.segment_ids)

    def logsumexp(self, logits: Tensor) -> Tensor:
        """Return log sum exp over each segment, (n, segments)."""
        maxima = self.maxima(logits)
        return self.sums(self._shifted(logits, maxima).exp()).log() + maxima

    def softmax(self, logits: Tensor) -> Tensor:
        """Return the softmax over each segment, (n, total)."""
        weight = self._shifted(logits, self.maxima(logits)).exp()
        return weight / self.broadcast(self.sums(weight))

    def soft_and_hard(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the softmax over each segment, and one-hot rows of the largest entries."""
        shifted = self._shifted(logits, self.maxima(logits))
        weight = shifted.exp()
        soft = weight / self.broadcast(self.sums(weight))
        return soft, (shifted >= 0).to(soft.dtype)

    def draw(self, logits: Tensor, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draw an entry of each segment, i with probability softmax(logits)_i allowed_i.

        Args:
            logits: (n, total).
            allowed: (total,) in [0, 1], how much of each entry is allowed; None for all of it.

        Returns:
            The entries drawn, counted within their segments, (n, segments), and the probability
            of what is allowed, prod_j sum_i softmax(logits_j)_i allowed_i, (n,) in float64. Where
            it is 0, the entries mean nothing.
        """
        weight = self._shifted(logits, self.maxima(logits)).exp()
        kept = weight if allowed is None else weight * allowed.to(weight.dtype)
        entry, mass = _invert_cdf(kept, self.first, self.end)
        if allowed is None:
            return entry, torch.ones_like(mass[:, 0])
        return entry, (mass / self.sums(weight)).clamp_max(1.0).prod(1)

    def one_hot(self, entry: Tensor) -> Tensor:
        """Return entries (n, segments) as concatenated one-hot rows (n, total)."""
        rows = torch.zeros(len(entry), len(self.segment_ids), device=entry.device)
        return rows.scatter_(1, entry + self.first, 1.0)


def draw(logits: Tensor, u: Tensor, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Do what `Segments.draw` does for rows (n, total) of one segment; return (n,) and (n,).

    Of one segment alone float32 is exact enough, and several times as fast. u (n, 1) is uniform in
    [0, 1): what is drawn follows from it.
    """
    weight = (logits - logits.amax(1, keepdim=True)).exp_()
    kept = weight if allowed is None else weight * allowed.to(weight.dtype)
    cumulative = kept.cumsum(1)
    total = cumulative[:, -1:]
    # never the end itself, beyond which nothing is left
    point = torch.minimum(u * total, total.nextafter(torch.zeros_like(total)))
    found = torch.searchsorted(cumulative, point, right=True)[:, 0]
    entry = found.clamp_max(logits.shape[1] - 1)
    if allowed is None:
        return entry, torch.ones(len(entry), dtype=torch.float64, device=entry.device)
    mass = kept.sum(1, dtype=torch.float64) / weight.sum(1, dtype=torch.float64)
    return entry, mass.clamp_max(1.0)


def _invert_cdf(weight: Tensor, first: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Draw an entry of each segment in proportion to its weight; return it, and the weight's sum.

    By one search: a uniform point between the segment's ends on the scale of the running sum.
    """
    cumulative = pad(weight.cumsum(1, dtype=torch.float64), (1, 0))
    low, high = cumulative.index_select(1, first), cumulative.index_select(1, end)
    point = low + torch.rand_like(low) * (high - low)
    # never the upper end itself, beyond which nothing of the segment is left
    point = torch.minimum(point, high.nextafter(low))
    entry = torch.searchsorted(cumulative, point, right=True) - 1
    return torch.minimum(entry.maximum(first), end - 1) - first, high - low


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return a b in float32 at least: in half precision the logits of a sum would not cancel."""
    dtype = _precise(a)
    with torch.autocast(a.device.type, enabled=False):
        return a.to(dtype) @ b.to(dtype)


def _precise(x: Tensor) -> torch.dtype:
    """Return float32, or float64 where x is float64."""
    return torch.promote_types(x.dtype, torch.float32)
