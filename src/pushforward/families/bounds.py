"""Bounds on log p(x) from several codes of each row, and the gradients that raise them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad


def mixed_bound(log_w: Tensor, elbo: float) -> Tensor:
    """Return elbo mean_gj log w_gj + (1 - elbo) mean_g log 1/k sum_j w_gj, (n,), in nats.

    `log_w` (n, groups, k) are the log importance weights of a row's codes.
    """
    tight = (log_w.logsumexp(2) - math.log(log_w.shape[2])).mean(1)
    return torch.lerp(tight, log_w.mean((1, 2)), elbo)


def doubly_reparametrised(
    log_weight: Callable[[Tensor], Tensor], e: Tensor, shape: tuple[int, int, int], elbo: float
) -> Tensor:
    """Return `mixed_bound` with the encoder's gradient of Tucker et al. (2019).

    A group's codes move the encoder by sum_j s_j^2 (d log w_j / d e_j) (d e_j / d phi), with the
    normalised weights s; all other parameters by sum_j s_j (d log w_j / d theta), as always.

    Args:
        log_weight: from codes e to their log weights, (codes,), in which the encoder stands still.
        e: the codes (n groups k, latent), as the encoder's reparametrised draws.
        shape: (n, groups, k).
        elbo: the weight of the ELBO, in which every s_j counts as 1 / k.
    """

    def total(points: Tensor) -> tuple[Tensor, Tensor]:
        values = log_weight(points)
        return values.sum(), values

    slope, values = grad(total, has_aux=True)(e.detach())
    log_w = values.reshape(shape)
    _, groups, k = shape
    squared = log_w.detach().softmax(2).square()
    weight = (elbo / k + (1 - elbo) * squared) / groups
    through: Tensor = (weight.flatten() * (slope.detach() * e).sum(1)).reshape(shape).sum((1, 2))
    return mixed_bound(log_w, elbo) + through - through.detach()
