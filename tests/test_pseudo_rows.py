"""The VampPrior: a mixture of the codes of learned rows."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from pushforward.families.pseudo_rows import PosteriorMixture, PseudoRows
from pushforward.models.vamp_vae import VampVAE
from pushforward.nn.priors import ContinuousPrior
from test_games import SPACES, N, assert_same, gradients, jittered, received, rows


def made(kind: str, **options: Any) -> VampVAE:
    torch.manual_seed(0)
    options = {"latent": 4, "width": 16, "pseudo_rows": 5} | options
    model = jittered(VampVAE(SPACES[kind], **options))
    assert isinstance(model, VampVAE)
    return model


def density(model: VampVAE, z: Tensor) -> Tensor:
    """log p(z) by a loop over the pseudo-rows."""
    prior: ContinuousPrior = model.prior
    assert isinstance(prior, PosteriorMixture)
    pseudo, _ = prior.rows()
    each = []
    for row in pseudo:
        mu, log_var = model.encoder(row[None])
        each.append(Normal(mu, (0.5 * log_var).exp()).log_prob(z).sum(1))
    return torch.stack(each).exp().mean(0).log()


@pytest.mark.parametrize("kind", SPACES)
def test_the_vamp_prior_gives_each_player_the_papers_gradient(kind: str) -> None:
    """The encoder's is by both of its places: the codes of rows, and those of pseudo-rows."""
    model, x = made(kind, beta=0.7), rows(SPACES[kind])
    torch.manual_seed(1)
    mu, log_var = model.encoder(x)
    q = Normal(mu, (0.5 * log_var).exp())
    z = mu + q.stddev * torch.randn(N, 4)
    rate = q.log_prob(z).sum(1) - density(model, z)
    loss = (-model.decoder(z).log_prob(x) + 0.7 * rate).mean()
    for player, mine in received(model, "elbo", x).items():
        assert_same(mine, gradients(loss, model, player), atol=1e-5)


def test_the_vamp_prior_integrates_to_one() -> None:
    model = made("vector", latent=2)
    line = torch.linspace(-10, 10, 401)
    with torch.no_grad():
        p = model.prior.log_prob(torch.cartesian_prod(line, line)).exp()
    assert float(p.sum()) * float(line[1] - line[0]) ** 2 == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", SPACES)
def test_pseudo_rows_lie_in_the_space_of_rows(kind: str) -> None:
    x, c = PseudoRows(SPACES[kind], 3, 7)()
    assert x.shape == (7, *SPACES[kind].shape)
    assert c is not None
    torch.testing.assert_close(c.sum(1), torch.ones(7))
    if kind == "image":
        assert float(x.detach().abs().max()) <= 1
    if kind == "cells":
        torch.testing.assert_close(x[:, :2].sum(1), torch.ones(7))


def test_a_copy_of_the_model_has_a_prior_of_its_own_encoder() -> None:
    """The moving average is such a copy."""
    model = made("vector")
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in copied.encoder.parameters():
            parameter.add_(1.0)
    z = torch.zeros(1, 4)
    assert not torch.equal(model.prior.log_prob(z), copied.prior.log_prob(z))
    assert not any("encode" in name for name in dict(model.prior.named_parameters()))
