"""Two-dimensional distributions with a known density."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Floats

N_POINTS = 10_000


@dataclass(frozen=True)
class Toy:
    """A distribution in the plane: draw(n, rng) -> points (n, 2), and log densities of points."""

    draw: Callable[[int, np.random.Generator], Floats]
    log_density: Callable[[Tensor], Tensor]


def _gaussians(centres: Floats, sigma: float, weights: Floats | None = None) -> Toy:
    """Return a mixture of Gaussians N(centre, sigma^2 I), by default with equal weights."""
    share = np.full(len(centres), 1 / len(centres)) if weights is None else weights

    def draw(n: int, rng: np.random.Generator) -> Floats:
        chosen = rng.choice(len(centres), n, p=share)
        return centres[chosen] + sigma * rng.standard_normal((n, 2))

    def log_density(points: Tensor) -> Tensor:
        means, log_share = torch.from_numpy(centres), torch.from_numpy(share).log()
        blocks = []
        for block in torch.split(points.double(), 2048):
            squared = torch.cdist(block, means).square()
            blocks.append((log_share - squared / (2 * sigma**2)).logsumexp(1))
        return torch.cat(blocks) - math.log(2 * math.pi * sigma**2)

    return Toy(draw, log_density)


def _noisy_curve(curve: Callable[[Floats], Floats], sigma: float, knots: int = 2000) -> Toy:
    """Return Gaussian noise around a curve [0, 1] -> R^2, sampled at `knots` equidistant points.

    The knots are less than sigma / 4 apart, so the mixture is smooth; its density is exact.
    """
    return _gaussians(curve((np.arange(knots) + 0.5) / knots), sigma)


def _ring() -> Toy:
    angle = 2 * np.pi * np.arange(8) / 8
    return _gaussians(np.stack([np.cos(angle), np.sin(angle)], 1), 0.05)


def _grid() -> Toy:
    side = np.linspace(-1, 1, 5)
    return _gaussians(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), 0.03)


def _polar(radius: Floats, angle: Floats) -> Floats:
    """Return points (n, 2) at polar coordinates."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def _moons(t: Floats) -> Floats:
    angle = np.pi * np.where(t < 0.5, 2 * t, 2 * t - 1)
    upper = np.stack([np.cos(angle), np.sin(angle)], 1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    return np.concatenate([upper[t < 0.5], lower[t >= 0.5]])


def _swiss_roll(t: Floats) -> Floats:
    angle = 1.5 * np.pi * (1 + 2 * np.sqrt(t))
    radius = angle / (4.5 * np.pi)
    return _polar(radius, angle)


def _circles(t: Floats) -> Floats:
    angle, radius = 4 * np.pi * t, np.where(t < 0.5, 1.0, 0.5)
    return _polar(radius, angle)


def _spiral(t: Floats) -> Floats:
    arm, along = np.divmod(t * 2, 1.0)
    angle = 3 * np.pi * np.sqrt(along) + np.pi * arm
    radius = np.sqrt(along)
    return _polar(radius, angle)


def _pinwheel(t: Floats) -> Floats:
    arm, along = np.divmod(t * 5, 1.0)
    radius = 0.15 + 0.85 * along
    angle = 2 * np.pi * arm / 5 + 0.25 * np.exp(2 * radius)
    return _polar(radius, angle)


def _checkerboard() -> Toy:
    """Return the uniform distribution on the black squares of a 4 x 4 board on [-1, 1]^2."""
    rows, columns = np.meshgrid(np.arange(4), np.arange(4), indexing="ij")
    black = np.stack([rows, columns], -1)[(rows + columns) % 2 == 0]

    def draw(n: int, rng: np.random.Generator) -> Floats:
        corner = black[rng.integers(len(black), size=n)].astype(np.float64)
        points: Floats = (corner + rng.random((n, 2))) / 2 - 1
        return points

    def log_density(points: Tensor) -> Tensor:
        square = ((points.double() + 1) * 2).floor()
        on_black = ((square >= 0) & (square < 4)).all(1) & (square.sum(1) % 2 == 0)
        return torch.where(on_black, -math.log(len(black) / 4), -torch.inf).double()

    return Toy(draw, log_density)


TOYS: dict[str, Callable[[], Toy]] = {
    "ring": _ring,
    "grid": _grid,
    "moons": lambda: _noisy_curve(_moons, 0.08),
    "swiss-roll": lambda: _noisy_curve(_swiss_roll, 0.03),
    "circles": lambda: _noisy_curve(_circles, 0.05),
    "spiral": lambda: _noisy_curve(_spiral, 0.03),
    "pinwheel": lambda: _noisy_curve(_pinwheel, 0.04),
    "checkerboard": _checkerboard,
}
