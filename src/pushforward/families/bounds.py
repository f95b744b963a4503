"""Bounds on log p(x) from several codes of each row, and the gradients that raise them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.families.slopes import slopes

Given = tuple[Tensor, ...]  # from the encoder: codes, and the parameters of their density


def mixed_bound(log_w: Tensor, elbo: float) -> Tensor:
    """Return elbo mean_gj log w_gj + (1 - elbo) mean_g log 1/k sum_j w_gj, (n,), in nats.

    `log_w` (n, groups, k) are the log importance weights of a row's codes.
    """
    tight = (log_w.logsumexp(2) - math.log(log_w.shape[2])).mean(1)
    return torch.lerp(tight, log_w.mean((1, 2)), elbo)


@dataclass(frozen=True)
class Bound:
    """Which bound the decoder raises, and by which weights of the codes the encoder moves.

    A row's codes j lie in `groups` of k, with normalised weights s_j in each. The encoder is moved
    by sum_j a_j d log w_j / d phi with a_j = s_j / groups, the mean of the groups' bounds (MIWAE).

    Args:
        groups: how many.
        k: codes in each.
        elbo: the weight of the ELBO, in which s_j counts as 1 / k (CIWAE).
        partial: whether all codes are one group for all but the encoder (PIWAE).
        dreg: whether s_j^2 stands for s_j, where log w_j is given a code's own path alone (Tucker
            et al. 2019): an unbiased gradient, too.
    """

    groups: int
    k: int
    elbo: float
    partial: bool
    dreg: bool

    def __call__(self, log_weight: Callable[[Given], Tensor], given: Given) -> Tensor:
        """Return the bound of each row (n,).

        Args:
            log_weight: from what comes from the encoder to log weights, (n groups k,); of nothing
                else may gradients reach the encoder.
            given: the codes as reparametrised draws (n groups k, latent), and what else there is.
        """
        if not (self.partial or self.dreg):
            return self.of(log_weight(given))
        log_w, by_given = slopes(log_weight, tuple(t.detach() for t in given))
        pairs = zip(by_given, given, strict=True)
        each = sum((slope.detach() * own).sum(1) for slope, own in pairs)
        through = (self.shares(log_w.detach()) * each).reshape(-1, self.groups * self.k).sum(1)
        return self.of(log_w) + through - through.detach()

    def of(self, log_w: Tensor) -> Tensor:
        """Return the bound of log weights (n groups k,)."""
        shape = (1, self.groups * self.k) if self.partial else (self.groups, self.k)
        return mixed_bound(log_w.reshape(-1, *shape), self.elbo)

    def shares(self, log_w: Tensor) -> Tensor:
        """Return a_j for log weights (n groups k,)."""
        share = log_w.reshape(-1, self.k).softmax(1)
        tight = share.square() if self.dreg else share
        return ((1 - self.elbo) * tight + self.elbo / self.k).flatten() / self.groups
