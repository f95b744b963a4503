"""Two-sample U-statistics of a kernel, for MMD, KID and energy distance.

With k(x, y) = -|x - y| the squared MMD *is* the energy distance (Sejdinovic et al. 2013), so one
set of functions of the kernel matrix of the pooled rows serves all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._intervals import permutation_masks, squared_distance_interval

SCALES = (4.0, 2.0, 1.0, 0.5, 0.25)  # bandwidths in medians; `rbf` relies on the halving
MEDIAN_ROWS = 1000  # rows from which the median distance is taken


@dataclass(frozen=True)
class Discrepancy:
    """A squared MMD with its interval and its permuted values (B,)."""

    value: float
    low: float | None
    high: float | None
    permuted: Tensor


def linear(pooled: Tensor) -> Tensor:
    """Return the products of all rows, centred: this changes no MMD and is more accurate."""
    centred = pooled - pooled.mean(0)
    return centred @ centred.mT


def cubic(pooled: Tensor) -> Tensor:
    """Return (<a, b> / d + 1)^3 for all rows: the kernel of KID."""
    return (pooled @ pooled.mT / pooled.shape[1] + 1) ** 3


def rbf(squared: Tensor, bandwidths: Sequence[float | Tensor]) -> Tensor:
    """Return the mean over bandwidths of exp(-d^2 / (2 sigma^2)) for squared distances.

    Each bandwidth is half the one before, so its kernel is the fourth power of the last one.
    """
    # In blocks of rows that fit the cache: three times as fast as whole matrices.
    return torch.cat([_rbf(rows, bandwidths) for rows in torch.split(squared, 32)])


def _rbf(squared: Tensor, bandwidths: Sequence[float | Tensor]) -> Tensor:
    kernel = torch.exp(squared * (-0.5 / bandwidths[0] ** 2))
    total = kernel
    for _ in bandwidths[1:]:
        kernel = kernel.square().square()
        total = total + kernel
    return total / len(bandwidths)


def around_median(pooled: Tensor, generator: torch.Generator) -> list[float]:
    """Return bandwidths around the median distance of the pooled rows; [] if all rows are equal."""
    scale = float(median_distance(pooled, generator))
    return [] if math.isnan(scale) else [scale * factor for factor in SCALES]


def median_distance(pooled: Tensor, generator: torch.Generator) -> Tensor:
    """Return the median distance of the pooled rows, a scalar without gradient.

    Where more than half of the distances are 0, that of the others; NaN if all rows are equal. The
    rows are chosen regardless of their sample, so that a permutation test with these bandwidths
    stays exact.
    """
    chosen = torch.randperm(len(pooled), generator=generator)[:MEDIAN_ROWS]
    distances = torch.nn.functional.pdist(pooled.detach()[chosen.to(pooled.device)])
    apart = torch.where(distances > 0, distances, torch.nan)
    median = distances.median()
    return torch.where(median > 0, median, apart.nanmedian())


def positive(bandwidth: float) -> float:
    """Return a positive, finite bandwidth; MeasureError otherwise."""
    if not 0 < bandwidth < float("inf"):
        raise MeasureError(f"bandwidth must be a positive number, and is {bandwidth}")
    return float(bandwidth)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return squared Euclidean distances (n, m), differentiable also where they are zero."""
    centre = y.detach().mean(0)  # small norms, for little cancellation
    x, y = x - centre, y - centre
    norms = x.square().sum(1)[:, None] + y.square().sum(1)[None]
    return torch.addmm(norms, x, y.mT, alpha=-2).clamp(min=0)


def discrepancy(kernel: Tensor, n: int, permutations: int, rng: torch.Generator) -> Discrepancy:
    """Return the U-statistic of a pooled kernel matrix, its interval and its null.

    Args:
        kernel: (n + m, n + m), symmetric; the diagonal is overwritten.
        n: the number of real rows; they come first.
        permutations: number of random permutations of the pooled rows.
        rng: draws them.
    """
    diagonal = kernel.diagonal().clone()
    kernel.fill_diagonal_(0)
    value, permuted_values = float(statistic(kernel, n)), permuted(kernel, n, permutations, rng)
    bias = _of_pairs_with_itself(kernel[:n, :n], diagonal[:n])
    bias += _of_pairs_with_itself(kernel[n:, n:], diagonal[n:])
    variance = float(jackknife_variance(kernel, n))
    low, high = squared_distance_interval(value, bias, permuted_values.cpu().numpy(), variance)
    return Discrepancy(value, low, high, permuted_values)


def _of_pairs_with_itself(within: Tensor, diagonal: Tensor) -> float:
    """Return what pairs of a row with itself add to the mean over all pairs of a sample."""
    n = len(within)
    return float(diagonal.mean() - within.sum() / (n * (n - 1))) / n


def statistic(kernel: Tensor, n: int) -> Tensor:
    """Return E k(x, x') + E k(y, y') - 2 E k(x, y), unbiased; the diagonal must be zero."""
    m = len(kernel) - n
    within_x, within_y, between = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    return within_x.sum() / (n * (n - 1)) + within_y.sum() / (m * (m - 1)) - 2 * between.mean()


def jackknife_variance(kernel: Tensor, n: int) -> Tensor:
    """Return the variance of `statistic`, by leaving out one row at a time on either side.

    Reference:
        Arvesen 1969, "Jackknifing U-statistics".
    """
    within_x, within_y, between = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    without_x = _left_out(within_x.sum(1), between.mean(1))
    without_y = _left_out(within_y.sum(1), between.mean(0))
    return _jackknife(without_x) + _jackknife(without_y)


def _left_out(within: Tensor, between: Tensor) -> Tensor:
    """Return the statistic without row i, up to a constant: sums within, means between."""
    n = len(within)
    pairs = (within.sum() - 2 * within) / ((n - 1) * (n - 2))
    return pairs - 2 * (between.sum() - between) / (n - 1)


def _jackknife(without: Tensor) -> Tensor:
    return (without - without.mean()).square().sum() * (len(without) - 1) / len(without)


def permuted(kernel: Tensor, n: int, permutations: int, rng: torch.Generator) -> Tensor:
    """Return `statistic` for random permutations of the pooled rows (B,), by one matrix product."""
    m = len(kernel) - n
    is_x = permutation_masks(n, m, permutations, rng).to(kernel)
    from_x = is_x @ kernel
    within_x = (from_x * is_x).sum(1)
    between = from_x.sum(1) - within_x
    within_y = kernel.sum() - within_x - 2 * between
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)
