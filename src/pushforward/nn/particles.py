"""Particles: several draws of one row, of which those live on that fit what is known of it.

Column by column, a particle's weight is multiplied by the probability of what is known of the next
column. Where few particles of a row bear most of its weight, they are drawn anew in proportion to
it (sequential importance resampling, Gordon, Salmond & Smith 1993). The mean weight stays an
unbiased estimate of the probability of all that is known.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def resampled(log_w: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """Return the ancestors (n,) of particles that live on, and their log weights (n,).

    None where each row's effective number, (sum w)^2 / sum w^2, is at least half of its particles.
    A row that is resampled gives all its particles the mean weight. The draw is systematic: of one
    uniform number for each row.

    Args:
        log_w: (n,) of particles, k for each row, one after another.
        k: how many.
    """
    own = log_w.unflatten(0, (-1, k))
    share = own.softmax(1).nan_to_num(1 / k)  # a row that is impossible stays as it is
    poor = share.square().sum(1) > 2 / k
    if not bool(poor.any()):
        return None
    ends = share.cumsum(1)
    points = (torch.arange(k, device=own.device) + torch.rand_like(own[:, :1])) / k
    drawn = torch.searchsorted(ends, points * ends[:, -1:], right=True).clamp(max=k - 1)
    stays = torch.arange(k, device=own.device).expand_as(drawn)
    first = k * torch.arange(len(own), device=own.device)[:, None]
    mean = own.logsumexp(1, keepdim=True) - math.log(k)
    ancestors = torch.where(poor[:, None], drawn, stays) + first
    return ancestors.flatten(), torch.where(poor[:, None], mean, own).flatten()
