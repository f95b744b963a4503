"""Autoencoders with a measure of their codes: what each player receives, written by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.nn.functional import logsigmoid

import pushforward as pf
from pushforward.families.decoders import WithDecoder
from pushforward.models import all_models
from test_games import SPACES, N, assert_same, gradients, jittered, received, rows

LATENT = 4


def made(name: str, kind: str, **options: Any) -> tuple[Any, Tensor]:
    """A model whose weights all matter, and rows."""
    torch.manual_seed(0)
    options = {"latent": LATENT, "width": 16} | options
    model = jittered(all_models()[name](SPACES[kind], **options))
    return model, rows(SPACES[kind])


def encoded(model: Any, x: Tensor) -> tuple[Normal, Tensor]:
    """q(z|x) and a draw, from the noise that the model draws first."""
    mu, log_var = model.encoder(x)
    q = Normal(mu, (0.5 * log_var).exp())
    return q, mu + (0.5 * log_var).exp() * torch.randn(N, LATENT)


def rate(q: Normal) -> Tensor:
    return kl_divergence(q, Normal(0.0, 1.0)).sum(1)


def assert_turn(model: Any, turn: str, x: Tensor, loss: Tensor) -> None:
    """Every player that moves in a turn receives the gradient of this loss."""
    assert isinstance(model, WithDecoder)
    ours = received(model, turn, x)
    scale = max(1.0, abs(loss.item()))
    for player, mine in ours.items():
        if mine:
            assert_same(mine, gradients(loss, model, player), atol=2e-6 * scale)


def kernel_mmd(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased squared MMD by a double sum, with five bandwidths around the median."""
    pooled = torch.cat([x, y])
    distances = (pooled[:, None] - pooled[None]).square().sum(-1)
    upper = distances.detach()[tuple(torch.triu_indices(len(pooled), len(pooled), 1))].sqrt()
    widths = [upper.median() * s for s in (0.25, 0.5, 1, 2, 4)]
    k = torch.stack([(-distances / (2 * w**2)).exp() for w in widths]).mean(0)
    n = len(x)
    off = k - torch.diag(k.diagonal())
    within = (off[:n, :n].sum() + off[n:, n:].sum()) / (n * (n - 1))
    return within - 2 * k[:n, n:].mean()


@pytest.mark.parametrize("kind", SPACES)
def test_wae_mmd_gives_the_papers_gradient(kind: str) -> None:
    model, x = made("wae-mmd", kind, weight=30.0)
    torch.manual_seed(1)
    _, z = encoded(model, x)
    prior = torch.randn(N, LATENT)
    distortion = -model.decoder(z).log_prob(x).mean()
    assert_turn(model, "reconstruct_and_match", x, distortion + 30.0 * kernel_mmd(prior, z))


@pytest.mark.parametrize("kind", SPACES)
def test_info_vae_gives_the_papers_gradient(kind: str) -> None:
    model, x = made("info-vae", kind, alpha=0.3, lam=20.0)
    torch.manual_seed(1)
    q, z = encoded(model, x)
    prior = torch.randn(N, LATENT)
    loss = -model.decoder(z).log_prob(x).mean() + 0.7 * rate(q).mean()
    assert_turn(model, "objective", x, loss + 19.3 * kernel_mmd(prior, z))


def test_info_vae_without_information_and_with_lam_1_is_the_vae() -> None:
    model, x = made("info-vae", "vector", alpha=0.0, lam=1.0)
    torch.manual_seed(1)
    q, z = encoded(model, x)
    loss = -model.decoder(z).log_prob(x).mean() + rate(q).mean()
    assert_turn(model, "objective", x, loss)


