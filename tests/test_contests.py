"""GANs: what each player receives, by hand; what f-GANs bound; what critics come to say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

import pushforward as pf
from pushforward.errors import ModelError
from pushforward.models.bigan import BiGAN
from pushforward.models.dragan import DRAGAN
from pushforward.models.f_gan import FGAN, FORMS
from pushforward.models.gan import GAN
from pushforward.models.hinge_gan import HingeGAN
from pushforward.models.info_gan import InfoGAN
from pushforward.models.lsgan import LSGAN
from pushforward.models.ra_gan import RaGAN
from pushforward.models.wgan import WGAN
from pushforward.space import Vector
from test_games import SPACES, N, assert_same, gradients, jittered, received, rows

LATENT = 4
Loss = Callable[[Tensor, Tensor], Tensor]  # of D(x) and D(g(z)), to be lowered


def log_sigmoid(d: Tensor) -> Tensor:
    return -torch.log1p(torch.exp(-d))


def original(real: Tensor, fake: Tensor) -> Tensor:
    return -log_sigmoid(real).mean() - log_sigmoid(-fake).mean()


# For each model: options, the critic's loss without penalty, the generator's.
GAMES: dict[str, tuple[Any, dict[str, Any], Loss, Loss]] = {
    "gan": (GAN, {}, original, lambda _, f: -log_sigmoid(f).mean()),
    "minimax": (GAN, {"minimax": True}, original, lambda _, f: log_sigmoid(-f).mean()),
    "lsgan": (
        LSGAN,
        {},
        lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2,
        lambda _, f: ((f - 1) ** 2).mean() / 2,
    ),
    "hinge": (
        HingeGAN,
        {},
        lambda r, f: (1 - r).clamp(min=0).mean() + (1 + f).clamp(min=0).mean(),
        lambda _, f: -f.mean(),
    ),
    "ra-gan": (
        RaGAN,
        {},
        lambda r, f: original(r - f.mean(), f - r.mean()),
        lambda r, f: original(f - r.mean(), r - f.mean()),
    ),
    "f-gan, kl": (
        FGAN,
        {"divergence": "kl"},
        lambda r, f: -(r.mean() - torch.exp(f - 1).mean()),
        lambda _, f: -f.mean(),
    ),
    "f-gan, reverse-kl": (
        FGAN,
        {"divergence": "reverse-kl"},
        lambda r, f: torch.exp(-r).mean() + f.mean() - 1,
        lambda _, f: 1 - f.mean(),
    ),
    "f-gan, reverse-kl, not minimax": (
        FGAN,
        {"divergence": "reverse-kl", "minimax": False},
        lambda r, f: torch.exp(-r).mean() + f.mean() - 1,
        lambda _, f: torch.exp(-f).mean(),
    ),
    "f-gan, pearson, minimax": (
        FGAN,
        {"divergence": "pearson", "minimax": True},
        lambda r, f: -(r.mean() - (f**2 / 4 + f).mean()),
        lambda _, f: -(f**2 / 4 + f).mean(),
    ),
    "wgan": (WGAN, {}, lambda r, f: f.mean() - r.mean(), lambda _, f: -f.mean()),
}


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("game", GAMES)
def test_each_player_receives_the_papers_gradient(game: str, kind: str) -> None:
    cls, options, critic_loss, generator_loss = GAMES[game]
    unpenalised = {"gamma": 0.0} if "gamma" in cls.options() else {}
    torch.manual_seed(0)
    model: Any = jittered(cls(SPACES[kind], latent=LATENT, width=16, **unpenalised, **options))
    x = rows(SPACES[kind])

    torch.manual_seed(1)
    fake = model.generator(torch.randn(N, LATENT))
    for loss, turn, player in (
        (critic_loss, "measure", "critic"),
        (generator_loss, "close_in", "generator"),
    ):
        by_hand = loss(model.critic(x), model.critic(fake))
        assert_same(received(model, turn, x)[player], gradients(by_hand, model, player))


@pytest.mark.parametrize("cls", [LSGAN, HingeGAN, RaGAN, FGAN])
def test_with_gamma_the_critic_pays_r1(cls: Any) -> None:
    torch.manual_seed(0)
    model: Any = jittered(cls(Vector(3), latent=LATENT, width=16, gamma=0.4))
    x = rows(Vector(3)).requires_grad_()
    (slope,) = torch.autograd.grad(model.critic(x).sum(), x)
    r1 = model.measure(x.detach(), None)["r1"]
    torch.testing.assert_close(r1, 0.4 * 3 / 2 * slope.square().sum(1))  # a variance of 1 a value


@pytest.mark.parametrize("one_sided", [True, False])
def test_dragan_penalises_slopes_around_real_rows(one_sided: bool) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"latent": LATENT, "width": 16, "penalty": 7.0, "reach": 0.5}
    model: Any = jittered(DRAGAN(Vector(3), one_sided=one_sided, **options))
    with torch.no_grad():
        model.critic.head.weight.mul_(4)  # slopes on both sides of 1
    x = rows(Vector(3))

    torch.manual_seed(1)
    fake = model.generator(torch.randn(N, LATENT)).detach()
    near = (x + 0.5 * torch.randn_like(x)).requires_grad_()
    (slope,) = torch.autograd.grad(model.critic(near).sum(), near, create_graph=True)
    off = slope.norm(dim=1) - 1
    assert bool((off > 0).any())
    assert bool((off < 0).any())
    penalty = 7.0 * (off.clamp(min=0) if one_sided else off).square().mean()
    loss = original(model.critic(x), model.critic(fake)) + penalty
    assert_same(received(model, "measure", x)["critic"], gradients(loss, model, "critic"))


# --- f-GAN

P, Q = Normal(0.0, 1.0), Normal(0.6, 1.3)
GRID = torch.linspace(-14, 14, 20_001, dtype=torch.float64)


def integral(values: Tensor) -> float:
    return float(torch.trapezoid(values, GRID))


def divergence(name: str) -> float:
    """D_f(P || Q) as it is written in textbooks, by quadrature."""
    p, q = P.log_prob(GRID).exp(), Q.log_prob(GRID).exp()
    m = (p + q) / 2
    return {
        "kl": lambda: integral(p * (p / q).log()),
        "reverse-kl": lambda: integral(q * (q / p).log()),
        "pearson": lambda: integral((p - q) ** 2 / q),
        "hellinger": lambda: integral((p.sqrt() - q.sqrt()) ** 2),
        "js": lambda: integral(p * (p / m).log() + q * (q / m).log()),
    }[name]()


def best(name: str) -> Tensor:
    """The critic's values v at which the bound is tight: T(v) = f'(p / q)."""
    u: Tensor = (P.log_prob(GRID) - Q.log_prob(GRID)).exp()
    return {
        "kl": 1 + u.log(),
        "reverse-kl": u.log(),
        "pearson": 2 * (u - 1),
        "hellinger": u.log() / 2,
        "js": u.log(),
    }[name]


@pytest.mark.parametrize("name", FORMS)
def test_the_best_critic_of_an_f_gan_reads_the_divergence_and_others_read_less(name: str) -> None:
    model = FGAN(Vector(1), divergence=name)
    p, q = P.log_prob(GRID).exp(), Q.log_prob(GRID).exp()

    def bound(v: Tensor) -> float:
        return integral(-p * model.real(v) - q * model.fake(v))

    expected = divergence(name)
    assert bound(best(name)) == pytest.approx(expected, rel=1e-6)
    others = [bound(best(name) + 0.3 * shift) for shift in (GRID.sin(), GRID.cos(), -GRID.sin())]
    assert max(others) < expected


def test_a_divergence_that_is_not_known_is_refused() -> None:
    with pytest.raises(ModelError, match="did you mean 'hellinger'"):
        FGAN(Vector(2), divergence="helinger")


# --- what critics come to say


def test_the_critic_of_a_least_squares_gan_comes_to_say_p_over_p_plus_q() -> None:
    """On three points with known shares, where a critic can say anything."""
    shares = {"data": torch.tensor([0.6, 0.3, 0.1]), "model": torch.tensor([0.2, 0.3, 0.5])}
    d = torch.zeros(3, requires_grad=True)
    model = LSGAN(Vector(1), gamma=0.0)
    optimizer = torch.optim.SGD([d], 0.5)
    for _ in range(400):
        loss = (shares["data"] * model.real(d) + shares["model"] * model.fake(d)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # A step shrinks the error by 1 - rate (p + q), at most 0.7: what is left is rounding.
    expected = shares["data"] / (shares["data"] + shares["model"])
    torch.testing.assert_close(d.detach(), expected, rtol=0, atol=1e-4)


def test_the_weights_of_a_wgan_stay_within_its_clip() -> None:
    fitted = pf.fit("ring", "wgan", clip=0.05, budget=5, batch_size=50, width=16, latent=2, ema=0)
    weights = torch.cat([w.flatten() for w in fitted.model.player("critic").parameters()])
    assert float(weights.abs().max()) == pytest.approx(0.05)


# --- InfoGAN and BiGAN


def test_what_info_gan_cannot_read_is_minus_log_q_of_its_factors() -> None:
    torch.manual_seed(0)
    model: Any = jittered(InfoGAN(Vector(3), latent=LATENT, width=16, factors=2, information=0.7))
    torch.manual_seed(1)
    unread = model.close_in(N, None)["unread"]
    torch.manual_seed(1)
    z = torch.randn(N, LATENT)
    q = model.read(model.generator(z), None)
    reference = Normal(q.mean, (0.5 * q.log_var).exp()).log_prob(z[:, :2]).sum(1)
    torch.testing.assert_close(unread, -0.7 * reference)


def test_the_bound_of_info_gan_becomes_positive_and_less_than_the_information() -> None:
    """I(e; g(z)) >= H(e) + E log q: 0 for factors that cannot be read at all."""
    fitted = pf.fit(
        "ring", "info-gan", budget="300 steps", seed=0, factors=1, latent=2, width=64,
        batch_size=128, information=1.0,
    )  # fmt: skip
    last = [r["terms"] for r in fitted.history if r["terms"]][-1]
    entropy = 0.5 * math.log(2 * math.pi * math.e)  # of a standard normal
    assert entropy - last["close_in.unread"] > 0.5


@pytest.mark.parametrize("kind", SPACES)
def test_bigan_gives_each_player_the_papers_gradient(kind: str) -> None:
    torch.manual_seed(0)
    model: Any = jittered(BiGAN(SPACES[kind], latent=LATENT, gamma=0.0, width=16))
    assert isinstance(model, BiGAN)
    x = rows(SPACES[kind])
    torch.manual_seed(1)
    mu, log_var = model.encoder(x)
    inferred, z = mu + (0.5 * log_var).exp() * torch.randn_like(mu), torch.randn(N, LATENT)
    real, fake = model.critic(x, inferred), model.critic(model.generator(z), z)
    assert_same(
        received(model, "measure", x)["critic"], gradients(original(real, fake), model, "critic")
    )
    swapped = original(-real, -fake)
    ours = received(model, "close_in", x)
    for player in ("encoder", "generator"):
        assert_same(ours[player], gradients(swapped, model, player))
