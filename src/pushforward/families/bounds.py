"""Bounds on log p(x) from several codes of each row, and the gradients that raise them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import ModelError
from pushforward.families.slopes import slopes

Given = tuple[Tensor, ...]  # from the encoder: codes, and the parameters of their density
LogWeight = Callable[[Given, Tensor], Tensor]  # of codes, and which of all codes they are


def mixed_bound(log_w: Tensor, elbo: float) -> Tensor:
    """Return elbo mean_gj log w_gj + (1 - elbo) mean_g log 1/k sum_j w_gj, (n,), in nats.

    `log_w` (n, groups, k) are the log importance weights of a row's codes.
    """
    tight = (log_w.logsumexp(2) - math.log(log_w.shape[2])).mean(1)
    return torch.lerp(tight, log_w.mean((1, 2)), elbo)


def scaled(t: Tensor, by: Tensor) -> Tensor:
    """Return t (n, d), whose gradients are multiplied by numbers of its rows (n,)."""
    still = t.detach()
    return still + by[:, None] * (t - still)


def stratified(share: Tensor, draws: int) -> Tensor:
    """Return which of a row's numbers are drawn by their shares (n, k), one in each stratum.

    The u_i = (i + uniform) / draws, one for each draw i, are read off the cumulated shares: each j
    is drawn share_j times `draws` on average, and with less noise than by independent draws. A j
    without a share is never drawn, though u_i be 0.
    """
    strata = torch.arange(draws, device=share.device)
    u = (strata + torch.rand(len(share), draws, device=share.device)) / draws
    reached = share.cumsum(1)
    whole = reached[:, -1:]
    u = torch.minimum(u * whole, whole * (1 - torch.finfo(share.dtype).eps))  # below all of it
    return torch.searchsorted(reached, u, right=True)


@dataclass(frozen=True)
class Bound:
    """Which bound the decoder raises, and by which weights of the codes the encoder moves.

    A row's codes j lie in `groups` of k, with normalised weights s_j in each. The encoder is moved
    by sum_j a_j d log w_j / d phi with a_j = s_j / groups, the mean of the groups' bounds (MIWAE),
    all else by the same sum with b_j, the bound's slope by log w_j.

    Args:
        groups: how many.
        k: codes in each.
        elbo: the weight of the ELBO, in which s_j counts as 1 / k (CIWAE).
        partial: whether all codes are one group for all but the encoder (PIWAE).
        dreg: whether s_j^2 stands for s_j, where log w_j is given a code's own path alone (Tucker
            et al. 2019): an unbiased gradient, too.
        resample: how many codes of a row gradients go through, drawn by b_j (Burda et al. 2016,
            section 3, have one): the same gradients on average, for two passes in three less.
            0 for all of them. Not with `partial`: what moves the encoder may never be drawn.
    """

    groups: int
    k: int
    elbo: float
    partial: bool
    dreg: bool
    resample: int = 0

    def __post_init__(self) -> None:
        if self.partial and self.resample:
            msg = "a partial bound takes gradients through all codes: leave out resample or partial"
            raise ModelError(msg)

    def __call__(self, log_weight: LogWeight, given: Given) -> Tensor:
        """Return the bound of each row (n,).

        Args:
            log_weight: from what comes from the encoder to log weights, (n groups k,); of nothing
                else may gradients reach the encoder.
            given: the codes as reparametrised draws (n groups k, latent), and what else there is.
        """
        every = torch.arange(len(given[0]), device=given[0].device)
        if self.resample:
            return self.resampled(log_weight, given, every)
        if not (self.partial or self.dreg):
            return self.of(log_weight(given, every))
        still = tuple(t.detach() for t in given)
        log_w, by_given = slopes(lambda given: log_weight(given, every), still)
        pairs = zip(by_given, given, strict=True)
        each = sum((slope.detach() * own).sum(1) for slope, own in pairs)
        through = self.by_row(self.shares(log_w.detach()) * each).sum(1)
        return self.of(log_w) + through - through.detach()

    def resampled(self, log_weight: LogWeight, given: Given, every: Tensor) -> Tensor:
        """Return the bound of each row, whose gradients go through some of its codes."""
        with torch.no_grad():
            log_w = log_weight(given, every)
            b = self.slope(log_w)
            chosen = stratified(self.by_row(b), self.resample)
            at = self.by_row(every).gather(1, chosen).flatten()
            a = self.shares(log_w)[at] / b[at]
        few = log_weight(tuple(scaled(t[at], a) for t in given), at)
        through = few.reshape(-1, self.resample).mean(1)
        return self.of(log_w) + through - through.detach()

    def by_row(self, numbers: Tensor) -> Tensor:
        """Return numbers of all codes (n groups k,) by row, (n, groups k)."""
        return numbers.reshape(-1, self.groups * self.k)

    def of(self, log_w: Tensor) -> Tensor:
        """Return the bound of log weights (n groups k,)."""
        shape = (1, self.groups * self.k) if self.partial else (self.groups, self.k)
        return mixed_bound(log_w.reshape(-1, *shape), self.elbo)

    def shares(self, log_w: Tensor) -> Tensor:
        """Return a_j for log weights (n groups k,)."""
        share = log_w.reshape(-1, self.k).softmax(1)
        return self.mixed(share.square() if self.dreg else share)

    def slope(self, log_w: Tensor) -> Tensor:
        """Return b_j where all groups have a bound of their own, for log weights (n groups k,)."""
        return self.mixed(log_w.reshape(-1, self.k).softmax(1))

    def mixed(self, tight: Tensor) -> Tensor:
        """Return what codes count in the mean over groups, for what they do in theirs (..., k)."""
        return ((1 - self.elbo) * tight + self.elbo / self.k).flatten() / self.groups
