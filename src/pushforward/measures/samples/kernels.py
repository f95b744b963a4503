"""Distances by a kernel: means over pairs of rows, within each sample and between them."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._inputs import FeatureFunction, Pair, pair, require_at_least
from pushforward.measures._intervals import permutation_test
from pushforward.measures.measurement import Measurement
from pushforward.measures.samples import _quadratic


def mmd_statistic(x: Tensor, y: Tensor, bandwidth: float | None = None) -> Tensor:
    """Return the unbiased squared MMD as a scalar, differentiable, on any device.

    The kernel is that of `mmd`; the bandwidths are treated as constants.

    Args:
        x: one sample (n, d).
        y: the other one (m, d).
        bandwidth: sigma of the kernel; None for several around the median distance.
    """
    pooled = torch.cat([x, y])
    given = None if bandwidth is None else _quadratic.positive(bandwidth)
    widths = _around_median(pooled) if given is None else [given]
    kernel = _quadratic.rbf(_quadratic.squared_distances(pooled, pooled), widths)
    return _quadratic.statistic(kernel - torch.diag(kernel.diagonal()), len(x))


def mmd_witness(points: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return E k(a, x) - E k(a, y) for each point a, (n,): where x lies denser than y it is high.

    The kernel is that of `mmd`; its bandwidths, by x and y, are treated as constants. The mean over
    x less that over y is the squared MMD with its diagonal. Differentiable, on any device.

    Args:
        points: where it is looked at (n, d).
        x: one sample (m, d).
        y: the other one (k, d).
    """
    pooled = torch.cat([x, y])
    kernel = _quadratic.rbf(_quadratic.squared_distances(points, pooled), _around_median(pooled))
    return kernel[:, : len(x)].mean(1) - kernel[:, len(x) :].mean(1)


def _around_median(pooled: Tensor) -> list[float | Tensor]:
    """Return the bandwidths as tensors: a turn that trains by them looks at no value."""
    median = _quadratic.median_distance(pooled, torch.Generator().manual_seed(0)).nan_to_num(1.0)
    return [median * factor for factor in _quadratic.SCALES]


def energy_statistic(x: Tensor, y: Tensor, chunk: int = 4096) -> Tensor:
    """Return the unbiased squared energy distance as a scalar; differentiable, on any device.

    The value of `energy`, without interval and p-value.

    Args:
        x: one sample (n, ...); rows are flattened.
        y: the other one (m, ...).
        chunk: rows whose distances are held in memory at once.
    """
    of_x, of_y = energy_parts(x, y, chunk)
    return of_x.mean() + of_y.mean()


def energy_parts(x: Tensor, y: Tensor, chunk: int = 4096) -> tuple[Tensor, Tensor]:
    """Return what each row adds to `energy_statistic`, (n,) and (m,): the two means sum to it.

    It is the row's mean distance to the other sample, less that to its own. Twice these are also
    the statistic's first-order changes with each row, so 4 (var(of x) / n + var(of y) / m) is its
    sampling variance. Of two models' y from the same noise against the same x, the variances of the
    differences give that of the difference of the statistics.
    """
    x, y = x.flatten(1), y.flatten(1)
    to_y, to_x = _sums_of_distances(x, y, chunk)
    own_x, own_y = (_sums_of_distances(rows, rows, chunk)[0] for rows in (x, y))
    n, m = len(x), len(y)
    return to_y / m - own_x / (n - 1), to_x / n - own_y / (m - 1)


