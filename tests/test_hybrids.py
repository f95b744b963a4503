"""What is a VAE and a GAN at once: what each player receives, written by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import softplus

import pushforward as pf
from pushforward.models.avb import AVB
from pushforward.models.intro_vae import IntroVAE
from pushforward.models.latent_gan import LatentGAN
from pushforward.models.veegan import VEEGAN
from pushforward.nn.clip import clip
from pushforward.space import Space, Vector, total_variance, values
from pushforward.training.turn_optimizer import TurnOptimizer
from test_games import SPACES, N, assert_same, gradients, received, rows
from test_restraints import LATENT, made


def rate(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, I))."""
    return 0.5 * (mu.square() + log_var.exp() - log_var - 1).sum(1)


@pytest.mark.parametrize("kind", SPACES)
def test_avb_gives_each_player_the_papers_gradient(kind: str) -> None:
    model = made(AVB, SPACES[kind], beta=0.8)
    x = rows(SPACES[kind])

    def drawn() -> Tensor:
        eps = torch.randn(N, LATENT)
        return torch.as_tensor(model.encoder.f(model.encoder.trunk(x, eps)))

    torch.manual_seed(1)
    z = drawn()
    torch.randn(N, LATENT)  # the Gaussian of variance 0 around it
    prior = torch.randn(N, LATENT)
    critic = softplus(-model.critic(x, z.detach())).mean() + softplus(model.critic(x, prior)).mean()
    assert_same(received(model, "measure", x)["critic"], gradients(critic, model, "critic"))

    torch.manual_seed(1)
    z = drawn()
    torch.randn(N, LATENT)
    elbo = -model.decoder(z).log_prob(x).mean() + 0.8 * model.critic(x, z).mean()
    ours = received(model, "elbo", x)
    for player in ("encoder", "decoder"):
        assert_same(ours[player], gradients(elbo, model, player), atol=1e-5)


def test_the_critic_of_avb_comes_to_read_the_rate() -> None:
    """Codes N(1, 1/4) of every row: KL(q || p) = 1/2 (1 + 1/4 - log 1/4 - 1) a dimension."""
    torch.manual_seed(0)
    model: Any = AVB(Vector(2), latent=1, width=32)
    model.encode = lambda x, _: _Fixed(1 + 0.5 * torch.randn(len(x), 1))
    optimizer = TurnOptimizer(model, model.turns()[0], 3e-3)
    for step in range(400):
        optimizer.step(torch.randn(512, 2), None, 1 - step / 400, None)
    z = 1 + 0.5 * torch.randn(20_000, 1)
    estimate = model.judge(torch.randn(20_000, 2), z, None).mean().item()
    # 400 steps of 512 rows leave a critic some hundredths of a nat from the optimum
    assert estimate == pytest.approx(0.5 * (0.25 + math.log(4)), abs=0.1)


class _Fixed:
    """A code that is drawn already."""

    def __init__(self, e: Tensor) -> None:
        self.e = e

    def draw(self) -> Tensor:
        return self.e


