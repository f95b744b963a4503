"""The pairs of samples of the sanity checks: simple distributions with known answers.

Every function returns a draw of (real, generated) at a place on a check's axis, or is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

Samples = tuple[Tensor, Tensor]
Draw = Callable[[float, Generator], Samples]

SIZE = 1000
MODES = 10
OVERLAP = 0.2  # share of either hypercube that lies in the other
TAIL = 1.01  # of the Pareto distribution: its mean exists, its variance does not
SEPARATION = 6.0  # standard deviations between two normal distributions that do not overlap


def shifted(dim: int) -> Draw:
    """The generated mean moves along the diagonal."""
    return lambda mean, rng: (_normal(dim, rng), _normal(dim, rng) + mean)


def shifted_with_outlier(dim: int, outlier: float, *, real: bool) -> Draw:
    """The same, and one sample has one more row: an outlier on the diagonal."""

    def draw(mean: float, rng: Generator) -> Samples:
        x, y = shifted(dim)(mean, rng)
        row = torch.full((1, dim), outlier, dtype=x.dtype)
        return (torch.cat([x, row]), y) if real else (x, torch.cat([y, row]))

    return draw


def shifted_with_pareto(mean: float, rng: Generator) -> Samples:
    """The generated mean moves; a second column has the same heavy tail in both samples."""
    x, y = shifted(1)(mean, rng)
    return torch.cat([x, _pareto(rng)], 1), torch.cat([y, _pareto(rng)], 1)


def scaled(dim: int) -> Draw:
    """The generated standard deviation changes."""
    return lambda deviation, rng: (_normal(dim, rng), deviation * _normal(dim, rng))


def disjoint_beside_scaled(scale: float, rng: Generator) -> Samples:
    """One column is disjoint; the unit of the other, equal one changes in both samples."""
    x, y = disjoint_beside_equal(1, rng)
    unit = torch.tensor([1.0, scale], dtype=x.dtype)
    return x * unit, y * unit


def disjoint_beside_equal(extra: float, rng: Generator) -> Samples:
    """One column is disjoint, and an increasing number of other columns is equal."""
    x, y = _normal(1 + int(extra), rng), _normal(1 + int(extra), rng)
    y[:, 0] += SEPARATION
    return x, y


def cubes(dim: int, *, real: int | None = None) -> Draw:
    """Two hypercubes that overlap; both sizes change, or the generated one alone."""
    shift = 1 - OVERLAP ** (1 / dim)

    def draw(size: float, rng: Generator) -> Samples:
        m = int(size)
        return _uniform(real or m, dim, rng), _uniform(m, dim, rng) + shift

    return draw


def spheres(dim: int) -> Draw:
    """The surfaces of two hyperspheres around one centre; the generated radius changes."""
    return lambda radius, rng: (_surface(SIZE, dim, rng), radius * _surface(SIZE, dim, rng))


def ball_in_torus(*, real_ball: bool) -> Draw:
    """A solid ball in the hole of a solid torus; the generated size changes."""

    def draw(size: float, rng: Generator) -> Samples:
        real, generated = (_ball, _torus) if real_ball else (_torus, _ball)
        return real(SIZE, rng), generated(int(size), rng)

    return draw


def one_over_two_modes(dim: int) -> Draw:
    """Two real modes move apart; the generated distribution is one mode that spans both."""

    def draw(distance: float, rng: Generator) -> Samples:
        centres = torch.tensor([[-0.5], [0.5]]).expand(2, dim) * distance
        x = _mixture(centres, torch.ones(2), 1.0, rng)
        return x, math.hypot(1, distance) * _normal(dim, rng)

    return draw


def all_modes_but_one_fade(dim: int, deviation: float) -> Draw:
    """Of ten modes on the diagonal, all but the first lose this share of their weight."""

    def draw(dropped: float, rng: Generator) -> Samples:
        left = torch.full((MODES,), 1.0 - dropped)
        left[0] = 1
        return _some_of(_diagonal(dim), left, deviation, rng)

    return draw


def modes_drop_one_by_one(dim: int, deviation: float) -> Draw:
    """Of ten modes on the diagonal, the last ones are left out."""

    def draw(dropped: float, rng: Generator) -> Samples:
        left = (torch.arange(MODES) < MODES - dropped).float()
        return _some_of(_diagonal(dim), left, deviation, rng)

    return draw


def modes_drop_or_appear(modes: float, rng: Generator) -> Samples:
    """Five real modes in the plane; the generated sample has the first few of ten."""
    place = torch.arange(MODES)
    radius, angle = 6 * (place + 0.5).sqrt(), place * math.pi * (3 - math.sqrt(5))
    centres = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    real = _mixture(centres, (place < MODES / 2).float(), 0.25, rng)
    return real, _mixture(centres, (place < modes).float(), 0.25, rng)


def rounded(*, real: bool) -> Draw:
    """One of two equal samples is rounded to whole numbers, at an increasing scale."""

    def draw(scale: float, rng: Generator) -> Samples:
        x, y = scale * _normal(1, rng), scale * _normal(1, rng)
        return (x.round(), y) if real else (x, y.round())

    return draw


def _normal(dim: int, rng: Generator, size: int = SIZE) -> Tensor:
    return torch.randn(size, dim, generator=rng, dtype=torch.float64)


def _uniform(size: int, dim: int, rng: Generator) -> Tensor:
    return torch.rand(size, dim, generator=rng, dtype=torch.float64)


def _pareto(rng: Generator) -> Tensor:
    return (1 - _uniform(SIZE, 1, rng)) ** (-1 / TAIL)


def _surface(size: int, dim: int, rng: Generator) -> Tensor:
    return torch.nn.functional.normalize(_normal(dim, rng, size))


def _solid(size: int, dim: int, radius: float, rng: Generator) -> Tensor:
    return _surface(size, dim, rng) * radius * _uniform(size, 1, rng) ** (1 / dim)


def _ball(size: int, rng: Generator) -> Tensor:
    return _solid(size, 3, 0.8, rng)


def _torus(size: int, rng: Generator) -> Tensor:
    out, up = _solid(size, 2, 0.1, rng).unbind(1)
    angle = 2 * math.pi * _uniform(size, 1, rng)[:, 0]
    return torch.stack([(1 + out) * angle.cos(), (1 + out) * angle.sin(), up], 1)


def _diagonal(dim: int) -> Tensor:
    return torch.linspace(0, 10, MODES)[:, None].expand(MODES, dim)


def _some_of(centres: Tensor, left: Tensor, deviation: float, rng: Generator) -> Samples:
    real = _mixture(centres, torch.ones(len(centres)), deviation, rng)
    return real, _mixture(centres, left, deviation, rng)


def _mixture(centres: Tensor, weights: Tensor, deviation: float, rng: Generator) -> Tensor:
    mode = torch.multinomial(weights, SIZE, replacement=True, generator=rng)
    return centres[mode] + deviation * _normal(centres.shape[1], rng)
