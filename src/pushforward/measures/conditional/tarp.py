"""Tests of accuracy with random points (TARP): are draws given a context as likely as the truth?"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._inputs import FeatureFunction, matrix, pair, require_at_least
from pushforward.measures._intervals import verdict
from pushforward.measures.measurement import Measurement

MIN_ROWS = 20
RESAMPLES = 200
NOISE = 0.1  # of the points, in standard deviations: no point is a row


def tarp(
    x: Any,
    y: Any,
    *,
    given: Any = None,
    limit: int | None = 2000,
    features: FeatureFunction | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Tests of accuracy with random points: are draws given a part of each row right?

    $$\max_{0 \le \alpha \le 1} \Bigl| \frac1n \sum_{i=1}^{n} 1[u_i \le \alpha] - \alpha \Bigr|,
    \quad u_i = \frac{\#\{l : |y_{il} - r_i| < |x_i - r_i|\} + U_i}{L + 1}$$

    x_i is what is not given of real row i, y_il are L draws of it in its place, r_i a point that
    depends on what is given alone, and U_i uniform. Where the draws follow the true conditional
    distribution, x_i is one more of them: u_i is uniform, whatever the points are. Half of the rows
    lend their x as points: each of the n others has that of the row whose given part is nearest to
    its own, plus noise. A draw that ignores what is given is then farther from it than the truth.

    Args:
        x: what is not given of the real rows: tensor, array or numeric frame (n, ...).
        y: draws for each of them: (n L, ...), the L draws of a row one after another.
        given: what is given of the rows (n, ...). None: nothing, and points are those of any rows.
        limit: maximum rows of x (None: all); the rest is left out at random.
        features: maps rows of x and y to the vectors whose distances count; None for the rows
            themselves, each column divided by its standard deviation in x.
        seed: of the points and left-out rows.

    Returns:
        The largest distance of the shares of u below each level from that level: between the
        coverage that the draws claim and the one that they have. The p-value is that of the
        Kolmogorov-Smirnov test. The interval is by resampling rows, for these points (it held the
        truth in 88 % of 200 repetitions). `extra`: `mean` of u (0.5;
        below it the truth is nearer to the points than the draws are: these know too little of
        what is given, or spread too far), `slope` (the mean of |2 u - 1|, 0.5: above it the draws
        are too narrow or biased) and `draws` (L).

    Raises:
        MeasureError: for fewer than 20 rows, a number of draws that is no multiple of that of the
            rows, given parts of another number of rows, different widths, NaN or infinity.

    Sees:
        draws that ignore what is given, or a part of it, draws that are too narrow or too wide, and
        a bias. 1,000 rows, one draw each: draws of the marginal of a pair of normal variables with
        correlation 0.8 give about 0.18.

    Misses:
        what needs more rows: coverage is an average over all that is given, and errors of opposite
        sign at different places may cancel (a local test is stronger there). It cannot tell
        differences that leave the distances to the points as they are.

    Null:
        the mean of the Kolmogorov-Smirnov statistic of n uniform numbers, 0.8687 / sqrt(n) for
        large n. It is exact, as no row that lends a point is judged.

    Cost:
        the distances between the given parts of both halves; 2,000 rows with 10 draws each: 0.1 s.

    Reference:
        Lemos, Coogan, Hezaveh & Perreault-Levasseur 2023, "Sampling-based accuracy testing of
        posterior estimators for general inference".
    """
    require_at_least(MIN_ROWS, limit=limit)
    both = pair(x, y, min_rows=MIN_ROWS, features=features)
    n, draws = both.n, both.m // both.n
    if draws * n != both.m:
        raise MeasureError(
            f"tarp needs the same number of draws for each row, and was given {n} rows and "
            f"{both.m} draws"
        )
    context = None if given is None else matrix(given, "what is given").double()
    if context is not None and len(context) != n:
        raise MeasureError(f"tarp needs what is given of each of {n} rows, and has {len(context)}")
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randperm(n, generator=rng)[:limit].to(both.x.device)
    lenders, judged = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    scale = _spread(both.x)
    truth, drawn = both.x / scale, both.y.unflatten(0, (n, draws))[judged] / scale
    nearest = _nearest(None if context is None else context.to(rows.device), lenders, judged, rng)
    noise = torch.randn(len(judged), truth.shape[1], generator=rng, dtype=truth.dtype)
    points = truth[nearest] + NOISE * noise.to(truth.device)
    return _measured(_levels(truth[judged], drawn, points, rng), draws, both.extra)


