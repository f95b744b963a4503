"""The Dirac GAN (Mescheder et al. 2018): which of our games converge, against the theory.

Data are a point mass at 0, generated rows one at theta, the critic is D(x) = psi x + b, b the value
that the best critic has where the two masses agree. Near the equilibrium (theta, psi) = (0, 0)
small gradient steps, in turns or at once, converge if the eigenvalues of the game's vector field
have negative real parts, and go round in circles, or out, if they are imaginary.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pushforward.families.model import Turn
from pushforward.models.dragan import DRAGAN
from pushforward.models.f_gan import FGAN
from pushforward.models.gan import GAN
from pushforward.models.hinge_gan import HingeGAN
from pushforward.models.lsgan import LSGAN
from pushforward.models.r3gan import R3GAN
from pushforward.models.ra_gan import RaGAN
from pushforward.models.wgan import WGAN
from pushforward.models.wgan_gp import WGANGP
from pushforward.space import Space, Vector


class Plain:
    """A critic that is linear in x, and a generator that is one number."""

    def __init__(self, width: int, depth: int) -> None:
        del width, depth
        self.width = 1

    def reader(self, space: Space, classes: int) -> nn.Module:
        """Return what gives x itself."""
        del space, classes
        return Itself()

    def writer(self, space: Space, latent: int, outputs: int, classes: int) -> nn.Module:
        """Return what gives theta."""
        del space, latent, outputs, classes
        return Point()

    def map_reader(self, space: Space, classes: int) -> nn.Module:
        """Not for vectors."""
        raise NotImplementedError

    def map_writer(self, space: Space, latent: int, outputs: int, classes: int) -> nn.Module:
        """Not for vectors."""
        raise NotImplementedError


class Itself(nn.Module):
    """x -> x."""

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        del c
        return x


class Point(nn.Module):
    """z -> theta."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        del c
        return self.theta.expand(len(z), 1)


ROWS = 4


def dirac(cls: Any, bias: float = 0.0, **options: Any) -> Any:
    """A model of the library with these two networks; b stands still."""
    model = cls(Vector(1), latent=1, networks=Plain, **options).double()
    del model.critic.head.bias
    model.critic.head.register_buffer("bias", torch.tensor([bias], dtype=torch.float64))
    return model


def put(model: Any, theta: float, psi: float) -> None:
    with torch.no_grad():
        model.generator.trunk.theta.fill_(theta)
        model.critic.head.weight.fill_(psi)


def where(model: Any) -> tuple[float, float]:
    return model.generator.trunk.theta.item(), model.critic.head.weight.item()


def move(model: Any, own: Turn) -> Tensor:
    """Minus the gradient that a turn of ours gives its player, a single number."""
    x = torch.zeros(ROWS, 1, dtype=torch.float64)
    terms = getattr(model, own.name)(x if own.data else ROWS, None)
    loss = torch.stack([terms[n].mean() for n in terms if n not in model.noted]).sum()
    (parameter,) = (p for player in own.players for p in model.player(player).parameters())
    slope: Tensor = torch.autograd.grad(loss, parameter)[0]
    return -slope.flatten()


def field(model: Any, theta: float, psi: float) -> Tensor:
    """The moves of both players, (theta, psi)."""
    put(model, theta, psi)
    found = {own.players[0]: move(model, own) for own in model.turns()}
    return torch.cat([found["generator"], found["critic"]])


def eigenvalues(model: Any) -> list[complex]:
    """Those of the field's Jacobian at (0, 0), by central differences."""
    h = 1e-5
    columns = [
        (field(model, *(h * d for d in at)) - field(model, *(-h * d for d in at))) / (2 * h)
        for at in ((1, 0), (0, 1))
    ]
    values = torch.linalg.eigvals(torch.stack(columns, 1))
    return sorted((complex(v) for v in values), key=lambda v: (v.real, v.imag))


# For each game: options, b, f'(0) of the paper (what turns it), and 0 or what damps it.
# With R1, f(t) = -log(1 + e^-t): -gamma/2 +- sqrt(gamma^2/4 - f'(0)^2) (their section 4.1).
GAMES: dict[str, tuple[Any, dict[str, Any], float, float, float]] = {
    "gan": (GAN, {"gamma": 0.0}, 0.0, 0.5, 0.0),
    "gan, minimax": (GAN, {"gamma": 0.0, "minimax": True}, 0.0, 0.5, 0.0),
    "gan, r1": (GAN, {"gamma": 0.3}, 0.0, 0.5, 0.3),
    "gan, strong r1": (GAN, {"gamma": 1.6}, 0.0, 0.5, 1.6),
    "gan, lecam": (GAN, {"gamma": 0.0, "lecam": 0.5}, 0.0, 0.5, 0.0),
    "lsgan": (LSGAN, {"gamma": 0.0}, 0.5, 0.5, 0.0),
    "lsgan, r1": (LSGAN, {"gamma": 0.3}, 0.5, 0.5, 0.3),
    "hinge": (HingeGAN, {"gamma": 0.0}, 0.0, 1.0, 0.0),
    "hinge, r1": (HingeGAN, {"gamma": 0.3}, 0.0, 1.0, 0.3),
    "f-gan, kl": (FGAN, {"gamma": 0.0, "divergence": "kl"}, 1.0, 1.0, 0.0),
    "f-gan, js, r1": (FGAN, {"gamma": 0.3, "divergence": "js"}, 0.0, 0.5, 0.3),
    "ra-gan": (RaGAN, {"gamma": 0.0}, 0.0, 1.0, 0.0),
    "ra-gan, r1": (RaGAN, {"gamma": 0.3}, 0.0, 1.0, 0.3),
    "r3gan without its penalties": (R3GAN, {"gamma": 0.0}, 0.0, 0.5, 0.0),
    "r3gan": (R3GAN, {"gamma": 0.3}, 0.0, 0.5, 0.6),  # R1 and R2
    "wgan": (WGAN, {"clip": 1.0}, 0.0, 1.0, 0.0),
}


