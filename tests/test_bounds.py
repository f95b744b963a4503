"""IWAE: its bound and both of its gradients, against the formulas of the papers."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from pushforward.errors import ModelError
from pushforward.families.bounds import Bound, Given, mixed_bound, stratified
from pushforward.models.iwae import IWAE
from test_games import SPACES, N, assert_same, gradients, jittered, received, rows

LATENT = 4


def log_weights(model: IWAE, x: Tensor, k: int, *, still: bool = False) -> tuple[Tensor, Tensor]:
    """log p(x|z) + log p(z) - log q(z|x) of k codes of each row, (n, k), and the codes."""
    mu, log_var = model.encoder(x)
    sigma = (0.5 * log_var).exp()
    mu, sigma = mu.repeat_interleave(k, 0), sigma.repeat_interleave(k, 0)
    z = mu + sigma * torch.randn(len(mu), LATENT)
    q = Normal(mu.detach(), sigma.detach()) if still else Normal(mu, sigma)
    prior = Normal(0.0, 1.0).log_prob(z).sum(1)
    likelihood = model.decoder(z).log_prob(x.repeat_interleave(k, 0))
    return (likelihood + prior - q.log_prob(z).sum(1)).reshape(len(x), k), z


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("k", [1, 3])
def test_iwae_gives_the_gradient_of_the_papers_bound(kind: str, k: int) -> None:
    """With k = 1 it is the ELBO, at one draw."""
    torch.manual_seed(0)
    model = jittered(IWAE(SPACES[kind], latent=LATENT, k=k, width=16))
    assert isinstance(model, IWAE)
    x = rows(SPACES[kind])
    torch.manual_seed(1)
    log_w, _ = log_weights(model, x, k)
    loss = -(log_w.logsumexp(1) - math.log(k))
    torch.manual_seed(1)
    torch.testing.assert_close(model.bound(x, None)["bound"], loss, rtol=1e-4, atol=1e-4)
    ours = received(model, "bound", x)
    for player in ("encoder", "decoder"):
        assert_same(ours[player], gradients(loss.mean(), model, player))


@pytest.mark.parametrize("kind", SPACES)
def test_dreg_gives_the_papers_gradient_to_each_player(kind: str) -> None:
    torch.manual_seed(0)
    k = 3
    model = jittered(IWAE(SPACES[kind], latent=LATENT, k=k, width=16, dreg=True))
    assert isinstance(model, IWAE)
    x = rows(SPACES[kind])
    ours = received(model, "bound", x)
    torch.manual_seed(1)
    log_w, z = log_weights(model, x, k, still=True)
    share = log_w.detach().softmax(1)
    (slope,) = torch.autograd.grad(log_w.sum(), z, retain_graph=True)
    encoder = -(share.square().reshape(-1, 1) * slope * z).sum() / N
    assert_same(ours["encoder"], gradients(encoder, model, "encoder"), atol=1e-5)
    decoder = -(share * log_w).sum() / N
    assert_same(ours["decoder"], gradients(decoder, model, "decoder"), atol=1e-5)
    torch.manual_seed(1)
    plain = -(log_w.logsumexp(1) - math.log(k))
    torch.testing.assert_close(model.bound(x, None)["bound"], plain, rtol=1e-4, atol=1e-4)


def test_groups_are_averaged_and_mixed_with_the_elbo() -> None:
    torch.manual_seed(0)
    log_w = torch.randn(5, 2, 3)
    w = log_w.double().exp()
    miwae = w.mean(2).log().mean(1)
    torch.testing.assert_close(mixed_bound(log_w, 0.0).double(), miwae, rtol=1e-5, atol=1e-6)
    ciwae = 0.3 * w.log().mean((1, 2)) + 0.7 * miwae
    torch.testing.assert_close(mixed_bound(log_w, 0.3).double(), ciwae, rtol=1e-5, atol=1e-6)
    model = IWAE(SPACES["vector"], latent=2, k=3, groups=2, elbo=0.3, width=16).eval()
    assert model.bound(rows(SPACES["vector"]), None)["bound"].shape == (N,)


@pytest.mark.parametrize("dreg", [False, True])
def test_piwae_moves_the_decoder_by_one_bound_and_the_encoder_by_many(dreg: bool) -> None:
    """Rainforth et al.: IWAE with all codes for theta, MIWAE with groups of k for phi."""
    torch.manual_seed(0)
    groups, k = 2, 3
    options: dict[str, Any] = {"latent": LATENT, "width": 16, "k": k, "groups": groups}
    model = jittered(IWAE(SPACES["vector"], partial=True, dreg=dreg, **options))
    assert isinstance(model, IWAE)
    x = rows(SPACES["vector"])
    ours = received(model, "bound", x)
    torch.manual_seed(1)
    log_w, _ = log_weights(model, x, groups * k)
    one = -(log_w.logsumexp(1) - math.log(groups * k))
    assert_same(ours["decoder"], gradients(one.mean(), model, "decoder"), atol=1e-5)
    torch.manual_seed(1)
    torch.testing.assert_close(model.bound(x, None)["bound"], one, rtol=1e-4, atol=1e-4)
    many = IWAE(SPACES["vector"], dreg=dreg, **options).eval()
    many.load_state_dict(model.state_dict())
    assert_same(ours["encoder"], received(many, "bound", x)["encoder"], atol=1e-5)
    if not dreg:
        own = (log_w.reshape(N, groups, k).logsumexp(2) - math.log(k)).mean(1)
        assert_same(ours["encoder"], gradients(-own.mean(), model, "encoder"), atol=1e-5)


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("dreg", [False, True])
@pytest.mark.parametrize(("groups", "elbo"), [(1, 0.0), (2, 0.3)])
def test_resampled_gradients_are_those_of_all_codes_on_average(
    groups: int, elbo: float, dreg: bool, draws: int
) -> None:
    """Of 40,000 rows with the same codes; a mean may be off by five of its standard errors."""
    n, k = 40_000, 4
    codes = torch.randn(groups * k, 2, dtype=torch.float64).repeat(n, 1)
    slopes = []
    for resample in (0, draws):
        e = codes.clone().requires_grad_()
        theta = torch.ones(n, 1, dtype=torch.float64, requires_grad=True)

        def log_weight(given: Given, at: Tensor, theta: Tensor = theta) -> Tensor:
            (e,) = given
            return -((theta[at // (groups * k)] * e - 0.5) ** 2).sum(1)

        found = Bound(groups, k, elbo, False, dreg, resample)(log_weight, (e,))
        by_code, by_theta = torch.autograd.grad(found.sum(), (e, theta))
        slopes.append(torch.cat([by_code.reshape(n, -1), by_theta], 1))
    every, some = slopes
    error = some.std(0) / math.sqrt(n)
    assert bool(((some.mean(0) - every[0]).abs() < 5 * error + 1e-12).all())
    assert 50 * float(error.max()) < float(every[0].abs().max())


def test_one_in_each_stratum_is_drawn_by_the_shares() -> None:
    """Draws of a share are 0.75 of the sum on average; of a whole stratum, always."""
    share = torch.tensor([[0.5, 0.0, 0.3, 0.2]]).repeat(20_000, 1)
    drawn = torch.nn.functional.one_hot(stratified(share, 4), 4).double().sum(1) / 4
    # a share varies by one draw of four at most, 0.125 of it: five errors of 20,000 are 0.0045
    torch.testing.assert_close(drawn.mean(0), share[0].double(), atol=0.0045, rtol=0)
    assert bool((drawn[:, 0] == 0.5).all())  # two strata of four are its own


@pytest.mark.parametrize("u", [0.0, 1 - 2**-24])
def test_what_has_no_share_is_never_drawn(u: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the least and the largest number that `torch.rand` gives."""
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, u))
    share = torch.tensor([[0.0, 0.0, 0.3, 0.7, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]])
    for draws in (1, 3, 4):
        assert bool((share.gather(1, stratified(share, draws)) > 0).all())


