"""The mathematics of the games, against closed forms and explicit autograd."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor, nn
from torch.nn.functional import softplus

from pushforward.data import read
from pushforward.families.codes import Code, kl
from pushforward.families.decoders import Decoder
from pushforward.families.model import Model, Terms, Turn
from pushforward.models import all_models
from pushforward.models.gan import GAN
from pushforward.models.r3gan import R3GAN
from pushforward.models.vae import VAE
from pushforward.nn.likelihoods import Gaussian
from pushforward.nn.priors import Mixture, Uniform
from pushforward.runs.fitted import build
from pushforward.runs.folder import new_config
from pushforward.space import Cells, Image, Space, Vector
from pushforward.training.loop import Loop
from pushforward.training.settings import Settings
from pushforward.training.turn_optimizer import TurnOptimizer

SPACES: dict[str, Space] = {
    "vector": Vector(3),
    "image": Image(1, 8, 8),
    "cells": Cells((2, 3, 4)),
}


def rows(space: Space, n: int, seed: int = 0) -> Tensor:
    """Rows that lie in a space."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(space, Cells):
        parts = [torch.randint(k, (n,), generator=generator) for k in space.sizes]
        hot = [nn.functional.one_hot(p, k) for p, k in zip(parts, space.sizes, strict=True)]
        return torch.cat(hot, 1).float()
    x = torch.randn(n, *space.shape, generator=generator)
    return x.tanh() if isinstance(space, Image) else x


def small(name: str) -> dict[str, Any]:
    """Options of a model that is quickly played: the small latent dimension where it has one."""
    return {"latent": 4} if "latent" in all_models()[name].options() else {}


def play(model: Model, turn: Turn, x: Tensor) -> Terms:
    """The terms of one turn."""
    terms: Terms = getattr(model, turn.name)(x if turn.data else len(x), None)
    return terms


# --- turns


@pytest.mark.parametrize("name", all_models())
@pytest.mark.parametrize("kind", SPACES)
def test_each_turn_moves_its_own_players_and_nobody_else(name: str, kind: str) -> None:
    torch.manual_seed(0)
    model = all_models()[name](SPACES[kind], 2, **small(name))
    c = nn.functional.one_hot(torch.arange(8) % 2, 2).float()
    for turn in model.turns():
        before = {n: p.clone() for n, p in model.named_parameters()}
        TurnOptimizer(model, turn, None).step(
            rows(SPACES[kind], 8) if turn.data else 8, c, 1.0, None
        )
        moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        owners = {n.split(".")[0] for n in moved}
        movers = {p for p in turn.players if list(model.player(p).parameters())}
        assert owners == movers


@pytest.mark.parametrize("name", all_models())
@pytest.mark.parametrize("kind", SPACES)
def test_a_turn_gives_one_value_a_row_and_nothing_depends_on_other_rows(
    name: str, kind: str
) -> None:
    """A turn is a pure function of parameters, batch and random state."""
    torch.manual_seed(0)
    model = all_models()[name](SPACES[kind], **small(name))
    x = rows(SPACES[kind], 6)
    for turn in model.turns():
        torch.manual_seed(1)
        first = play(model, turn, x)
        torch.manual_seed(1)
        again = play(model, turn, x)
        for term, value in first.items():
            assert value.shape == (6,)
            torch.testing.assert_close(value, again[term], rtol=0, atol=0)


# --- the VAE


def test_the_elbo_is_distortion_plus_beta_times_rate() -> None:
    torch.manual_seed(0)
    model = VAE(Vector(3), latent=2, beta=0.7)
    x = rows(Vector(3), 5)
    torch.manual_seed(1)
    terms = model.elbo(x, None)
    torch.manual_seed(1)
    mu, log_var = model.encoder(x)
    z = mu + (0.5 * log_var).exp() * torch.randn(5, 2)
    assert isinstance(model.decoder, Decoder)
    assert isinstance(model.decoder.likelihood, Gaussian)
    sigma = model.decoder.likelihood.log_sigma.exp()
    p = torch.distributions.Normal(model.decoder.trunk(z), sigma)
    q = torch.distributions.Normal(mu, (0.5 * log_var).exp())
    rate = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(terms["distortion"], -p.log_prob(x).sum(1))
    torch.testing.assert_close(terms["rate"], 0.7 * rate)


class LinearEncoder(nn.Module):
    def __init__(self, d: int, latent: int) -> None:
        super().__init__()
        self.f1 = nn.Linear(d, latent)
        self.f2 = nn.Parameter(torch.zeros(latent))

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean = self.f1(x)
        return mean, self.f2.expand_as(mean)


