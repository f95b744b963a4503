"""Intervals and p-values that several measures share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile
ROUNDING = 1e-12  # of a sum of shares
MIN_PERMUTATIONS = (
    39  # the 1st and the 39th of 39 ordered values are their 2.5 % and 97.5 % quantiles
)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share seen in `n` independent trials (maybe not whole).

    Reference:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    # Rounding must not cut a share of exactly 0 or 1 off its own interval.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def share_interval(share: float, variance: float, trials: float) -> tuple[float, float]:
    """Return Wilson's interval of a share that has this variance.

    It is that of as many independent trials as would have this variance, at most the given number.
    A variance that was estimated says nothing about a share of exactly 0 or 1, whose own is 0: then
    it is that of the given number.
    """
    if variance > 0 and 0 < share < 1:
        trials = max(1.0, min(trials, share * (1 - share) / variance))
    return wilson(share, trials)


def at_least_binomial(value: float, low: float, high: float, trials: float) -> tuple[float, float]:
    """Return the interval of a number in [0, 1], at 0 and 1 no narrower than that of a share.

    There the spread over resamples is 0, which is no evidence of an exact value.
    """
    if ROUNDING < value < 1 - ROUNDING:
        return low, high
    least = wilson(value, trials)
    return min(low, least[0]), max(high, least[1])


def normal_interval(value: float, error: float | None) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a value with this standard error, (None, None) without one."""
    return (None, None) if error is None else (value - Z * error, value + Z * error)


def squared_distance_interval(
    value: float, bias: float, permuted: NDArray[np.float64], variance: float
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a squared distance of two distributions, (None, None) if unknown.

    The noise of such an estimate has two parts: one that is there without any difference, whose
    quantiles are those of random permutations, and one whose variance is proportional to the
    squared distance theta itself. As Wilson's interval does for a share, this one takes the noise
    at theta, not at the estimate: its ends solve (value - theta)^2 = quantile^2 + Z^2 rate theta.
    So without a difference it is that of the permutations alone, and far from there the usual
    normal interval.

    Args:
        value: the unbiased estimate, which may be negative.
        bias: of the plug-in estimate, which is never negative.
        permuted: the unbiased estimate for random permutations of the pooled rows (B,).
        variance: of the estimate, from the influence of each row.
    """
    if len(permuted) < MIN_PERMUTATIONS:
        return None, None
    lower, upper = np.quantile(permuted, (0.025, 0.975), method="weibull").tolist()
    # The influences are themselves estimated: without a difference they hold noise alone, in
    # expectation twice the variance of the permutations. Relative to the plug-in value they give a
    # stable rate. Samples that share rows have a plug-in value near 0; half of the bias keeps their
    # interval finite.
    plug_in = max(value + bias, 0.5 * bias)
    variance_rate = variance / plug_in if plug_in > 0 else 0.0
    if value > max(upper, 0.0):
        variance_rate = max(variance_rate, (variance - 2 * float(permuted.var())) / value)
    centre = value + 0.5 * Z * Z * variance_rate
    spread = centre**2 - value**2
    low = value - upper
    if low > 0:
        low = max(0.0, centre - math.sqrt(spread + upper**2))
    return low, max(value - lower, centre + math.sqrt(max(0.0, spread + lower**2)))


def permutation_p(value: float, permuted: NDArray[np.float64]) -> float:
    """Return (1 + #{permuted >= value}) / (B + 1).

    A permutation that gives the same value up to rounding counts as equal.

    Reference:
        Phipson & Smyth 2010, "Permutation p-values should never be zero".
    """
    slack = 1e-12 * max(abs(value), float(np.abs(permuted).max(initial=0)))
    return (1 + int((permuted >= value - slack).sum())) / (len(permuted) + 1)


def permutation_masks(n: int, m: int, permutations: int, generator: torch.Generator) -> Tensor:
    """Return which of n + m rows random permutations put first: (permutations, n + m), n True."""
    order = torch.rand(permutations, n + m, generator=generator).argsort(1)
    return order < n


def permutation_test(value: float, permuted: NDArray[np.float64]) -> tuple[float | None, str]:
    """Return the p-value, or None without permutations, and the outcome in words."""
    if not len(permuted):
        return None, "not tested (no permutations)"
    p_value = permutation_p(value, permuted)
    return p_value, verdict(p_value)


def verdict(p_value: float) -> str:
    """Return the outcome of a test of "no difference" in words."""
    p = f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"
    return f"the samples differ ({p})" if p_value <= 0.05 else f"no difference found ({p})"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that are corrected, by Holm's method, for how many there are.

    Reference:
        Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def bias_remark(value: float, low: float | None, high: float | None) -> str:
    """Return a remark where a plug-in value lies outside its own interval, or nothing."""
    if low is None or high is None or low <= value <= high:
        return ""
    return "; the interval is for the distance without the bias of these sizes"
