"""Distances by optimal transport: how far mass has to move."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._inputs import Featurise, pair
from pushforward.measures._intervals import Z, chosen, less_noise, permutation_p, verdict
from pushforward.measures.measurement import Measurement
from pushforward.measures.samples import _sliced


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
