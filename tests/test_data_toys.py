"""Toys: the density that they claim is the density that they have."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from pushforward.data import read
from pushforward.data.toys import TOYS

EXTENT = 2.5
WIDTHS = {"ring": 0.05, "grid": 0.03, "moons": 0.08, "swiss-roll": 0.03, "circles": 0.05}
WIDTHS |= {"spiral": 0.03, "pinwheel": 0.04}


@pytest.mark.parametrize("name", WIDTHS)
def test_densities_integrate_to_one_and_agree_with_the_samples(name: str) -> None:
    toy, step = TOYS[name](), WIDTHS[name]  # a Riemann sum in steps of sigma errs by 2 exp(-2 pi^2)
    ticks = torch.arange(-EXTENT, EXTENT, step, dtype=torch.float64)
    points = torch.cartesian_prod(ticks, ticks)
    mass = toy.log_density(points).exp() * step**2
    assert float(mass.sum()) == pytest.approx(1, abs=1e-6)
    draws = toy.draw(100_000, np.random.default_rng(0))
    mean = (mass[:, None] * points).sum(0).numpy()
    second = (mass[:, None, None] * points[:, :, None] * points[:, None]).sum(0).numpy()
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.01)
    np.testing.assert_allclose(draws.T @ draws / 100_000, second, atol=0.015)


Path = Callable[[float], tuple[float, float]]


def arc(turn: float, centre: tuple[float, float]) -> Path:
    return lambda t: (
        centre[0] + turn * math.cos(math.pi * t),
        centre[1] + turn * math.sin(math.pi * t),
    )


def roll(t: float) -> tuple[float, float]:
    angle = 1.5 * math.pi * (1 + 2 * math.sqrt(t))
    return angle / (4.5 * math.pi) * math.cos(angle), angle / (4.5 * math.pi) * math.sin(angle)


CURVES: dict[str, tuple[float, list[Path]]] = {
    "moons": (0.08, [arc(1, (0, 0)), arc(-1, (1, 0.5))]),
    "swiss-roll": (0.03, [roll]),
}


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_with_noise_has_the_integral_of_its_gaussians_as_density(name: str) -> None:
    sigma, paths = CURVES[name]
    toy = TOYS[name]()
    for x, y in toy.draw(5, np.random.default_rng(3)).tolist():

        def gaussian(t: float, path: Path, at: tuple[float, float] = (x, y)) -> float:
            squared = math.dist(path(t), at) ** 2
            return math.exp(-squared / (2 * sigma**2)) / (2 * math.pi * sigma**2)

        pieces = np.linspace(0, 1, 40)
        density = sum(
            quad(gaussian, a, b, args=(path,))[0]
            for path in paths
            for a, b in itertools.pairwise(pieces)
        ) / len(paths)
        claimed = float(toy.log_density(torch.tensor([[x, y]])))
        assert claimed == pytest.approx(math.log(density), abs=1e-5)


def test_the_checkerboard_is_even_on_its_black_squares() -> None:
    toy = TOYS["checkerboard"]()
    draws = toy.draw(80_000, np.random.default_rng(0))
    density = toy.log_density(torch.from_numpy(draws)).exp()
    np.testing.assert_allclose(density, 0.5)  # 8 squares of 1/2 x 1/2
    counts = np.histogram2d(draws[:, 0], draws[:, 1], bins=4, range=[[-1.0, 1.0], [-1.0, 1.0]])[0]
    assert sorted(np.count_nonzero(counts, axis=0)) == [2, 2, 2, 2]
    assert np.abs(counts[counts > 0] - 10_000).max() < 400
    outside = torch.tensor([[-0.75, -0.25], [1.5, 0.0], [0.0, -3.0]])
    assert bool(toy.log_density(outside).isneginf().all())


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_is_read_with_its_density(name: str) -> None:
    data = read(name)
    assert len(data) == 10_000
    assert data.log_density is not None
    raw = torch.from_numpy(data.raw("test"))
    typical, odd = (data.log_density(p).clamp(min=-50).mean() for p in (raw, raw + 0.25))
    assert typical > odd
    assert read(name).digest == data.digest