def _sums_of_distances(x: Tensor, y: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """Return the sum of each row's distances to the other sample, (n,) and (m,)."""
    of_x, of_y = [], y.new_zeros(len(y))
    for start in range(0, len(x), chunk):
        rows = x[start : start + chunk]
        distances = torch.cdist(rows, y)
        if y is x:  # a row's distance to itself is 0; the fast product is off by rounding
            itself = torch.arange(start, start + len(rows), device=x.device)
            distances = distances.scatter(1, itself[:, None], 0.0)
        of_x.append(distances.sum(1))
        of_y = of_y + distances.sum(0)
    return torch.cat(of_x), of_y


def mmd(
    x: Any,
    y: Any,
    *,
    kernel: Literal["rbf", "linear"] = "rbf",
    bandwidth: float | None = None,
    permutations: int = 499,
    limit: int | None = 2000,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Squared maximum mean discrepancy (MMD), unbiased: the distance of two samples by a kernel.

    $$E\,k(x, x') + E\,k(y, y') - 2 E\,k(x, y), \quad k(a, b) = e^{-|a - b|^2 / (2 \sigma^2)}$$

    Without `bandwidth`, the kernel is the mean of five Gaussian ones, at 1/4, 1/2, 1, 2 and 4 times
    the median distance of the pooled rows. With the linear kernel, the product of two rows, the
    value is the squared distance of the means.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        kernel: `"rbf"` (Gaussian) or `"linear"`.
        bandwidth: sigma of the Gaussian kernel, or None.
        permutations: number of random permutations, for the p-value and the interval; below 39
            there is no interval, with 0 neither.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of permutations and left-out rows.

    Returns:
        The U-statistic, which may be negative. The null is 0; `extra["null_95"]` is the 95 %
        quantile of the random permutations. The interval is for the squared distance of the two
        *distributions*, over both samples; its lower end is negative where no difference shows.

    Raises:
        MeasureError: for fewer than 3 rows of a sample, different widths, NaN or infinity, an
            unknown kernel, and a bandwidth that is not positive or that is given with the linear
            kernel.

    Sees:
        every difference, given enough rows, as the Gaussian kernel is characteristic: a shift, a
        scale, a mode that is missing. The linear kernel sees means alone.

    Misses:
        differences much finer or coarser than its bandwidths. A fixed bandwidth that is small
        compared with the distances (which grow as sqrt(d)) sees nothing: all pairs of rows are then
        equally far apart. The value depends on the bandwidths, so compare values only at equal
        ones.

    Null:
        0 in expectation, at all sizes; values scatter around it in the order of 1/n + 1/m. The
        p-value is exact.

    Cost:
        O((n + m)^2 (d + B)) time and 8 (n + m)^2 bytes twice, for B permutations: one kernel matrix
        and one matrix product for all of them. Measured: 4.5 s for 2,000 rows a side, d = 64, on 2
        (busy) cores.

    Reference:
        Gretton et al. 2012, "A kernel two-sample test", equation 3.
    """
    if kernel not in ("rbf", "linear"):
        raise MeasureError(
            f'kernel must be "rbf" or "linear" (for a cubic one: kid); given {kernel!r}'
        )
    if kernel == "linear" and bandwidth is not None:
        raise MeasureError(f"the linear kernel has no bandwidth; given {bandwidth=}")
    require_at_least(0, permutations=permutations)
    both = pair(x, y, min_rows=3, limit=limit, features=features, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    if kernel == "linear":
        return _measured("mmd", _quadratic.linear(both.pooled), both, permutations, rng, {})
    widths = _widths(both.pooled, bandwidth, rng)
    squared = _quadratic.squared_distances(both.pooled, both.pooled)
    matrix = _quadratic.rbf(squared, widths)
    return _measured("mmd", matrix, both, permutations, rng, {"bandwidths": widths})


def kid(
    x: Any,
    y: Any,
    *,
    permutations: int = 499,
    limit: int | None = 2000,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Kernel Inception distance: the squared MMD with a cubic kernel, unbiased.

    $$E\,k(x, x') + E\,k(y, y') - 2 E\,k(x, y), \quad k(a, b) = \left(\tfrac1d a^T b + 1\right)^3$$

    It is named after its use on features of an Inception network, which `features` takes. It is
    computed on all rows at once, not as a mean over blocks, which would have more noise.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        permutations: number of random permutations, for the p-value and the interval; below 39
            there is no interval, with 0 neither.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of permutations and left-out rows.

    Returns:
        The U-statistic, which may be negative; null and interval are as for `mmd`.

    Raises:
        MeasureError: for fewer than 3 rows of a sample, different widths, NaN or infinity, and
            values whose sixth powers overflow.

    Sees:
        differences of the first three moments: mean, covariance and skewness.

    Misses:
        distributions whose first three moments agree. It depends on the unit and on the origin, and
        outliers weigh with their sixth power: standardise, or use features. With heavy tails a few
        rows decide, and the interval is too narrow.

    Null:
        0 in expectation, at all sizes, unlike that of the Fréchet distance. The p-value is exact.

    Cost:
        as for `mmd`. Measured: 1.5 s for 2,000 rows a side, d = 64, on 2 (busy) cores.

    Reference:
        Bińkowski et al. 2018, "Demystifying MMD GANs".
    """
    require_at_least(0, permutations=permutations)
    both = pair(x, y, min_rows=3, limit=limit, features=features, seed=seed)
    kernel = _quadratic.cubic(both.pooled)
    if not bool(kernel.isfinite().all()):
        raise MeasureError("the third powers of the rows' products overflow; rescale both samples")
    rng = torch.Generator().manual_seed(seed)
    return _measured("kid", kernel, both, permutations, rng, {})


def energy(
    x: Any,
    y: Any,
    *,
    permutations: int = 499,
    limit: int | None = 2000,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Squared energy distance, unbiased: without parameters, and 0 only for equal distributions.

    $$2 E|x - y| - E|x - x'| - E|y - y'|$$

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        permutations: number of random permutations, for the p-value and the interval; below 39
            there is no interval, with 0 neither.
        limit: maximum rows of each sample (None: all); the rest is left out at random.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of permutations and left-out rows.

    Returns:
        The U-statistic, which may be negative, in units of the data; null and interval are as for
        `mmd`.

    Raises:
        MeasureError: for fewer than 3 rows of a sample, different widths, NaN or infinity.

    Sees:
        every difference, given enough rows and finite means; a shift best.

    Misses:
        in many dimensions, all differences but those of the mean and the total variance, on which
        distances then mostly depend. A column with large values decides alone: standardise.

    Null:
        0 in expectation, at all sizes; the p-value is exact.

    Cost:
        as for `mmd`. Measured: 1.3 s for 2,000 rows a side, d = 64, on 2 (busy) cores.

    Reference:
        Székely & Rizzo 2013, "Energy statistics: a class of statistics based on distances".
    """
    require_at_least(0, permutations=permutations)
    both = pair(x, y, min_rows=3, limit=limit, features=features, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    kernel = _quadratic.squared_distances(both.pooled, both.pooled).sqrt_().neg_().fill_diagonal_(0)
    return _measured("energy", kernel, both, permutations, rng, {}, unit="units of the data")


def _widths(pooled: Tensor, bandwidth: float | None, rng: torch.Generator) -> list[float]:
    if bandwidth is None:
        # All rows equal: every kernel matrix is all ones, whatever the width.
        return _quadratic.around_median(pooled, rng) or [1.0]
    return [_quadratic.positive(bandwidth)]


def _measured(
    name: str,
    kernel: Tensor,
    both: Pair,
    permutations: int,
    rng: torch.Generator,
    extra: dict[str, Any],
    unit: str = "",
) -> Measurement:
    discrepancy = _quadratic.discrepancy(kernel, both.n, permutations, rng)
    p_value, outcome = permutation_test(discrepancy.value, discrepancy.permuted.cpu().numpy())
    if permutations:
        extra = {**extra, "null_95": float(discrepancy.permuted.quantile(0.95))}
    return Measurement(
        name,
        discrepancy.value,
        low=discrepancy.low,
        high=discrepancy.high,
        covers=""
        if discrepancy.low is None
        else "both samples (jackknife and random permutations)",
        null=0.0,
        p_value=p_value,
        n=both.n,
        m=both.m,
        unit=unit,
        reading=outcome,
        extra={**extra, **both.extra},
    )