def _spread(x: Tensor) -> Tensor:
    """Return the standard deviation of each column (d,), 1 for a constant one."""
    spread = x.std(0, correction=0)
    return torch.where(spread > 0, spread, 1.0)


def _nearest(
    context: Tensor | None, lenders: Tensor, judged: Tensor, rng: torch.Generator
) -> Tensor:
    """Return for each row that is judged the lender whose context is nearest, or any without."""
    any_of_them = torch.randint(len(lenders), (len(judged),), generator=rng).to(lenders.device)
    if context is None:
        return lenders[any_of_them]
    own = context / _spread(context)
    apart = torch.cdist(own[judged], own[lenders])
    # of equally near ones (categories) any
    tie = torch.rand(apart.shape, generator=rng, dtype=apart.dtype).to(apart.device)
    nearest = apart <= apart.min(1, keepdim=True).values * (1 + 1e-9) + 1e-12
    return lenders[torch.where(nearest, tie, -1.0).argmax(1)]


def _levels(truth: Tensor, drawn: Tensor, points: Tensor, rng: torch.Generator) -> Tensor:
    """Return u (n,): the rank of the truth's distance among those of the draws, ties at random."""
    own = (truth - points).norm(dim=1, keepdim=True)
    others = (drawn - points[:, None]).norm(dim=2)
    nearer, equal = (others < own).sum(1).cpu(), (others == own).sum(1).cpu()
    place = torch.rand(len(own), generator=rng, dtype=torch.float64)
    u: Tensor = (nearer + place * (equal + 1)) / (drawn.shape[1] + 1)
    return u


def _statistic(u: Tensor) -> Tensor:
    """Return the Kolmogorov-Smirnov distance of numbers (..., n) from the uniform distribution."""
    ordered, n = u.sort(-1).values, u.shape[-1]
    steps = torch.arange(n + 1, dtype=u.dtype) / n
    apart: Tensor = torch.maximum(steps[1:] - ordered, ordered - steps[:-1])
    return apart.amax(-1)


def _expected(n: int) -> float:
    """Return the mean of the statistic of n uniform numbers, to one percent (Stephens 1970)."""
    return math.sqrt(math.pi / 2) * math.log(2) / (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n))


def _measured(u: Tensor, draws: int, extra: dict[str, Any]) -> Measurement:
    from scipy.stats import kstwo

    n, value = len(u), float(_statistic(u))
    p_value = max(float(kstwo.sf(value, n)), 1e-300)
    rng = torch.Generator().manual_seed(0)
    again = _statistic(u[torch.randint(n, (RESAMPLES, n), generator=rng)])
    # resampled rows add as much noise as there is: reflected, that much is taken away
    low, high = (2 * value - again.quantile(torch.tensor([0.975, 0.025]).double())).tolist()
    mean, slope = float(u.mean()), float((2 * u - 1).abs().mean())
    words = verdict(p_value).replace("the samples differ", "the draws are not calibrated")
    return Measurement(
        "tarp",
        value,
        low=min(max(0.0, low), value),
        high=max(high, value),
        covers="other rows, for these points",
        null=_expected(n),
        p_value=p_value,
        n=n,
        m=n * draws,
        unit="share",
        reading=words + _why(mean, slope, n, p_value),
        extra={"mean": mean, "slope": slope, "draws": draws, **extra},
    )


def _why(mean: float, slope: float, n: int, p_value: float) -> str:
    """Return in which direction the draws are wrong, where that shows."""
    error = 2 / math.sqrt(12 * n)  # of either mean under the null
    if p_value > 0.05:
        return ""
    if mean < 0.5 - error and mean - 0.5 < 0.5 - slope:
        return "; they spread too far, or know too little of what is given"
    return "; they are too narrow, or biased" if slope > 0.5 + error else ""
