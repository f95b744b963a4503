"""The nearest-neighbour estimate of a KL divergence, its permutations and subsamples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.measures import _search
from pushforward.measures._inputs import subsample
from pushforward.measures._intervals import permutation_masks


@dataclass(frozen=True)
class KLEstimate:
    """KL(p, q) in nats, and the share of the rows of p with copies, which were counted instead."""

    value: float
    copies: float


def estimate(x: Tensor, y: Tensor, k: int, chunk: int | None) -> KLEstimate:
    """Return the estimate of KL(p, q) from rows x (n, d) of p and y (m, d) of q."""
    n, d = x.shape
    within = _search.nearest(x, x, k, chunk=chunk, itself=True).squared[:, -1]
    between = _search.nearest(x, y, k, chunk=chunk).squared[:, -1]
    copied = (within == 0) | (between == 0)
    each = 0.5 * d * (between.log() - within.log()) + math.log(len(y) / (n - 1))
    if copied.any():
        radii = torch.maximum(within, between)[copied]
        each[copied] = _counted(x, y, x[copied], radii, chunk)
    return KLEstimate(float(each.mean()), float(copied.double().mean()))


def _counted(x: Tensor, y: Tensor, centres: Tensor, radii: Tensor, chunk: int | None) -> Tensor:
    """Return the logarithm of the ratio of the shares of x and of y in balls around rows of x."""
    of_x, of_y = (_search.balls(side, centres, radii, chunk=chunk)[0].of_ball for side in (x, y))
    others = (of_x - 1).double() / (len(x) - 1)  # without the row itself
    return others.log() - (of_y.double() / len(y)).log()


def beyond(x: Tensor, y: Tensor, k: int, chunk: int | None) -> float:
    """Return the share of the rows x without a row of y nearby.

    Their nearest row of y is farther away than from its own k-th nearest one: all that is known of
    q there is that it is small.
    """
    near = _search.nearest(x, y, 1, chunk=chunk)
    reach = _search.nearest(y, y, k, chunk=chunk, itself=True).squared[:, -1]
    return float((near.squared[:, 0] > reach[near.index[:, 0]]).double().mean())


def permuted(
    pooled: Tensor, n: int, k: int, chunk: int | None, permutations: int, rng: torch.Generator
) -> Tensor:
    """Return the estimate (B,) for random permutations of the pooled rows into n and the others."""
    masks = permutation_masks(n, len(pooled) - n, permutations, rng).to(pooled.device)
    each = [estimate(pooled[is_x], pooled[~is_x], k, chunk).value for is_x in masks]
    return torch.tensor(each, dtype=torch.float64)


def error(
    x: Tensor, y: Tensor, k: int, chunk: int | None, resamples: int, rng: torch.Generator
) -> float | None:
    """Return the standard error over both samples.

    The variance over halves without replacement is proportional to 2 / n - 1 / n = 1 / n, as that
    of a whole sample.
    """
    if resamples < 2:
        return None
    each = [
        estimate(subsample(x, len(x) // 2, rng), subsample(y, len(y) // 2, rng), k, chunk).value
        for _ in range(resamples)
    ]
    return float(torch.tensor(each, dtype=torch.float64).std())
