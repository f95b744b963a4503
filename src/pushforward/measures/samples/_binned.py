"""Divergences of counts in bins, nearly unbiased, for one pair of samples or many at once.

Counts are (..., K), the real ones first; every function works along the last axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.measures._intervals import permutation_masks


def cells(pooled: Tensor, bins: int) -> Tensor:
    """Return the cell (N,) of each row (N, d), with bins of about equal counts in each column."""
    cell = torch.zeros(len(pooled), dtype=torch.int64, device=pooled.device)
    for column in pooled.mT.contiguous():
        inner = edges(column, bins)
        cell = cell * (len(inner) + 1) + torch.searchsorted(inner, column, right=True)
    used: Tensor = cell.unique(return_inverse=True)[1]
    return used


def edges(column: Tensor, bins: int) -> Tensor:
    """Return the inner edges, the distinct quantiles of the values (N,)."""
    ranks = torch.arange(1, bins, device=column.device) * len(column) // bins
    inner: Tensor = column.sort().values[ranks].unique()
    return inner


def counts(cell: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return how many of the first n rows, and of the others, lie in each cell."""
    size = int(cell.max()) + 1
    first, second = (torch.bincount(part, minlength=size) for part in (cell[:n], cell[n:]))
    return first.double(), second.double()


def permuted(
    cell: Tensor, n: int, permutations: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the counts (B, K) of random permutations of the pooled rows, by one matrix product."""
    one_hot = torch.nn.functional.one_hot(cell).double()
    first = permutation_masks(n, len(cell) - n, permutations, rng).to(one_hot) @ one_hot
    return first, one_hot.sum(0) - first


def kl(a: Tensor, b: Tensor) -> Tensor:
    """Return KL(p, q) for counts a of p and b of q; it is finite where a cell of b is empty.

    Each logarithm of a share is estimated by digamma functions, whose bias decays exponentially
    with the expected count of the cell (that of the plug-in estimate only as 1 / count).

    Reference:
        Zhang & Grabchak 2014, "Nonparametric estimation of Kullback-Leibler divergence".
    """
    n, m = a.sum(-1, keepdim=True), b.sum(-1, keepdim=True)
    log_p = torch.digamma(a.clamp(min=1)) - torch.digamma(n)
    log_q = torch.digamma(b + 1) - torch.digamma(m + 1)
    return (a / n * (log_p - log_q)).sum(-1)


def kl_bias(a: Tensor, b: Tensor) -> Tensor:
    """Return the bias of the plug-in estimate of a small KL(p, q)."""
    freedom = ((a + b) > 0).sum(-1) - 1
    return 0.5 * freedom * (1 / a.sum(-1) + 1 / b.sum(-1))


def kl_variance(a: Tensor, b: Tensor) -> Tensor:
    """Return the variance of `kl`, to first order in both samples."""
    n, m = a.sum(-1), b.sum(-1)
    p, q = a / n, (b + 0.5) / (m + 0.5 * len(b))
    log_ratio = torch.where(p > 0, p.clamp(min=1e-300).log() - q.log(), 0.0)
    return _variance(p, log_ratio) / n + _variance(q, p / q) / m


def js(a: Tensor, b: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence: the plug-in estimate without its leading bias."""
    p, q = a / a.sum(-1, keepdim=True), b / b.sum(-1, keepdim=True)
    middle = (p + q) / 2
    plug_in = _entropy(middle) - (_entropy(p) + _entropy(q)) / 2
    return plug_in - js_bias(a, b)


def js_bias(a: Tensor, b: Tensor) -> Tensor:
    """Return the leading bias of the plug-in JS: half its curvature times the counts' variance.

    Without a difference it is (K - 1)/8 (1/n + 1/m), as with Miller's correction (1955) of each of
    the three entropies.
    """
    n, m = a.sum(-1, keepdim=True), b.sum(-1, keepdim=True)
    p, q = a / n, b / m
    both = (p + q).clamp(min=1e-300)
    of_p = (torch.where(a > 0, 1 - p, 0.0) * q / both / n).sum(-1)
    of_q = (torch.where(b > 0, 1 - q, 0.0) * p / both / m).sum(-1)
    return (of_p + of_q) / 4


def js_variance(a: Tensor, b: Tensor) -> Tensor:
    """Return the variance of `js`, to first order in both samples."""
    n, m = a.sum(-1), b.sum(-1)
    p, q = a / n, b / m
    middle = ((p + q) / 2).clamp(min=1e-300)
    of_p, of_q = ((s.clamp(min=1e-300) / middle).log() / 2 for s in (p, q))
    return _variance(p, of_p) / n + _variance(q, of_q) / m


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(-1)


def _variance(p: Tensor, values: Tensor) -> Tensor:
    mean = (p * values).sum(-1, keepdim=True)
    return (p * (values - mean).square()).sum(-1)
