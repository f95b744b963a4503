"""The neighbour engine: exact, chunked, on any device.

Distances come from a float32 matrix product, which is fast and slightly wrong. Whatever such a
product cannot decide is scored again in float64 by differences: the candidates for the nearest
neighbours, and the points that lie on the edge of a ball. Memory grows with `chunk` times the size
of the reference, or not at all where `chunk` is None, never with the product of both sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

HELD = 1_250_000  # distances at once, by default: they stay in a CPU's cache
SLACK = 8  # candidates beyond k that are scored again
PAIRS = 1 << 22  # numbers that are held when edges are scored again


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
        chunk: queries whose distances are held at once; None for 1.25 million distances.
        itself: queries and reference are the same rows; none is its own neighbour.
    """
    fast, exact = _Product(reference, torch.float32), _Product(reference, torch.float64)
    parts = []
    for rows in _chunks(queries, reference, chunk):
        own = rows if itself else None
        found, certain = _nearest(fast, queries[rows], k, own)
        if not certain.all():
            again = rows[~certain]
            repeat, _ = _nearest(exact, queries[again], k, again if itself else None)
            found.squared[~certain], found.index[~certain] = repeat.squared, repeat.index
        parts.append(found)
    return Neighbours(torch.cat([p.squared for p in parts]), torch.cat([p.index for p in parts]))


def balls(points: Tensor, centres: Tensor, squared_radii: Tensor, *, chunk: int | None) -> Balls:
    """Count which of the points (m, d) lie in which of the closed balls around centres (n, d).

    Args:
        points: (m, d).
        centres: (n, d).
        squared_radii: (n,), as `nearest` returns them.
        chunk: points whose distances are held at once; None for 1.25 million distances.
    """
    product = _Product(centres, torch.float32)
    of_ball = torch.zeros(len(centres), dtype=torch.int64, device=centres.device)
    of_point = []
    for rows in _chunks(points, centres, chunk):
        inside = _inside(product, points[rows], squared_radii)
        of_point.append(inside.sum(1))
        of_ball += inside.sum(0)
    return Balls(torch.cat(of_point), of_ball)


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b|^2 over the last axis in float64: the one definition that decides ties."""
    return (a.double() - b.double()).square().sum(-1)


class _Product:
    """Squared distances to a reference by a matrix product, and how wrong they can be.

    Rows are centred, which spares digits, and measured in units in which the longest is 1, so that
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

    def __call__(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances (n, m) in squared units, and a bound (n,) on their error."""
        q = self._prepare(queries, self.rows.dtype)
        squares = q.square().sum(1, keepdim=True)
        squared = torch.addmm(self.norms[None], q, self.rows.mT, alpha=-2).add_(squares)
        rounding = (q.shape[1] + 16) * torch.finfo(q.dtype).eps
        return squared, rounding * (squares[:, 0].sqrt() + 1).square()


def _nearest(
    product: _Product, queries: Tensor, k: int, own: Tensor | None
) -> tuple[Neighbours, Tensor]:
    """Return the neighbours, and for which queries they are certain in spite of rounding."""
    squared, error = product(queries)
    if own is not None:
        squared.scatter_(1, own[:, None], torch.inf)
    rough, index = squared.topk(min(k + SLACK, squared.shape[1]), largest=False)
    scores = squared_distance(queries[:, None], product.reference[index])
    scores = scores.masked_fill(rough.isinf(), torch.inf)
    scores, order = scores.sort(dim=1, stable=True)
    found = Neighbours(scores[:, :k], index.gather(1, order)[:, :k])
    everything = rough.shape[1] == squared.shape[1]
    furthest = found.squared[:, -1] / product.unit**2
    certain = furthest <= rough[:, -1].double() - error
    return found, certain | everything


def _inside(product: _Product, points: Tensor, squared_radii: Tensor) -> Tensor:
    """Return whether point j lies in ball i: boolean (points, balls)."""
    squared, error = product(points)
    beyond = squared.sub_((squared_radii / product.unit**2).to(squared))
    inside = beyond < -error[:, None]
    edge = (beyond <= error[:, None]).logical_xor_(inside).nonzero()
    for part in torch.split(edge, max(1, PAIRS // points.shape[1])):
        j, i = part.unbind(1)
        distance = squared_distance(points[j], product.reference[i])
        inside[j, i] = distance <= squared_radii[i]
    return inside


def _chunks(rows: Tensor, reference: Tensor, chunk: int | None) -> Iterator[Tensor]:
    step = chunk or max(1, HELD // len(reference))
    for start in range(0, len(rows), step):
        yield torch.arange(start, min(len(rows), start + step), device=rows.device)