def decomposed(q: Normal, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Information, total correlation and dimensions' KL at z, by loops over rows."""
    own = q.log_prob(z).sum(1)
    parts = [Normal(q.mean[k], q.stddev[k]).log_prob(z) for k in range(N)]  # each (n, latent)
    joint = torch.stack([p.sum(1) for p in parts]).exp().mean(0).log()
    product = torch.stack(parts).exp().mean(0).log().sum(1)
    prior = Normal(0.0, 1.0).log_prob(z).sum(1)
    return own - joint, joint - product, product - prior


@pytest.mark.parametrize("kind", SPACES)
def test_beta_tc_vae_gives_the_papers_gradient(kind: str) -> None:
    model, x = made("beta-tc-vae", kind, beta=5.0)
    torch.manual_seed(1)
    q, z = encoded(model, x)
    information, correlation, dimensions = decomposed(q, z)
    loss = -model.decoder(z).log_prob(x) + information + 5.0 * correlation + dimensions
    assert_turn(model, "elbo", x, loss.mean())


def test_the_three_parts_of_the_rate_sum_to_the_kl() -> None:
    """At every draw to log q(z|x) - log p(z), so over draws to the closed form."""
    model, x = made("beta-tc-vae", "vector", beta=1.0)
    torch.manual_seed(1)
    q, z = encoded(model, x)
    torch.manual_seed(1)
    terms = model.elbo(x, None)
    parts = terms["information"] + terms["correlation"] + terms["dimensions"]
    expected = q.log_prob(z).sum(1) - Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(parts, expected, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        draws = [model.elbo(x, None) for _ in range(300)]
    sums = torch.stack([d["information"] + d["correlation"] + d["dimensions"] for d in draws])
    error = 4 * sums.std(0) / math.sqrt(len(sums))  # four standard errors, for each of six rows
    assert bool(((sums.mean(0) - rate(q)).abs() < error).all())


@pytest.mark.parametrize("with_noise", [False, True])
@pytest.mark.parametrize("kind", SPACES)
def test_dip_vae_gives_the_papers_gradient(kind: str, with_noise: bool) -> None:
    model, x = made("dip-vae", kind, between=3.0, within=2.0, with_noise=with_noise)
    torch.manual_seed(1)
    q, z = encoded(model, x)
    apart = q.mean - q.mean.mean(0)
    c = torch.stack([torch.outer(a, a) for a in apart]).mean(0)
    c = c + torch.diag(q.variance.mean(0)) if with_noise else c
    penalty = torch.as_tensor(0.0)
    for i in range(LATENT):
        for j in range(LATENT):
            penalty = penalty + (2.0 * (c[i, i] - 1) ** 2 if i == j else 3.0 * c[i, j] ** 2)
    loss = -model.decoder(z).log_prob(x).mean() + rate(q).mean() + penalty
    assert_turn(model, "elbo", x, loss)


@pytest.mark.parametrize("kind", SPACES)
def test_factor_vae_gives_each_player_the_papers_gradient(kind: str) -> None:
    model, x = made("factor-vae", kind, gamma=5.0)
    torch.manual_seed(1)
    q, z = encoded(model, x)
    ratio = logsigmoid(model.critic(z)) - logsigmoid(-model.critic(z))
    loss = -model.decoder(z).log_prob(x) + rate(q) + 5.0 * ratio
    assert_turn(model, "elbo", x, loss.mean())
    torch.manual_seed(1)
    z = encoded(model, x)[1].detach()
    order = torch.rand(N, LATENT).argsort(0)
    permuted = torch.stack([z[order[:, j], j] for j in range(LATENT)], 1)
    loss = -logsigmoid(model.critic(z)) - logsigmoid(-model.critic(permuted))
    assert_turn(model, "measure", x, loss.mean())


def test_the_critic_of_factor_vae_finds_the_total_correlation() -> None:
    """Of a Gaussian it is -1/2 log det C; its learned ratio comes near, from below."""
    torch.manual_seed(0)
    c = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    model, _ = made("factor-vae", "vector", latent=2)
    optimizer = torch.optim.Adam(model.critic.parameters(), 3e-3)
    for _ in range(100):
        z = MultivariateNormal(torch.zeros(2), c).sample((512,))
        permuted = z.gather(0, torch.rand_like(z).argsort(0))
        loss = -logsigmoid(model.critic(z)) - logsigmoid(-model.critic(permuted))
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    z = MultivariateNormal(torch.zeros(2), c).sample((20_000,))
    exact = -0.5 * math.log(1 - 0.8**2)  # 0.51
    assert model.critic(z).mean().item() == pytest.approx(exact, abs=0.12)


@pytest.mark.parametrize("kind", SPACES)
def test_aae_gives_each_player_the_papers_gradient(kind: str) -> None:
    model, x = made("aae", kind)
    torch.manual_seed(1)
    _, z = encoded(model, x)
    assert_turn(model, "reconstruct_rows", x, -model.decoder(z).log_prob(x).mean())
    torch.manual_seed(1)
    z, prior = encoded(model, x)[1].detach(), torch.randn(N, LATENT)
    loss = -logsigmoid(model.critic(prior)) - logsigmoid(-model.critic(z))
    assert_turn(model, "measure", x, loss.mean())
    torch.manual_seed(1)
    _, z = encoded(model, x)
    assert_turn(model, "match", x, -logsigmoid(model.critic(z)).mean())


@pytest.mark.parametrize("kind", SPACES)
def test_wae_gan_gives_each_player_the_papers_gradient(kind: str) -> None:
    model, x = made("wae-gan", kind, weight=7.0)
    torch.manual_seed(1)
    z, prior = encoded(model, x)[1].detach(), torch.randn(N, LATENT)
    loss = -7.0 * (logsigmoid(model.critic(prior)) + logsigmoid(-model.critic(z)))
    assert_turn(model, "measure", x, loss.mean())
    torch.manual_seed(1)
    _, z = encoded(model, x)
    loss = -model.decoder(z).log_prob(x) - 7.0 * logsigmoid(model.critic(z))
    assert_turn(model, "reconstruct_and_match", x, loss.mean())


@pytest.mark.parametrize("kind", SPACES)
def test_rae_gives_the_papers_gradient(kind: str) -> None:
    model, x = made("rae", kind, beta=0.3, decay=0.02)
    z = model.encoder(x)
    weights = sum(p.square().sum() for p in model.decoder.trunk.parameters())
    torch.manual_seed(1)
    torch.randn(N, LATENT), torch.randn_like(x)  # the noise of a code of no variance, and v
    loss = -model.decoder(z).log_prob(x).mean() + 0.15 * z.square().sum(1).mean() + 0.02 * weights
    assert_turn(model, "objective", x, loss)


def test_the_slope_of_rae_is_the_norm_of_the_jacobian_in_expectation() -> None:
    model, x = made("rae", "vector", slope=1.0)
    z = model.encoder(x).detach()
    jacobians = [
        torch.autograd.functional.jacobian(lambda a: model.mean(a[None])[0], row) for row in z
    ]
    exact = torch.stack([j.square().sum() for j in jacobians])
    with torch.no_grad():
        draws = model.objective(x.repeat(4000, 1), None)["slope"].reshape(4000, N)
    error = 4 * draws.std(0) / math.sqrt(len(draws))  # four standard errors, for each of six rows
    assert bool(((draws.mean(0) - exact).abs() < error).all())
    slope = model.objective(x, None)["slope"].mean()
    assert any(bool(g.any()) for g in gradients(slope, model, "decoder") if g is not None)


def test_rae_draws_new_codes_from_what_is_fitted_to_those_of_rows() -> None:
    fitted = pf.fit("ring", "rae", budget="20 steps", width=16, latent=2, seed=0)
    model: Any = fitted.model
    assert model.source is not model.prior
    q = model.encode(torch.randn(5, 2))
    assert torch.equal(q.rsample(), q.mean)