class Unconditional(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, z: Tensor, c: Tensor | None = None) -> Any:
        return self.inner(z)


def test_a_linear_vae_reaches_the_likelihood_of_probabilistic_pca() -> None:
    """Tipping & Bishop 1999: the maximum likelihood has a closed form in the eigenvalues."""
    d, latent, n = 5, 2, 1000
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(n, latent)) @ rng.normal(size=(latent, d)) + 0.5 * rng.normal(
        size=(n, d)
    )
    data = read(raw)
    settings = Settings(3000, batch_size=800, ema=0.0, learning_rate=5e-3)
    config = new_config(VAE, {"latent": latent}, asdict(settings), data)
    torch.manual_seed(0)
    model = build("vae", data.schema, {"latent": latent}, 0, torch.device("cpu"))
    assert isinstance(model, VAE)
    model.encoder = LinearEncoder(d, latent)  # type: ignore[assignment]  # a stand-in player
    model.decoder.trunk = Unconditional(nn.Linear(latent, d))  # likewise
    model.decoder.likelihood.raw = nn.Parameter(torch.zeros(1))  # one sigma, as in the theory
    Loop(model, data, settings, None, config).run()
    x = data.subset("train")[0].double()
    eigenvalues = np.linalg.eigvalsh(np.cov(x.numpy().T, bias=True))[::-1]
    noise = eigenvalues[latent:].mean()
    log_det = np.log(eigenvalues[:latent]).sum() + (d - latent) * math.log(noise)
    exact = -0.5 * (d * math.log(2 * math.pi) + log_det + d)
    with torch.no_grad():
        torch.manual_seed(1)
        # 200 draws for each of 800 rows: the standard error of the mean is below 0.003 nats.
        draws = [sum(t.mean() for t in model.elbo(x.float(), None).values()) for _ in range(200)]
    elbo = -float(torch.stack(draws).mean())  # type: ignore[arg-type]  # sum of tensors
    assert abs(elbo - exact) < 0.01


# --- priors


def test_the_kl_from_a_uniform_prior_is_invariant_under_its_bijection() -> None:
    """Integrate q log q/p in the code's own coordinates and compare with the closed form."""
    mu, sigma = 0.4, 0.6
    root = math.sqrt(3)

    def integrand(z: float) -> float:
        e = stats.norm.ppf((z / root + 1) / 2)
        q = stats.norm.pdf(e, mu, sigma) / (2 * root * stats.norm.pdf(e))
        return float(q * math.log(q * 2 * root)) if q > 0 else 0.0

    exact, _ = integrate.quad(integrand, -root, root, limit=400)
    q = Code(torch.tensor([[mu]]), torch.tensor([[2 * math.log(sigma)]]))
    assert kl(q, Uniform(1), q.mean).item() == pytest.approx(exact, abs=1e-5)


def test_a_uniform_prior_is_uniform_with_variance_one() -> None:
    torch.manual_seed(0)
    z = Uniform(1).sample(4000).flatten().numpy()
    root = math.sqrt(3)
    assert stats.kstest(z, "uniform", (-root, 2 * root)).pvalue > 0.01


def test_a_mixture_draws_from_its_own_density() -> None:
    torch.manual_seed(0)
    prior = Mixture(1, components=3)
    draws = prior.draw(4000).detach().flatten().numpy()
    grid = np.linspace(-8, 8, 4001)
    density = prior.log_prob(torch.from_numpy(grid)[:, None].float()).exp().detach().numpy()
    cdf = integrate.cumulative_trapezoid(density, grid, initial=0)
    assert cdf[-1] == pytest.approx(1, abs=1e-4)
    assert stats.kstest(draws, lambda v: np.interp(v, grid, cdf)).pvalue > 0.01


def test_the_kl_to_a_mixture_is_right_in_expectation() -> None:
    torch.manual_seed(0)
    prior = Mixture(1, components=3)
    q = Code(torch.full((40_000, 1), 0.3), torch.full((40_000, 1), -1.0))
    estimate = kl(q, prior, q.rsample()).detach()
    e = torch.linspace(-4, 4, 20_001)[:, None]
    at = Code(torch.full_like(e, 0.3), torch.full_like(e, -1.0))
    log_q = at.log_prob(e)
    integrand = (log_q.exp() * (log_q - prior.log_prob(e))).detach()
    exact = float(torch.trapezoid(integrand, e[:, 0]))
    error = 4 * float(estimate.std()) / math.sqrt(len(estimate))  # four standard errors
    assert abs(float(estimate.mean()) - exact) < error


