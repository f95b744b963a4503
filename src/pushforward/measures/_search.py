"""Nearest neighbours and ball counts: exact, chunked, on any device.

Distances come from a float32 matrix product, which is fast and slightly off. Whatever it cannot
decide is computed again in float64 by differences: the candidates for the nearest neighbours, and
the points on the edge of a ball. Queries whose candidates are uncertain are searched again by a
float64 product, and where that fails too (clusters that lie far apart for their size) by
differences alone. Memory grows with `chunk` times the size of the reference, or not at all where
`chunk` is None; never with the product of both sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

DISTANCES_AT_ONCE = 1_250_000  # by default: they fit a CPU's cache
GROUPED = 16  # columns in a group of which the minimum is looked at first
SPARE_CANDIDATES = 4  # candidates beyond k whose distances are computed again
NUMBERS_AT_ONCE = 1 << 22  # numbers in memory when distances are computed again
# The relative rounding error of a float32 product, which torch may compute with fewer digits.
FLOAT32_EPS = {"highest": 2.0**-23, "high": 2.0**-10, "medium": 2.0**-7}


@dataclass(frozen=True)
class Neighbours:
    """The k nearest rows of a reference, nearest first.

    Args:
        squared: squared distances (n, k), float64.
        index: rows of the reference (n, k).
    """

    squared: Tensor
    index: Tensor


@dataclass(frozen=True)
class Balls:
    """Which points lie in which closed balls.

    Args:
        of_point: in how many balls each point lies (m,).
        of_ball: how many points each ball holds (n,).
    """

    of_point: Tensor
    of_ball: Tensor


def nearest(
    queries: Tensor, reference: Tensor, k: int, *, chunk: int | None, itself: bool = False
) -> Neighbours:
    """Return each query's k nearest rows of the reference.

    Args:
        queries: (n, d).
        reference: (m, d).
        k: how many, at most m (m - 1 with `itself`).
        chunk: queries whose distances are computed at once; None for 1.25 million distances.
        itself: queries and reference are the same rows; none is its own neighbour.
    """
    rough = _Product(reference, torch.float32)
    finer = (_Product(reference, torch.float64), _Differences(reference))
    parts = []
    for rows in _chunks(
        queries, reference, chunk, NUMBERS_AT_ONCE // ((k + SPARE_CANDIDATES) * queries.shape[1])
    ):
        neighbours, certain = _nearest(rough, queries[rows], k, rows if itself else None)
        for distances in finer:
            if certain.all():
                break
            open_, again = (~certain).nonzero()[:, 0], rows[~certain]
            own = again if itself else None
            repeat, sure = _nearest(distances, queries[again], k, own)
            neighbours.squared[open_], neighbours.index[open_] = repeat.squared, repeat.index
            certain[open_] = sure
        parts.append(neighbours)
    return Neighbours(torch.cat([p.squared for p in parts]), torch.cat([p.index for p in parts]))


def balls(
    points: Tensor,
    centres: Tensor,
    *squared_radii: Tensor,
    chunk: int | None,
    of_points: Tensor | None = None,
) -> list[Balls]:
    """Count which points lie in which closed balls, once for each set of radii.

    Args:
        points: (m, d).
        centres: (n, d).
        squared_radii: sets of squared radii (n,), as `nearest` returns them; the first is the
            largest. The others cost little, since they share the distances.
        chunk: points whose distances are computed at once; None for 1.25 million distances.
        of_points: radii (m,) of balls around the points. The centres in these are counted last, as
            a set of its own with centres and points exchanged.
    """
    product, n = _Product(centres, torch.float32), len(centres)
    sets = len(squared_radii) + (of_points is not None)
    by_point: list[list[Tensor]] = [[] for _ in range(sets)]
    by_centre = centres.new_zeros((sets, n), dtype=torch.int64)
    for rows in _chunks(points, centres, chunk):
        own = None if of_points is None else of_points[rows]
        candidates = _candidate_pairs(product, points[rows], squared_radii[0], own)
        radii = [radii[candidates.ball] for radii in squared_radii]
        radii += [] if own is None else [own[candidates.point]]
        for i, of_pair in enumerate(radii):
            inside = _inside(candidates, points[rows], centres, of_pair)
            by_point[i].append(candidates.point[inside].bincount(minlength=len(rows)))
            by_centre[i] += candidates.ball[inside].bincount(minlength=n)
    counts = [Balls(torch.cat(p), c) for p, c in zip(by_point, by_centre, strict=True)]
    if of_points is not None:
        counts[-1] = Balls(counts[-1].of_ball, counts[-1].of_point)
    return counts


def magnified(*samples: Tensor) -> tuple[list[Tensor], float]:
    """Return samples in a unit in which their squares do not vanish, and that unit.

    The unit is a power of two, so no digit is lost; for samples that reach 1 it is 1.
    """
    largest = max(float(x.abs().max()) for x in samples)
    if largest == 0 or largest >= 1:
        return list(samples), 1.0
    exponent = max(-1000, math.frexp(largest)[1])
    return [x.double() * 2.0**-exponent for x in samples], 2.0**exponent


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b|^2 over the last axis in float64: the one definition that decides ties."""
    return (a.double() - b.double()).square().sum(-1)


