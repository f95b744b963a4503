"""Distances that need nothing but two samples."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import _quadratic, _sliced
from pushforward.measures._inputs import Featurise, Pair, pair
from pushforward.measures._intervals import Z, chosen, less_noise, permutation_p, verdict
from pushforward.measures.measurement import Measurement


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


def sliced_wasserstein(
    x: Any,
    y: Any,
    *,
    p: Literal[1, 2] = 2,
    projections: int = 128,
    permutations: int = 99,
    limit: int | None = 10_000,
    features: Featurise | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Sliced Wasserstein distance, *not* squared: how far mass moves, seen along random lines.

    $$\left(E_\theta W_p^p(\langle\theta, x\rangle, \langle\theta, y\rangle)\right)^{1/p}$$

    On each line the optimal transport is exact, also for unequal sizes (by the quantile functions).
    A shift by delta in d dimensions gives |delta| / sqrt(d) for p = 2. Cost: sorting, n log n for
    each projection and permutation.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        p: order of the distance.
        projections: number of lines, rounded up to whole orthogonal blocks of d.
        permutations: random splits behind the null and the p-value.
        limit: the most rows taken of each side (None: all); the others are left out at random.
        features: what to measure instead of the values themselves.
        seed: of lines, permutations and left-out rows.

    Returns:
        The plug-in value in units of the data. It is biased upwards: the null, the mean over random
        splits, is the value of no difference. The interval is for the distance of the two
        *distributions*: its variance is that of both samples (from the Kantorovich potentials) and
        of the lines, and at least the splits'; the null is taken off both ends in squares; it is
        widened to hold the value.

    Raises:
        MeasureError: for fewer than 2 rows on a side, different widths, NaN or infinity, p other
            than 1 or 2, projections below 1.

    Reference:
        Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures".
    """
    if p not in (1, 2) or projections < 1:
        raise MeasureError(f"p must be 1 or 2 and projections >= 1; given {p=}, {projections=}")
    both = pair(x, y, limit=limit, features=features, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    lines = _sliced.directions(both.x.shape[1], projections, rng).to(both.x)
    on_x, on_y = lines @ both.x.mT, lines @ both.y.mT
    each = _sliced.transport(on_x.sort(1).values, on_y.sort(1).values, p)
    permuted = _sliced.permuted(on_x, on_y, p, permutations, rng)
    value, null = float(each.mean()) ** (1 / p), float((permuted ** (1 / p)).mean())
    half = Z * max(
        _sliced_error(on_x, on_y, each, p, both.x.shape[1]), float(permuted.std(correction=0))
    )
    low, high = (max(0.0, value**p + side) ** (1 / p) for side in (-half, half))
    p_value = permutation_p(float(each.mean()), permuted.cpu().numpy())
    return Measurement(
        "sliced_wasserstein",
        value,
        low=less_noise(low, null),
        high=max(value, less_noise(high, null)),
        covers="both samples and the projections",
        null=null,
        p_value=p_value,
        n=both.n,
        m=both.m,
        unit="units of the data",
        reading=verdict(p_value) + chosen(both.extra, both.n, both.m),
        extra={"p": p, "projections": len(lines), **both.extra},
    )


def _sliced_error(x: Tensor, y: Tensor, each: Tensor, p: int, d: int) -> float:
    """Return the standard error of the mean of W_p^p over both samples and the lines."""
    rows_x, rows_y = _sliced.influence(x, y, p), _sliced.influence(y, x, p)
    rows = float(rows_x.var() / len(rows_x) + rows_y.var() / len(rows_y))
    return math.sqrt(rows + _sliced.variance_over_lines(each, d))