@pytest.mark.parametrize("kind", SPACES)
def test_veegan_gives_each_player_the_papers_gradient(kind: str) -> None:
    model = made(VEEGAN, SPACES[kind], reconstruction=0.6)
    x = rows(SPACES[kind])

    def read(v: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = model.encoder(v)
        return mu, (2 * torch.tanh(log_var / 4)).exp()

    torch.manual_seed(1)
    mu, sigma = read(x)
    inferred, z = (mu + sigma * torch.randn(N, LATENT)).detach(), torch.randn(N, LATENT)
    real, fake = model.critic(x, inferred), model.critic(model.generator(z).detach(), z)
    loss = softplus(-real).mean() + softplus(fake).mean()
    assert_same(received(model, "measure", x)["critic"], gradients(loss, model, "critic"))

    torch.manual_seed(1)
    z = torch.randn(N, LATENT)
    y = model.generator(z)
    unread = -Normal(*read(y)).log_prob(z).sum(1).mean()
    ours = received(model, "close_in", x)
    fool = -model.critic(y, z).mean()
    assert_same(ours["generator"], gradients(fool + 0.6 * unread, model, "generator"), atol=1e-5)
    # the reconstructor hears of codes alone
    assert_same(ours["encoder"], gradients(0.6 * unread, model, "encoder"), atol=1e-5)


@pytest.mark.parametrize("kind", SPACES)
def test_intro_vae_gives_each_player_the_papers_gradient(kind: str) -> None:
    space: Space = SPACES[kind]
    model = made(IntroVAE, space, likeness=2.0, rejection=1.5)
    x, n = rows(space), values(space)

    def shown(z: Tensor) -> Tensor:
        p = model.decoder(z)
        return clip(p.mean()) if kind == "image" else torch.as_tensor(p.rsample())

    def parts(v: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = model.encoder(v)
        z = mu + (0.5 * log_var).exp() * torch.randn(N, LATENT)
        off = (v - model.decoder(z).mean()).square().flatten(1).sum(1) / total_variance(space)
        return 2 * off, rate(mu, log_var) / n

    torch.manual_seed(1)
    y = model.generate(torch.randn(N, LATENT)).detach()
    off_y, rate_y = parts(y)
    off, nats = parts(x)
    loss = (off + nats + 0.5 * torch.exp(-2 * (off_y + 1.5 * rate_y))).mean()
    ours = received(model, "infer", x)["encoder"]
    assert_same(ours, gradients(loss, model, "encoder"), atol=1e-5)

    torch.manual_seed(1)
    y = shown(torch.randn(N, LATENT))
    fool = rate(*model.encoder(y)).mean() / n
    torch.randn(N, LATENT)  # a code of y, of which the decoder hears nothing
    loss = parts(x)[0].mean() + fool
    ours = received(model, "close_in", x)["decoder"]
    assert_same(ours, gradients(loss, model, "decoder"), atol=1e-5)


@pytest.mark.parametrize("kind", SPACES)
def test_latent_gan_plays_r3gan_on_codes_that_stand_still(kind: str) -> None:
    model = made(LatentGAN, SPACES[kind], gamma=0.3)
    x = rows(SPACES[kind])
    mu, log_var = model.encoder(x)

    torch.manual_seed(1)
    e = (mu + (0.5 * log_var).exp() * torch.randn(N, LATENT)).detach().requires_grad_()
    made_codes = model.generator.trunk(torch.randn(N, LATENT)).detach().requires_grad_()
    real, fake = model.critic(e), model.critic(made_codes)
    slopes = [
        torch.autograd.grad(d.sum(), at, create_graph=True)[0].square().sum(1).mean()
        for d, at in ((real, e), (fake, made_codes))
    ]
    loss = softplus(fake - real).mean() + 0.3 * LATENT / 2 * (slopes[0] + slopes[1])
    ours = received(model, "measure", x)
    assert ours.keys() == {"critic"}
    assert_same(ours["critic"], gradients(loss, model, "critic"))

    torch.manual_seed(1)
    e = (mu + (0.5 * log_var).exp() * torch.randn(N, LATENT)).detach()
    loss = softplus(model.critic(e) - model.critic(model.generator.trunk(torch.randn(N, LATENT))))
    ours = received(model, "close_in", x)
    assert_same(ours["generator"], gradients(loss.mean(), model, "generator"))


def test_the_gan_of_a_latent_gan_starts_when_its_vae_stops() -> None:
    turns = {own.name: own for own in LatentGAN(Vector(2), gan_start=0.4).turns()}
    assert (turns["elbo"].start, turns["elbo"].end) == (0.0, 0.4)
    assert {turns[name].start for name in ("measure", "close_in")} == {0.4}


def test_new_rows_of_a_latent_gan_are_decoded_from_generated_codes() -> None:
    model = made(LatentGAN, Vector(3))
    torch.manual_seed(3)
    z = model.source.sample(5)
    torch.manual_seed(3)
    assert torch.equal(z, model.generator.trunk(torch.randn(5, LATENT)))
    with pytest.raises(pf.ModelError, match="no density"):
        model.source.log_prob(z)
    sampled = LatentGAN(Vector(3), latent=LATENT, width=16, sampler="mixture")
    assert sampled.source is sampled.prior  # until the sampler is fitted
