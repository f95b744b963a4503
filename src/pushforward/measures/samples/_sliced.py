"""Optimal transport on a line, for many directions at once."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pushforward.measures._intervals import permutation_masks

AXES = 4  # of the largest difference of the covariances, from which the search begins
POWER_STEPS = 15
MIN_STEP = 1e-4  # step, in radians, below which the search ends


def directions(d: int, projections: int, rng: torch.Generator) -> Tensor:
    """Return unit vectors (l, d): uniform on the sphere, orthogonal within blocks of d.

    `l` is `projections` rounded up to whole blocks where there are more directions than
    dimensions: then the mean of <theta, v>^2 is exactly |v|^2 / d.

    Reference:
        Rowland et al. 2019, "Orthogonal estimation of Wasserstein distances".
    """
    if d == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    blocks = math.ceil(projections / d)
    gaussian = torch.randn(blocks, d, min(d, projections), generator=rng, dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(gaussian).Q
    return basis.mT.reshape(-1, d)


def steepest(x: Tensor, y: Tensor, p: int, starts: int, steps: int, rng: torch.Generator) -> Tensor:
    """Return the unit vector (d,) along which W_p of x (n, d) and y (m, d) is largest.

    Gradient ascent on the sphere, from many starts at once: the difference of the means, the axes
    along which the covariances differ most, and random directions. A step without a gain is halved.
    """
    lines = _starts(x, y, starts, rng)
    step = lines.new_ones(len(lines), 1)
    best, slope = _climb(x, y, lines, p)
    for _ in range(steps):
        tried = torch.nn.functional.normalize(lines + step * slope, dim=1)
        value, new_slope = _climb(x, y, tried, p)
        better = value > best
        step = torch.where(better[:, None], 2 * step, step / 2)
        if float(step.max()) < MIN_STEP:
            break
        lines[better], slope[better], best[better] = tried[better], new_slope[better], value[better]
    return lines[int(best.argmax())]


def _climb(x: Tensor, y: Tensor, lines: Tensor, p: int) -> tuple[Tensor, Tensor]:
    """Return W_p^p (l,) along each line, and the unit vectors (l, d) along which it grows most."""
    with torch.enable_grad():
        lines = lines.detach().requires_grad_()
        values = transport((lines @ x.mT).sort(1).values, (lines @ y.mT).sort(1).values, p)
        (slope,) = torch.autograd.grad(values.sum(), lines)
    return values.detach(), torch.nn.functional.normalize(slope, dim=1)


def _starts(x: Tensor, y: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Return unit vectors (l, d) from which the search begins."""
    d = x.shape[1]
    chance = torch.randn(count, d, generator=rng, dtype=x.dtype).to(x.device)
    rows, others = x - x.mean(0), y - y.mean(0)
    axes = chance[: min(AXES, d)].mT
    for _ in range(POWER_STEPS):  # subspace iteration; the covariances themselves are never made
        axes = torch.linalg.qr(axes).Q
        axes = rows.mT @ (rows @ axes) / len(x) - others.mT @ (others @ axes) / len(y)
    lines = torch.cat([(y.mean(0) - x.mean(0))[None], axes.mT, chance])
    lines = torch.nn.functional.normalize(lines, dim=1)
    return lines[lines.norm(dim=1) > 0.5]  # equal means or covariances give no direction


def coupling(n: int, m: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the monotone coupling of n sorted points with m: indices i, j and the mass moved.

    Both quantile functions are step functions; their jumps are kept as integers out of n * m, so
    unequal sizes are exact.
    """
    ends = torch.from_numpy(np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n))
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    return starts // m, starts // n, (ends - starts).double() / (n * m)


def transport(xs: Tensor, ys: Tensor, p: int) -> Tensor:
    """Return W_p^p (l,) between sorted points (l, n) and (l, m)."""
    i, j, mass = coupling(xs.shape[1], ys.shape[1])
    difference = (xs[:, i] - ys[:, j]).abs()
    return difference.pow(p) @ mass.to(difference)


def potential(xs: Tensor, ys: Tensor, p: int) -> Tensor:
    """Return the Kantorovich potential (l, n) at the sorted points `xs`, centred.

    It is the derivative of W_p^p with respect to the weight of each point. Along the staircase of
    the coupling f(x) + g(y) = |x - y|^p holds on every step, so f grows by the change of the cost
    at a fixed partner: the last of x_i or the first of x_(i+1), and their mean where they differ.
    """
    n, m = xs.shape[1], ys.shape[1]
    steps = torch.arange(1, n)
    last, first = (steps * m - 1) // n, steps * m // n
    before, after = xs[:, :-1], xs[:, 1:]
    growth = torch.zeros_like(xs)
    for partner in (ys[:, last], ys[:, first]):
        growth[:, 1:] += 0.5 * ((after - partner).abs() ** p - (before - partner).abs() ** p)
    f = growth.cumsum(1)
    return f - f.mean(1, keepdim=True)


def influence(x: Tensor, y: Tensor, p: int) -> Tensor:
    """Return the influence of each of the n projected rows x (l, n) on the mean of W_p^p: (n,).

    Reference:
        del Barrio & Loubes 2019, "Central limit theorems for empirical transportation cost in
        general dimension"; for slices, Manole, Balakrishnan & Wasserman 2022.
    """
    xs, order = x.sort(1)
    f = potential(xs, y.sort(1).values, p)
    return torch.zeros_like(f).scatter_(1, order, f).mean(0)


def variance_over_lines(each: Tensor, d: int) -> float:
    """Return the variance of the mean over lines of W_p^p (l,), for lines from `directions`.

    Blocks are independent, lines within a block are not. With few blocks, lines are treated as
    independent, which is conservative: orthogonal ones vary less.
    """
    if len(each) == 1:
        return 0.0
    blocks = each.reshape(-1, d).mean(1) if len(each) >= 4 * d else each
    return float(blocks.var() / len(blocks))


def permuted(x: Tensor, y: Tensor, p: int, permutations: int, rng: torch.Generator) -> Tensor:
    """Return the mean of W_p^p (B,) for random permutations of the pooled projections (l, n + m).

    The rows are sorted once; a permutation only selects points of the sorted rows.
    """
    n, m = x.shape[1], y.shape[1]
    pooled, order = torch.cat([x, y], 1).sort(1)
    means = []
    for is_x in permutation_masks(n, m, permutations, rng).to(x.device):
        mask = is_x[order]
        xs, ys = pooled.masked_select(mask).view(-1, n), pooled.masked_select(~mask).view(-1, m)
        means.append(transport(xs, ys, p).mean())
    return torch.stack(means) if means else x.new_zeros(0)