@pytest.mark.parametrize("game", GAMES)
def test_the_eigenvalues_at_the_equilibrium_are_those_of_the_theory(game: str) -> None:
    cls, options, bias, turns, damps = GAMES[game]
    root = complex(damps**2 / 4 - turns**2) ** 0.5
    expected = sorted((-damps / 2 - root, -damps / 2 + root), key=lambda v: (v.real, v.imag))
    found = eigenvalues(dirac(cls, bias, **options))
    for ours, theirs in zip(found, expected, strict=True):
        # differences of 1e-5 are off by its square, and by rounding over it
        assert abs(ours - theirs) < 1e-5


STEP, STEPS = 0.1, 400
PLAYED = [
    *("gan", "gan, r1", "lsgan", "lsgan, r1", "hinge", "hinge, r1", "f-gan, js, r1"),
    *("ra-gan, r1", "r3gan without its penalties", "r3gan", "wgan"),
]


def distances(model: Any, *, at_once: bool) -> list[float]:
    """The distances from the equilibrium, by steps of steepest descent from (1, 0.5)."""
    put(model, 1.0, 0.5)
    players = {"critic": model.critic.head.weight, "generator": model.generator.trunk.theta}
    found, turns = [], model.turns()
    for _ in range(STEPS):
        moves = [move(model, own) for own in turns] if at_once else []
        for place, own in enumerate(turns):
            way = moves[place] if at_once else move(model, own)
            with torch.no_grad():
                players[own.players[0]].add_(STEP * way)
                model.after_step(own.name)
        found.append(math.hypot(*where(model)))
    return found


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("game", PLAYED)
def test_games_converge_where_the_theory_says_so(game: str, at_once: bool) -> None:
    cls, options, bias, _, damps = GAMES[game]
    model = dirac(cls, bias, **options)
    found = distances(model, at_once=at_once)
    # Damped, 200 steps multiply the distance by exp(-gamma/2 * 20) = 0.05, or, where players move
    # at once, by up to |1 + 0.1 lambda|^200 = 0.13 (hinge). Without damping it grows, or shrinks as
    # a power of time does: the non-saturating game's field points inwards far from the equilibrium.
    fallen = found[-1] / found[-201]
    assert fallen < 0.2 if damps > 0 else fallen > 0.6


@pytest.mark.parametrize("cls", [WGANGP, DRAGAN])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_slope_of_1_is_asked_for_and_the_game_does_not_come_to_rest(
    cls: Any, at_once: bool
) -> None:
    """At the equilibrium the slope should be 0; these penalties want 1 (their section 3.3)."""
    assert min(distances(dirac(cls, penalty=1.0, one_sided=False), at_once=at_once)[-200:]) > 0.25


def test_one_sided_the_penalty_is_0_near_the_equilibrium_so_it_damps_nothing() -> None:
    found = eigenvalues(dirac(WGANGP, penalty=5.0, one_sided=True))
    assert max(abs(v.real) for v in found) < 1e-5


def test_a_faster_critic_damps_nothing_either() -> None:
    """Two time scales alone multiply a row of the Jacobian: +- i f'(0) sqrt(pace)."""
    model = dirac(GAN, gamma=0.0)
    h = 1e-5
    pace = torch.tensor([1.0, 5.0], dtype=torch.float64)
    columns = [
        pace * (field(model, *(h * d for d in at)) - field(model, *(-h * d for d in at))) / (2 * h)
        for at in ((1, 0), (0, 1))
    ]
    values = torch.linalg.eigvals(torch.stack(columns, 1))
    assert float(values.real.abs().max()) < 1e-5
    assert float(values.imag.abs().max()) == pytest.approx(0.5 * math.sqrt(5), abs=1e-5)


@pytest.mark.parametrize("steps", [1, 3])
def test_unrolling_damps_by_what_the_critic_will_have_learned(steps: int) -> None:
    """To first order in the rate, k steps add -k rate (dG/dpsi)(dL/dpsi) to the generator's move.

    At (0, 0) the critic after k steps is psi - k rate f'(0) theta, so theta' = f'(0) psi - k rate
    f'(0)^2 theta, and what differentiates through it adds as much again: trace -2 k rate f'(0)^2.
    """
    model = dirac(GAN, gamma=0.0, unroll=steps, unroll_rate=0.2)
    found = eigenvalues(model)
    assert sum(v.real for v in found) == pytest.approx(-2 * steps * 0.2 * 0.25, abs=1e-5)
    assert max(v.real for v in found) < -1e-3
