"""What the rulers' intervals and p-values have in common."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share seen in `n` independent trials (maybe not whole).

    Reference:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    # Rounding must not cut a share of exactly 0 or 1 off its own interval.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def permutation_p(value: float, permuted: NDArray[np.float64]) -> float:
    """Return (1 + #{permuted >= value}) / (B + 1).

    A permutation that gives the same value up to rounding counts as equal.

    Reference:
        Phipson & Smyth 2010, "Permutation p-values should never be zero".
    """
    slack = 1e-12 * max(abs(value), float(np.abs(permuted).max(initial=0)))
    return (1 + int((permuted >= value - slack).sum())) / (len(permuted) + 1)


def labels(n: int, m: int, permutations: int, generator: torch.Generator) -> Tensor:
    """Return random splits of n + m rows as a boolean (permutations, n + m), n True in each."""
    order = torch.rand(permutations, n + m, generator=generator).argsort(1)
    return order < n


def less_noise(value: float, null: float) -> float:
    """Return what is left of a distance when the distance of no difference is taken off.

    Sampling noise adds to a distance as an independent component does, in squares.
    """
    return math.sqrt(max(0.0, value * value - null * null))


def verdict(p_value: float) -> str:
    """Return the outcome of a test of "no difference" in words."""
    p = f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"
    return f"the samples differ ({p})" if p_value <= 0.05 else f"no difference found ({p})"


def chosen(extra: dict[str, object], n: int, m: int) -> str:
    """Return a remark on rows that were left out, or nothing."""
    given = extra.get("given")
    if not isinstance(given, list):
        return ""
    return f"; on {n:,} of {given[0]:,} real and {m:,} of {given[1]:,} generated rows"
