"""The Fréchet distance of Gaussian fits: by factors of the covariances, without a matrix root.

With F'F a covariance, the trace of (AB)^(1/2) is the nuclear norm of F_x F_y'. The factor is that
of Cholesky where there are more rows than columns, and otherwise the centred rows themselves: then
no d x d matrix is computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.measures._intervals import permutation_masks
from pushforward.measures._nuclear import nuclear_norm, regular


@dataclass(frozen=True)
class Fit:
    """A Gaussian: its mean (d,) and a factor (r, d) of its covariance.

    `regular`: the covariance is far from singular, and the factor is that of Cholesky.
    """

    mean: Tensor
    factor: Tensor
    regular: bool


def fit(x: Tensor) -> Fit:
    """Return the Gaussian with the mean and the (unbiased) covariance of the rows (n, d)."""
    n, d = x.shape
    mean = x.mean(0)
    centred = x - mean
    if n <= d:
        return Fit(mean, centred / (n - 1) ** 0.5, regular=False)
    return gaussian(mean, centred.mT @ centred / (n - 1))


def gaussian(mean: Tensor, covariance: Tensor) -> Fit:
    """Return the Gaussian with this mean (d,) and covariance (d, d), singular or not."""
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return Fit(mean, lower.mT, regular(lower))
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    return Fit(mean, eigenvalues.clamp(min=0).sqrt()[:, None] * vectors.mT, regular=False)


def squared_distance(p: Fit, q: Fit) -> float:
    """Return |mean_p - mean_q|^2 + tr A + tr B - 2 tr (AB)^(1/2)."""
    shift = (p.mean - q.mean).square().sum()
    within = p.factor.square().sum() + q.factor.square().sum()
    return max(0.0, float(shift + within - 2 * trace_of_root(p, q)))


def trace_of_root(p: Fit, q: Fit) -> Tensor:
    """Return tr (AB)^(1/2): the nuclear norm of the product of both factors."""
    return nuclear_norm(p.factor @ q.factor.mT, regular=p.regular and q.regular)


def between(x: Tensor, y: Tensor) -> float:
    """Return the squared distance of the Gaussians fitted to the rows of x and of y."""
    return squared_distance(fit(x), fit(y))


def permuted(x: Tensor, y: Tensor, permutations: int, rng: torch.Generator) -> Tensor:
    """Return `between` (B,) for random permutations of the pooled rows."""
    pooled = torch.cat([x, y]) if permutations else x
    masks = permutation_masks(len(x), len(y), permutations, rng).to(x.device)
    each = [between(pooled[is_x], pooled[~is_x]) for is_x in masks]
    return torch.tensor(each, dtype=torch.float64)


def left_out(x: Tensor, y: Tensor, groups: int, rng: torch.Generator) -> Tensor:
    """Return `between` (groups,) without one random group of the rows of either side at a time."""
    of_x, of_y = _group(x, groups, rng), _group(y, groups, rng)
    each = [between(x[of_x != g], y[of_y != g]) for g in range(groups)]
    return torch.tensor(each, dtype=torch.float64)


def _group(x: Tensor, groups: int, rng: torch.Generator) -> Tensor:
    return (torch.randperm(len(x), generator=rng) % max(1, groups)).to(x.device)
