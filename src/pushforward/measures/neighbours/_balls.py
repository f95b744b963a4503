"""The balls around the rows of two samples: six statistics, their nulls and standard errors.

The ball around a row is closed and reaches to the row's k-th nearest other row of its own sample.
"""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.measures import _search
from pushforward.measures._inputs import Pair

NAMES = ("precision", "recall", "density", "coverage")
CLIPPED = ("clipped_density", "clipped_coverage")
ALL = NAMES + CLIPPED
MAX_SUBSAMPLE = 1000  # rows of each sample for the standard errors, at most
MAX_COVERAGE = 2.0  # clipped coverage before its clip at 1, at most

Floats = NDArray[np.float64]


def ball_statistics(x: Tensor, y: Tensor, k: int, chunk: int | None) -> list[float]:
    """Return the six values of two samples (n, d) and (m, d), in the order of ALL, not clipped."""
    around_x = _search.nearest(x, x, k + 1, chunk=chunk, itself=True)
    radii_x = around_x.squared[:, k - 1]
    radii_y = _search.nearest(y, y, k, chunk=chunk, itself=True).squared[:, -1]
    clipped = radii_x.clamp(max=_median_radius(radii_x))
    real, close, fake = _search.balls(y, x, radii_x, clipped, chunk=chunk, of_points=radii_y)
    scale = _filled(_balls_around(x, around_x, clipped, chunk), k).mean()
    shares = [real.of_point > 0, fake.of_point > 0, real.of_point.double() / k, real.of_ball > 0]
    values = [float(s.double().mean()) for s in shares]
    values.append(float(_filled(close.of_point, k).mean() / scale))
    values.append(good_share(float(_filled(real.of_ball, k).mean()), len(x), len(y), k))
    return values


def ball_radii(x: Tensor, k: int) -> Tensor:
    """Return the squared radii (n,) of the balls around rows x (n, d)."""
    return _search.nearest(x, x, k, chunk=None, itself=True).squared[:, -1]


def covered_share(x: Tensor, squared_radii: Tensor, y: Tensor) -> float:
    """Return the coverage of x by y alone: the value of `coverage`, for radii that are kept."""
    nearest = _search.nearest(x, y, 1, chunk=None).squared[:, 0]
    return float((nearest <= squared_radii).double().mean())


def _balls_around(
    x: Tensor, neighbours: _search.Neighbours, squared_radii: Tensor, chunk: int | None
) -> Tensor:
    """Return in how many balls of other rows each row lies; the balls reach to k rows at most."""
    inside = neighbours.squared <= squared_radii[:, None]
    if inside[:, -1].any():  # more than k rows within the k-th distance: ties, to be counted
        return _search.balls(x, x, squared_radii, chunk=chunk)[0].of_point - 1
    return neighbours.index[inside].bincount(minlength=len(x))


def _filled(counts: Tensor, k: int) -> Tensor:
    """Return counts in units of k, clipped at 1."""
    return counts.clamp(max=k).double() / k