class _Product:
    """Squared distances to a reference by a matrix product, and bounds on their errors.

    Rows are centred, which saves digits, and scaled so that the longest has length 1, so that
    nothing overflows or vanishes in float32.
    """

    def __init__(self, reference: Tensor, dtype: torch.dtype) -> None:
        self.reference = reference
        self.centre = reference.double().mean(0)
        longest = float((reference.double() - self.centre).norm(dim=1).max())
        self.unit = longest if longest > 0 else 1.0
        self.rows = self._prepare(reference, dtype)
        self.norms = self.rows.square().sum(1)

    def _prepare(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        return ((x.double() - self.centre) / self.unit).to(dtype)

    def __call__(self, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rough squared distances, in squared units.

        Returns:
            What they exceed a constant of each query by (n, m), which is all that sorting needs;
            the constants (n,); and a bound (n,) on their errors.
        """
        q = self._prepare(queries, self.rows.dtype)
        squares = q.square().sum(1)
        squared = torch.addmm(self.norms[None], q, self.rows.mT, alpha=-2)
        eps = FLOAT32_EPS[torch.get_float32_matmul_precision()]
        eps = eps if q.dtype == torch.float32 else torch.finfo(q.dtype).eps
        rounding = (q.shape[1] + 16) * eps
        return squared, squares, rounding * (squares.sqrt() + 1).square()


class _Differences:
    """Squared distances to a reference by differences: slow, and exact to the last digits."""

    def __init__(self, reference: Tensor) -> None:
        self.reference, self.unit = reference.double(), 1.0

    def __call__(self, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        exact = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(queries.double(), self.reference, compute_mode=exact)
        nothing = distances.new_zeros(len(queries))
        return distances.square_(), nothing, nothing


def _nearest(
    distances: _Product | _Differences, queries: Tensor, k: int, own: Tensor | None
) -> tuple[Neighbours, Tensor]:
    """Return the neighbours, and for which queries they are certain in spite of rounding."""
    excess, constant, error = distances(queries)
    if own is not None:
        excess.scatter_(1, own[:, None], torch.inf)
    rough, index = _smallest(excess, min(k + SPARE_CANDIDATES, excess.shape[1]))
    scores = squared_distance(queries[:, None], distances.reference[index])
    scores = scores.masked_fill(rough.isinf(), torch.inf)
    scores, order = scores.sort(dim=1, stable=True)
    neighbours = Neighbours(scores[:, :k], index.gather(1, order)[:, :k])
    everything = rough.shape[1] == excess.shape[1]
    furthest = neighbours.squared[:, -1]
    certain = furthest / distances.unit**2 <= rough[:, -1].double() + constant - error
    return neighbours, certain | everything | (furthest == 0)


def _smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k smallest values of each row in ascending order, and their columns: (n, k).

    They lie in the k groups of columns that have the smallest minima. Minima are quick to find, and
    selection is slow: the more so the more columns it looks at.
    """
    columns = values.shape[1]
    groups = columns // GROUPED
    if groups <= k:
        return values.topk(k, largest=False)
    whole = values[:, : groups * GROUPED]
    minima = whole.unflatten(1, (GROUPED, groups)).amin(1)
    members = groups * torch.arange(GROUPED, device=values.device)[:, None]
    chosen = (minima.topk(k, largest=False).indices[:, None] + members).flatten(1)
    others = torch.arange(groups * GROUPED, columns, device=values.device)
    chosen = torch.cat([chosen, others.expand(len(values), -1)], 1)
    found, order = values.gather(1, chosen).topk(k, largest=False)
    return found, chosen.gather(1, order)


@dataclass(frozen=True)
class _CandidatePairs:
    """The pairs of a point and a ball that are inside or on the edge, few of all: each (pairs,).

    Args:
        point: row of the point.
        ball: row of the centre.
        squared: squared distance.
        error: bound on its error.
    """

    point: Tensor
    ball: Tensor
    squared: Tensor
    error: Tensor


def _candidate_pairs(
    product: _Product, points: Tensor, squared_radii: Tensor, of_points: Tensor | None
) -> _CandidatePairs:
    excess, constant, error = product(points)
    unit, slack = product.unit**2, error - constant
    reach = (squared_radii / unit).to(excess)[None] + slack[:, None]
    if of_points is not None:
        own = (of_points / unit).to(excess) + slack
        reach = torch.maximum(reach, own[:, None], out=reach)
    # "Not outside", since NaN (an overflow) has to be checked too.
    point, ball = (excess > reach).logical_not_().nonzero().unbind(1)
    squared = excess[point, ball].double() + constant[point]
    return _CandidatePairs(point, ball, squared * unit, error[point].double() * unit)


def _inside(
    candidates: _CandidatePairs, points: Tensor, centres: Tensor, squared_radii: Tensor
) -> Tensor:
    """Return for which pairs the point lies in a ball of the pair's radius (pairs,)."""
    inside = candidates.squared < squared_radii - candidates.error
    beyond = candidates.squared > squared_radii + candidates.error
    edge = beyond.logical_or_(inside).logical_not_().nonzero()[:, 0]
    for part in torch.split(edge, max(1, NUMBERS_AT_ONCE // points.shape[1])):
        exact = squared_distance(points[candidates.point[part]], centres[candidates.ball[part]])
        inside[part] = exact <= squared_radii[part]
    return inside


def _chunks(
    rows: Tensor, reference: Tensor, chunk: int | None, at_most: int | None = None
) -> Iterator[Tensor]:
    """Yield the indices of rows, `chunk` of them at a time, and at most `most`."""
    step = chunk or max(1, DISTANCES_AT_ONCE // len(reference))
    step = step if at_most is None else max(1, min(step, at_most))
    for start in range(0, len(rows), step):
        yield torch.arange(start, min(len(rows), start + step), device=rows.device)