def test_resampling_leaves_the_bound_and_refuses_a_partial_one() -> None:
    space = SPACES["vector"]
    torch.manual_seed(0)
    every = jittered(IWAE(space, latent=2, k=3, width=16))
    some = IWAE(space, latent=2, k=3, width=16, resample=1).eval()
    some.load_state_dict(every.state_dict())
    x = rows(space)
    values = []
    for model in (every, some):
        assert isinstance(model, IWAE)
        torch.manual_seed(1)
        values.append(model.bound(x, None)["bound"])
    torch.testing.assert_close(*values)
    with pytest.raises(ModelError, match="partial"):
        IWAE(space, partial=True, groups=2, resample=1)


def test_the_bound_grows_with_k() -> None:
    """E log mean of k weights grows with k (Burda et al., theorem 1); here over 6,000 rows."""
    torch.manual_seed(0)
    space = SPACES["vector"]
    x = torch.randn(6000, 3)
    values = []
    for k in (1, 4, 16):
        torch.manual_seed(0)
        model = jittered(IWAE(space, latent=2, k=k, width=16))
        assert isinstance(model, IWAE)
        with torch.no_grad():
            torch.manual_seed(1)
            values.append(-model.bound(x, None)["bound"])
    for less, more in pairwise(values):
        gain = more - less
        assert float(gain.mean()) > 4 * float(gain.std()) / math.sqrt(len(x))