def _median_radius(squared: Tensor) -> float:
    """Return the square of the median radius; of an even number, of the mean of the middle two."""
    ordered = squared.sort().values
    low, high = float(ordered[(len(ordered) - 1) // 2]), float(ordered[len(ordered) // 2])
    return low if low == high else ((math.sqrt(low) + math.sqrt(high)) / 2) ** 2


def beta_binomial(n: int, others: Floats, k: int) -> Floats:
    """Return the probabilities (k, len(others)) that a ball holds s = 0 .. k - 1 of other rows.

    The ball is that of one of n rows, and the other rows are drawn from the same continuous
    distribution: their number is beta-binomial with parameters k and n - k, for every distribution.
    """
    chance = np.ones_like(others)
    for i in range(k):
        chance *= (n - 1 - i) / (n + others - 1 - i)
    chances = [chance]
    for s in range(k - 1):
        left = np.maximum(others - s, 0)
        chance = chance * left / (s + 1) * (s + k) / np.maximum(left - 1 + n - k, 1)
        chances.append(chance)
    return np.stack(chances)


def expected_coverage(n: int, m: int, k: int) -> float:
    """Return the expectation of the coverage for equal distributions."""
    return 1 - float(beta_binomial(n, np.array([float(m)]), k)[0, 0])


def good_share(filled: float, n: int, m: int, k: int) -> float:
    """Return the share a for which a m good rows would fill the balls of n rows as much.

    Args:
        filled: the mean over balls of min(k, rows in it) / k.
        n: the number of balls.
        m: the number of generated rows.
        k: neighbours.
    """
    good = np.arange(int(MAX_COVERAGE * m) + 1, dtype=np.float64)
    missing = np.arange(k, 0, -1) @ beta_binomial(n, good, k) / k
    return float(np.interp(filled, 1 - missing, good / m))


def nulls(
    x: Tensor, m: int, k: int, chunk: int | None, splits: int, rng: torch.Generator
) -> list[float | None]:
    """Return what m more rows of the real sample's own distribution would give.

    They depend on the real rows x (n, d) and on the sizes alone, so that all generators that are
    measured with the same real rows have the same. By formula where there is one; precision and
    recall by leaving out one row at a time; the others by splitting the real rows.

    Args:
        x: the real sample.
        m: the number of generated rows.
        k: neighbours.
        chunk: rows whose distances are computed at once.
        splits: how many random splits; with 0, what needs them is None.
        rng: of the splits, and of left-out rows.
    """
    precision, density, copies = _left_out(x, k, chunk)
    recall = precision if m >= len(x) else _recall(x, max(m, k + 2), k, chunk, rng)
    known = [precision, recall, density]
    by_splits = _split(x, m, k, chunk, splits, rng)
    if copies:
        return known + by_splits
    return [*known[:2], 1.0, expected_coverage(len(x), m, k), *by_splits[1:]]


def _left_out(x: Tensor, k: int, chunk: int | None) -> tuple[float, float, bool]:
    """Return precision and density of each row among the balls of the others, and if any is empty.

    Without row i, the ball of row j reaches to its k-th nearest of the rows that remain. So it
    holds row i exactly where the ball among all rows does: nothing is searched again.
    """
    around = _search.nearest(x, x, k + 1, chunk=chunk, itself=True)
    radii = around.squared[:, k - 1]
    inside = _balls_around(x, around, radii, chunk).double()
    density = float(inside.mean()) / k * len(x) / (len(x) - 1)
    return float((inside > 0).double().mean()), density, bool((radii == 0).any())


def _recall(x: Tensor, m: int, k: int, chunk: int | None, rng: torch.Generator) -> float:
    """Return the precision of real rows among the balls of m of them, the mean of all parts."""
    order = torch.randperm(len(x), generator=rng).to(x.device)
    parts = [x[part] for part in order.split(m) if len(part) == m]
    return fmean(_left_out(part, k, chunk)[0] for part in parts)


def _split(
    x: Tensor, m: int, k: int, chunk: int | None, splits: int, rng: torch.Generator
) -> list[float | None]:
    """Return coverage, and clipped density and coverage, between two parts of the real rows.

    Their sizes have the ratio of n and m, so both are smaller by the same factor. Coverage depends
    on the ratio alone, up to 1 / n. What the clip at 1 cuts off is noise, which falls with the
    square root of the sizes.
    """
    share = len(x) / (len(x) + m)
    size = min(max(round(len(x) * share), k + 2), len(x) - k - 2)
    if not splits or size < k + 2:
        return [None] * 3
    found = []
    for _ in range(splits):
        order = torch.randperm(len(x), generator=rng).to(x.device)
        rows = x[order[:size]], x[order[size:]]
        found.append(ball_statistics(*rows, k, chunk))
    coverage = fmean(values[3] for values in found)
    return [coverage, *(_at_full_size([v[i] for v in found], share) for i in (4, 5))]


def _at_full_size(values: list[float], share: float) -> float:
    """Return the expectation of min(1, value), from values at this share of the sizes."""
    mean, below = min(1.0, fmean(values)), fmean(min(1.0, v) for v in values)
    return mean - math.sqrt(share) * (mean - below)


def errors(
    both: Pair, k: int, chunk: int | None, resamples: int, rng: torch.Generator
) -> list[float | None]:
    """Return standard errors over both samples, by subsampling without replacement.

    Samples of equal size are subsampled at the same time. Otherwise the shares differ, and so do
    the factors back to the full sizes: each is then subsampled with a fixed part of the other.
    """
    if resamples < 2:
        return [None] * len(ALL)
    parts = [_Part(side, k, rng) for side in (both.x, both.y)]
    moving = [(True, True)] if parts[0].share == parts[1].share else [(True, False), (False, True)]
    variance = torch.zeros(len(ALL), dtype=torch.float64)
    for moves in moving:
        fixed = [part.draw() for part in parts]
        resampled = []
        for _ in range(resamples):
            x, y = (
                p.draw() if moves else f for p, moves, f in zip(parts, moves, fixed, strict=True)
            )
            resampled.append(ball_statistics(x, y, k, chunk))
        spread = torch.tensor(resampled, dtype=torch.float64).var(0)
        variance += spread * (parts[0] if moves[0] else parts[1]).factor
    return [float(v) ** 0.5 for v in variance]


class _Part:
    """A random part of a sample: half of it, and at most RESAMPLED rows."""

    def __init__(self, rows: Tensor, k: int, rng: torch.Generator) -> None:
        self.rows, self.rng = rows, rng
        self.size = max(k + 2, min(len(rows) // 2, MAX_SUBSAMPLE))
        self.share = self.size / len(rows)

    @property
    def factor(self) -> float:
        """From the variance over parts to that over samples: 1 / size - 1 / n is to be 1 / n."""
        return self.share / (1 - self.share)

    def draw(self) -> Tensor:
        """Return a part."""
        order = torch.randperm(len(self.rows), generator=self.rng)[: self.size]
        return self.rows[order.to(self.rows.device)]
