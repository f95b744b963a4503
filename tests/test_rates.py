"""What nats in a code cost over time: annealing and capacity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence

import pushforward as pf
from pushforward.models.vae import VAE
from pushforward.space import Vector
from test_games import N, assert_same, gradients, jittered, received, rows


def made(**options: Any) -> VAE:
    torch.manual_seed(0)
    model = jittered(VAE(Vector(3), latent=4, width=16, **options)).train()
    assert isinstance(model, VAE)
    return model


@pytest.mark.parametrize(("step", "risen"), [(0, 0.0), (5, 0.25), (20, 1.0), (30, 1.0)])
@pytest.mark.parametrize("capacity", [None, 3.0])
def test_beta_or_the_capacity_rises_in_a_line(
    step: int, risen: float, capacity: float | None
) -> None:
    model, x = made(beta=2.0, anneal=20, capacity=capacity), rows(Vector(3))
    for _ in range(step):
        model.after_step("elbo")
    torch.manual_seed(1)
    mu, log_var = model.encoder(x)
    sigma = (0.5 * log_var).exp()
    p = model.decoder(mu + sigma * torch.randn(N, 4))
    rate = kl_divergence(Normal(mu, sigma), Normal(0.0, 1.0)).sum(1).mean()
    paid = risen * rate if capacity is None else (rate - risen * capacity).abs()
    loss = -p.log_prob(x).mean() + 2.0 * paid
    for player, mine in received(model, "elbo", x).items():
        if mine:
            assert_same(mine, gradients(loss, model, player))
    model.eval()  # validation sees what comes at the end
    torch.manual_seed(1)
    end = rate if capacity is None else (rate - capacity).abs()
    terms = model.elbo(x, None)
    last = terms.get("rate", terms.get("beyond_capacity"))
    assert last is not None
    torch.testing.assert_close(last.mean(), 2.0 * end)


def test_without_annealing_nothing_is_counted_or_saved() -> None:
    assert "played" not in made().state_dict()
    assert made(anneal=3).state_dict()["played"] == 0


def test_the_steps_of_annealing_outlive_an_interruption(tmp_path: Path) -> None:
    fitted = pf.fit("ring", "vae", anneal=50, budget="30 steps", width=8, latent=2, out=tmp_path)
    assert fitted.states["final"]["played"] == 30


def test_a_capacity_is_kept_to() -> None:
    """The mean rate of training ends near C, whatever it would be by itself."""
    for capacity in (0.5, 2.5):
        fitted = pf.fit(
            "moons", "vae", capacity=capacity, beta=20.0, anneal=100, budget="300 steps",
            batch_size=128, width=32, latent=2, seed=0,
        )  # fmt: skip
        terms = next(h["terms"] for h in reversed(fitted.history) if h["terms"])
        assert abs(terms["elbo.beyond_capacity"]) / 20 < 0.2
