"""Priors that are learned with the encoder: a flow, and what SimFlow makes of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.distributions import Normal

from pushforward.models.sim_flow import SimFlow
from pushforward.nn.priors import FlowPrior
from test_games import SPACES, N, assert_same, gradients, jittered, received, rows


def shaken(latent: int) -> FlowPrior:
    torch.manual_seed(0)
    prior = FlowPrior(latent)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return prior


def test_a_flow_prior_integrates_to_one_and_draws_from_its_density() -> None:
    prior = shaken(2)
    line = torch.linspace(-12, 12, 601)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        p = prior.log_prob(grid).double().exp() * float(line[1] - line[0]) ** 2
        draws = prior.draw(4000).double()
    assert float(p.sum()) == pytest.approx(1, abs=2e-3)
    mean = (p[:, None] * grid).sum(0)
    variance = (p[:, None] * (grid - mean) ** 2).sum(0)
    # four standard errors of a mean
    assert bool(((draws.mean(0) - mean).abs() < 4 * (variance / 4000).sqrt()).all())
    # and of a variance, of a density whose kurtosis is at most 6
    assert bool(((draws.var(0) / variance - 1).abs() < 4 * math.sqrt(5 / 4000)).all())


@pytest.mark.parametrize("kind", SPACES)
def test_sim_flow_gives_each_player_the_papers_gradient(kind: str) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"latent": 4, "width": 16, "sigma": 0.3, "beta": 0.7}
    model, x = jittered(SimFlow(SPACES[kind], **options)), rows(SPACES[kind])
    assert isinstance(model, SimFlow)
    assert isinstance(model.prior, FlowPrior)
    torch.manual_seed(1)
    mu = model.encoder(x)
    z = mu + 0.3 * torch.randn(N, 4)
    noise, log_det = model.prior.flow().transform.call_and_ladj(z)
    log_p = Normal(0.0, 1.0).log_prob(noise).sum(1) + log_det
    rate = Normal(mu, 0.3).log_prob(z).sum(1) - log_p
    loss = (-model.decoder(z).log_prob(x) + 0.7 * rate).mean()
    for player, mine in received(model, "elbo", x).items():
        assert_same(mine, gradients(loss, model, player), atol=1e-5)