# --- the GANs


@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("kind", SPACES)
def test_the_penalty_and_its_gradient_match_an_explicit_double_backward(
    kind: str, pack: int
) -> None:
    torch.manual_seed(0)
    model = R3GAN(SPACES[kind], latent=4, pack=pack).double()
    # the second layer of a residual block starts at 0: move it, so that every weight matters
    with torch.no_grad():
        for parameter in model.critic.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    x = rows(SPACES[kind], 4).double()
    values, steepness = model.judge(x, None)
    weights = list(model.critic.parameters())
    ours = torch.autograd.grad(steepness.mean(), weights, allow_unused=True)

    leaf = x.clone().requires_grad_()
    out = model.critic(leaf)
    (slope,) = torch.autograd.grad(out.sum(), leaf, create_graph=True)
    packs = slope.reshape(len(x) // pack, -1).square().sum(1)
    theirs = torch.autograd.grad(packs.mean(), weights, allow_unused=True)
    torch.testing.assert_close(values, out)
    torch.testing.assert_close(steepness, packs)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b)


class Point(nn.Module):
    """A generator that always gives theta."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([[theta]]))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.theta.expand(len(z), 1)


class Slope(nn.Module):
    """A linear critic D(x) = psi x."""

    pack = 1

    def __init__(self, psi: float) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(psi))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.psi * x.squeeze(1)


def dirac(model: GAN | R3GAN, steps: int = 2000, rate: float = 0.1) -> tuple[float, int]:
    """Play alternating gradient steps on data at 0 (Mescheder et al. 2018).

    Return how far (theta, psi) are from the equilibrium (0, 0), and how often theta crossed 0.
    """
    point, slope = Point(1.0), Slope(1.0)
    model.generator, model.critic = point, slope  # type: ignore[assignment]  # stand-ins
    x, crossings, last = torch.zeros(1, 1), 0, 1.0
    for _ in range(steps):
        for turn in model.turns():
            movers = [p for name in turn.players for p in model.player(name).parameters()]
            loss = torch.stack([t.mean() for t in play(model, turn, x).values()])
            for p, g in zip(movers, torch.autograd.grad(loss.sum(), movers), strict=True):
                p.data.sub_(rate * g)
        theta, psi = point.theta.item(), slope.psi.item()
        crossings, last = crossings + (theta * last < 0), theta
    return math.hypot(theta, psi), crossings


def test_r3gan_converges_on_the_dirac_gan() -> None:
    assert dirac(R3GAN(Vector(1), latent=1, gamma=1.0))[0] < 1e-3


def test_gan_with_r1_converges_on_the_dirac_gan() -> None:
    assert dirac(GAN(Vector(1), latent=1, gamma=1.0))[0] < 1e-3


def test_plain_gan_circles_on_the_dirac_gan() -> None:
    """Its eigenvalues are imaginary: it goes round and round, and only creeps inwards.

    With s = psi theta, the flow of the non-saturating game loses theta^2 + psi^2 at the rate
    2 s tanh(s / 2), of fourth order in the distance: the distance falls as 1 / sqrt(t), not as
    exp(-t). After 2,000 steps it is hundreds of times what the penalised games reach.
    """
    distance, crossings = dirac(GAN(Vector(1), latent=1, gamma=0.0))
    assert distance > 0.1
    assert crossings > 20


def test_the_critics_terms_are_those_of_the_papers() -> None:
    torch.manual_seed(0)
    x = rows(Vector(3), 6)
    for cls in (GAN, R3GAN):
        model = cls(Vector(3), latent=2, gamma=0.5)
        torch.manual_seed(1)
        terms = model.measure(x, None)
        torch.manual_seed(1)
        fake = model.generator(torch.randn(6, 2)).detach()
        real_score, fake_score = model.critic(x), model.critic(fake)
        if cls is GAN:
            torch.testing.assert_close(terms["real"], softplus(-real_score))
            torch.testing.assert_close(terms["fake"], softplus(fake_score))
        else:
            torch.testing.assert_close(terms["pair"], softplus(fake_score - real_score))
        # gamma is a unit of data variance, which is 3 for three z-scored columns
        torch.testing.assert_close(terms["r1"], 0.5 * 3 / 2 * model.judge(x, None)[1])
