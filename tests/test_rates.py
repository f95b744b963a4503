"""What nats in a code cost over time: annealing and capacity."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence

import pushforward as pf
from pushforward.models.iwae import IWAE
from pushforward.models.vae import VAE
from pushforward.runs.folder import repeating
from pushforward.space import Vector
from test_games import SPACES, N, assert_same, gradients, jittered, received, rows


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


@pytest.mark.parametrize(("share", "left"), [(0.0, 6.0), (0.25, 6.0), (0.375, 3.0), (0.8, 0.0)])
def test_free_nats_of_a_row_cost_nothing_until_half_way(share: float, left: float) -> None:
    model, x = made(beta=2.0, free=6.0), 3 * rows(Vector(3))
    with torch.no_grad():
        model.encoder.f1.weight.mul_(2)  # some rows have fewer nats, others more
    model.before_round(share)
    torch.manual_seed(1)
    mu, log_var = model.encoder(x)
    sigma = (0.5 * log_var).exp()
    p = model.decoder(mu + sigma * torch.randn(N, 4))
    kl = kl_divergence(Normal(mu, sigma), Normal(0.0, 1.0)).sum(1)
    assert float(kl.detach().min()) < 3
    assert float(kl.detach().max()) > 6
    loss = -p.log_prob(x).mean() + 2.0 * (kl - left).relu().mean()
    for player, mine in received(model, "elbo", x).items():
        if mine:
            assert_same(mine, gradients(loss, model, player))
    model.eval()  # validation pays for all
    torch.testing.assert_close(model.elbo(x, None)["rate"], 2.0 * kl)


@pytest.mark.parametrize("training", [True, False])
def test_free_nats_of_an_importance_weighted_bound_lessen_the_codes_part_of_the_weights(
    training: bool,
) -> None:
    torch.manual_seed(0)
    model: Any = jittered(IWAE(Vector(3), latent=4, width=16, free=6.0, k=5)).train(training)
    x = 3 * rows(Vector(3))
    with torch.no_grad():
        model.encoder.f1.weight.mul_(2)  # some rows have fewer nats, others more
    model.still_free = torch.tensor(3.0)
    mu, log_var = model.encoder(x)
    q = Normal(mu, (0.5 * log_var).exp())
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    assert float(kl.detach().min()) < 3 < float(kl.detach().max())
    torch.manual_seed(1)
    mine = model.bound(x, None)["bound"]
    torch.manual_seed(1)
    paid = ((kl - 3).relu() / kl).detach() if training else torch.ones(N)  # validation pays for all
    z = q.mean[:, None] + q.stddev[:, None] * torch.randn(N * 5, 4).reshape(N, 5, 4)
    ratio = Normal(0.0, 1.0).log_prob(z) - Normal(q.mean[:, None], q.stddev[:, None]).log_prob(z)
    log_p = model.decoder(z.reshape(-1, 4)).log_prob(x.repeat_interleave(5, 0)).reshape(N, 5)
    log_w = log_p + paid[:, None] * ratio.sum(2)
    torch.testing.assert_close(mine, -(log_w.logsumexp(1) - math.log(5)))


@pytest.mark.parametrize("kind", SPACES)
def test_only_arrays_have_free_nats_by_themselves(kind: str) -> None:
    model = VAE(SPACES[kind], latent=4, width=16).train()
    assert model.free == (4.0 if kind == "vector" else 0.0)
    model.before_round(0.0)
    start = model.elbo(rows(SPACES[kind]), None)["rate"].detach()
    assert bool((start == 0).all()) == (kind == "vector")  # at the start codes have less than 4


def shares(**arguments: Any) -> list[float]:
    """What the loop tells a model of its progress."""
    seen: list[float] = []

    def note(model: VAE, share: float) -> None:
        seen.append(share)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VAE, "before_round", note)
        pf.fit("ring", "vae", width=8, latent=2, batch_size=20, **arguments)
    return seen


def test_a_run_knows_how_far_it_is(tmp_path: Path) -> None:
    assert shares(budget="4 steps", out=tmp_path) == [0.0, 0.25, 0.5, 0.75]
    assert shares(budget="4 steps", out=tmp_path, more="3 steps") == [1.0] * 3


def test_a_budget_in_seconds_frees_the_same_nats_as_the_steps_that_it_becomes() -> None:
    """Until it is fixed, within a quarter of the steps, all free nats are."""
    small: dict[str, Any] = {"width": 8, "latent": 2, "batch_size": 20}
    timed = pf.fit("ring", "vae", budget="0.5s", **small)
    stage = timed.config["schedule"][0]
    again = pf.fit("ring", "vae", budget=repeating(stage), **small)
    for name, weight in timed.states["final"].items():
        assert torch.equal(weight, again.states["final"][name])


def test_the_code_of_an_array_is_used() -> None:
    """Without free nats it ends with 0.03 nats on the ring; its eight clusters alone are 2.1."""
    fitted = pf.fit("ring", "vae", budget="500 steps", width=64, batch_size=128, seed=0)
    terms = next(h["terms"] for h in reversed(fitted.history) if h["terms"])
    assert terms["elbo.rate"] > 1.5


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


@pytest.mark.parametrize("name", ["factor-vae", "avb"])
def test_the_steps_of_other_players_do_not_anneal(name: str) -> None:
    shared: dict[str, Any] = {"width": 8, "latent": 2, "batch_size": 32}
    fitted = pf.fit("ring", name, anneal=50, budget="12 steps", **shared)
    assert fitted.network("final").state_dict()["played"] == 12
