"""Distances by a kernel: the mean over pairs of rows, within each sample and between them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._inputs import Featurise, Pair, pair
from pushforward.measures._intervals import chosen, permutation_p, verdict
from pushforward.measures.measurement import Measurement
from pushforward.measures.samples import _quadratic


def mmd_statistic(x: Tensor, y: Tensor, bandwidth: float | None = None) -> Tensor:
    """Return the unbiased squared MMD as a scalar that can be trained on; on any device.

    The kernel is that of `mmd`; the bandwidths are treated as constants.

    Args:
        x: one sample (n, d).
        y: the other one (m, d).
        bandwidth: sigma of the kernel; None for several around the median distance.
    """
    pooled = torch.cat([x, y])
    widths = _widths(pooled, bandwidth, torch.Generator().manual_seed(0))
    kernel = _quadratic.rbf(_quadratic.squared_distances(pooled, pooled), widths)
    return _quadratic.statistic(kernel - torch.diag(kernel.diagonal()), len(x))


def energy_statistic(x: Tensor, y: Tensor, chunk: int = 4096) -> Tensor:
    """Return the unbiased squared energy distance as a scalar; differentiable, on any device.

    The value of `energy`, without interval and p-value.

    Args:
        x: one sample (n, ...); rows are flattened.
        y: the other one (m, ...).
        chunk: rows whose distances are held in memory at once.
    """
    x, y = x.flatten(1), y.flatten(1)
    n, m = len(x), len(y)
    between = _sum_of_distances(x, y, chunk) / (n * m)
    within_x = _sum_of_distances(x, x, chunk) / (n * (n - 1))
    within_y = _sum_of_distances(y, y, chunk) / (m * (m - 1))
    return 2 * between - within_x - within_y


def _sum_of_distances(x: Tensor, y: Tensor, chunk: int) -> Tensor:
    total = x.new_zeros(())
    for start in range(0, len(x), chunk):
        rows = x[start : start + chunk]
        distances = torch.cdist(rows, y)
        if y is x:  # a row's distance to itself is 0, which the fast product misses by rounding
            itself = torch.arange(start, start + len(rows), device=x.device)
            distances = distances.scatter(1, itself[:, None], 0.0)
        total = total + distances.sum()
    return total


def mmd(
    x: Any,
    y: Any,
    *,
    bandwidth: float | None = None,
    permutations: int = 499,
    limit: int | None = 2000,
    features: Featurise | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Squared maximum mean discrepancy with a Gaussian kernel, unbiased.

    $$E\,k(x, x') + E\,k(y, y') - 2 E\,k(x, y), \quad k(a, b) = e^{-|a - b|^2 / (2 \sigma^2)}$$

    Sees every difference in principle; with one bandwidth in many dimensions it sees little. So
    without `bandwidth` the kernel is the mean of five, at 1/4, 1/2, 1, 2 and 4 times the median
    distance of the pooled rows. Memory is that of the (n + m)^2 kernel matrix.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        bandwidth: sigma, or None.
        permutations: random splits behind the p-value.
        limit: the most rows taken of each side (None: all); the others are left out at random.
        features: what to measure instead of the values themselves.
        seed: of permutations and left-out rows.

    Returns:
        The U-statistic (it may be negative); null 0 (`extra["null_95"]`: what 95 % of the random
        splits stay below); the interval is the jackknife's, over both samples.

    Raises:
        MeasureError: for fewer than 3 rows on a side, different widths, NaN or infinity, and a
            bandwidth that is not positive.

    Reference:
        Gretton et al. 2012, "A kernel two-sample test", equation 3.
    """
    both = pair(x, y, least=3, limit=limit, features=features, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    widths = _widths(both.pooled, bandwidth, rng)
    squared = _quadratic.squared_distances(both.pooled, both.pooled)
    found = _quadratic.discrepancy(_quadratic.rbf(squared, widths), both.n, permutations, rng)
    return _measured("mmd", found, both, {"bandwidths": widths})


def energy(
    x: Any,
    y: Any,
    *,
    permutations: int = 499,
    limit: int | None = 2000,
    features: Featurise | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Squared energy distance, unbiased: nothing to choose, and zero only for equal distributions.

    $$2 E|x - y| - E|x - x'| - E|y - y'|$$

    Arguments, memory, interval, null and errors are those of `mmd`; there is no bandwidth. The
    value has the unit of the data.

    Reference:
        Székely & Rizzo 2013, "Energy statistics: a class of statistics based on distances".
    """
    both = pair(x, y, least=3, limit=limit, features=features, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    kernel = -_quadratic.squared_distances(both.pooled, both.pooled).sqrt()
    found = _quadratic.discrepancy(kernel, both.n, permutations, rng)
    return _measured("energy", found, both, {})


def _widths(pooled: Tensor, bandwidth: float | None, rng: torch.Generator) -> list[float]:
    if bandwidth is None:
        # All rows equal: every kernel matrix is all ones, whatever the width.
        return _quadratic.around_median(pooled, rng) or [1.0]
    if not 0 < bandwidth < float("inf"):
        raise MeasureError(f"bandwidth must be a positive number, and is {bandwidth}")
    return [float(bandwidth)]


def _measured(
    name: str, found: _quadratic.Discrepancy, both: Pair, extra: dict[str, Any]
) -> Measurement:
    p_value = permutation_p(found.value, found.permuted.cpu().numpy())
    return Measurement(
        name,
        found.value,
        low=found.low,
        high=found.high,
        covers="both samples (jackknife)",
        null=0.0,
        p_value=p_value,
        n=both.n,
        m=both.m,
        reading=verdict(p_value) + chosen(both.extra, both.n, both.m),
        extra={**extra, "null_95": float(found.permuted.quantile(0.95)), **both.extra},
    )
