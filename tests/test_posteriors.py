"""Posteriors of other shapes than a Gaussian: on a sphere, a flow's, and of two levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.nn.functional import normalize

import pushforward as pf
from pushforward.families.codes import Code, joined, kl
from pushforward.families.flow_encoders import FlowCode
from pushforward.families.ladders import LadderCode, LadderPrior
from pushforward.families.spherical import VonMisesFisher
from pushforward.measures.closed_form import gaussian_rate
from pushforward.models.flow_vae import FlowVAE
from pushforward.models.ladder_vae import LadderVAE
from pushforward.models.s_vae import SVAE
from pushforward.models.vae import VAE
from pushforward.nn.flows import flow
from pushforward.nn.priors import Normal as NormalPrior
from pushforward.nn.priors import Sphere
from pushforward.nn.roles import log_variance
from test_games import SPACES, assert_same, gradients, jittered, received, rows

# --- The hyperspherical VAE


def spherical(
    kappa: float, d: int, n: int = 1, dtype: torch.dtype = torch.float64
) -> VonMisesFisher:
    direction = normalize(torch.arange(1.0, d + 1, dtype=dtype), dim=0)
    concentrations = torch.full((n,), kappa, dtype=dtype)
    return VonMisesFisher(direction.expand(n, d), concentrations, Sphere(d).carry)


def mean_cosine(kappa: float, d: int) -> float:
    """E <mu, u> = I_{d/2}(kappa) / I_{d/2-1}(kappa)."""
    return float(special.ive(d / 2, kappa) / special.ive(d / 2 - 1, kappa))


@pytest.mark.parametrize("d", [2, 3, 5, 64])
@pytest.mark.parametrize("kappa", [0.0, 0.5, 20.0, 5000.0])
def test_the_kl_of_a_direction_is_the_integral(kappa: float, d: int) -> None:
    """E log q - log p over the angle, by quadrature; and by scipy's entropy, in Bessel functions.

    The sum over 128 cells is off by less than 1e-4 nats, in single precision as well.
    """
    found = float(spherical(kappa, d).kl())

    def log_density(t: float) -> float:
        return kappa * (math.cos(t) - 1) + (d - 2) * math.log(max(math.sin(t), 1e-300))

    def integral(factor: Callable[[float], float]) -> float:
        def inside(t: float) -> float:
            return factor(t) * math.exp(log_density(t) - top)

        return float(integrate.quad(inside, 0, math.pi, points=[peak], epsabs=0, limit=500)[0])

    peak = max(np.linspace(1e-3, 3, 3000), key=log_density)
    top = log_density(peak)
    log_z0 = 0.5 * math.log(math.pi) + math.lgamma((d - 1) / 2) - math.lgamma(d / 2)
    mean = integral(lambda t: kappa * (math.cos(t) - 1)) / integral(lambda _: 1.0)
    exact = mean - math.log(integral(lambda _: 1.0)) - top + log_z0
    assert found == pytest.approx(exact, abs=1e-4)
    if kappa > 0:
        log_area = math.log(2) + d / 2 * math.log(math.pi) - math.lgamma(d / 2)
        theirs: Any = stats.vonmises_fisher
        entropy = theirs(np.eye(d)[0], kappa).entropy()
        assert found == pytest.approx(log_area - float(entropy), abs=1e-4)
    assert float(spherical(kappa, d, dtype=torch.float32).kl()) == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize(("kappa", "d"), [(0.5, 2), (0.0, 3), (2.0, 5), (300.0, 16), (1e7, 3)])
def test_draws_are_von_mises_fisher(kappa: float, d: int) -> None:
    """Their angle has the distribution of scipy's draws, and around mu no side is preferred."""
    torch.manual_seed(0)
    n = 20_000
    q = spherical(kappa, d, n, torch.float32)
    u = (q.draw() / math.sqrt(d)).double()
    torch.testing.assert_close(u.norm(dim=1), torch.ones(n).double(), rtol=1e-5, atol=0)
    mu = q.direction[0].double()
    side = u - (u @ mu)[:, None] * mu
    angle = torch.atan2(side.norm(dim=1), u @ mu)
    own: Any = stats.vonmises_fisher
    theirs = own(np.eye(d)[0], max(kappa, 1e-9)).rvs(n, random_state=1)
    known = np.arctan2(np.linalg.norm(theirs[:, 1:], axis=1), theirs[:, 0])
    assert stats.ks_2samp(angle.numpy(), known).pvalue > 1e-3
    across = normalize(side, dim=1).mean(0)  # n |mean|^2 has the mean 1
    assert float(across.norm()) < 4 / math.sqrt(n)


@pytest.mark.parametrize(("kappa", "d"), [(2.0, 5), (0.3, 2), (40.0, 3), (60.0, 32)])
def test_gradients_by_the_concentration_are_unbiased(kappa: float, d: int) -> None:
    """d E <mu, u> / d kappa = 1 - A^2 - (d - 1) A / kappa, A = E <mu, u> (Mardia & Jupp 2000).

    The KL's is kappa times that.
    """
    torch.manual_seed(0)
    n = 40_000
    q = spherical(kappa, d, n)
    q.kappa.requires_grad_()
    cosine = (q.draw() * q.direction).sum(1) / math.sqrt(d)
    (slope,) = torch.autograd.grad(cosine.sum(), q.kappa)
    a = mean_cosine(kappa, d)
    exact = 1 - a**2 - (d - 1) * a / kappa
    error = float(slope.std()) / math.sqrt(n)
    assert abs(float(slope.mean()) - exact) < 4 * error + 1e-3 * exact  # and the cells' own error
    assert error < 0.02 * exact  # a tenth too much would be seen
    (by_kl,) = torch.autograd.grad(q.kl().sum(), q.kappa)
    torch.testing.assert_close(by_kl, torch.full_like(by_kl, kappa * exact), rtol=1e-3, atol=1e-5)


def test_gradients_by_the_direction_are_unbiased() -> None:
    """E <a, u> = A <a, mu>, whose gradient by f at mu = f / |f| is A (a - <a, mu> mu) / |f|."""
    torch.manual_seed(0)
    n, d, kappa = 40_000, 4, 3.0
    free = torch.tensor([1.0, 2.0, -1.0, 0.5]).double().expand(n, d).clone().requires_grad_()
    a = torch.tensor([0.3, -1.0, 2.0, 1.0]).double()
    concentration = torch.full((n,), kappa).double()
    q = VonMisesFisher(normalize(free, dim=1), concentration, Sphere(d).carry)
    (slope,) = torch.autograd.grad((q.draw() @ a).sum() / math.sqrt(d), free)
    mu, length = q.direction[0].detach(), float(free[0].detach().norm())
    exact = mean_cosine(kappa, d) * (a - (a @ mu) * mu) / length
    error = slope.std(0) / math.sqrt(n)
    assert bool(((slope.mean(0) - exact).abs() < 4 * error + 1e-3).all())


def test_the_prior_is_uniform_on_the_sphere() -> None:
    """Archimedes: each coordinate of a uniform point on the sphere of R^3 is uniform."""
    torch.manual_seed(0)
    z = Sphere(3).sample(20_000)
    torch.testing.assert_close(z.norm(dim=1), torch.full((20_000,), math.sqrt(3)))
    for coordinate in z.T / math.sqrt(3):
        assert stats.kstest(coordinate.numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("kind", SPACES)
def test_s_vae_pays_for_the_kl_of_its_directions(kind: str) -> None:
    torch.manual_seed(0)
    model = jittered(SVAE(SPACES[kind], latent=4, width=16, beta=2.0))
    assert isinstance(model, SVAE)
    x = rows(SPACES[kind])
    mean, log_var = model.encoder(x)
    assert log_var.shape == (len(x), 1)
    kappa = 4 * (-log_var[:, 0]).exp()
    q = VonMisesFisher(mean / mean.norm(dim=1, keepdim=True), kappa, model.prior.carry)
    torch.manual_seed(1)
    loss = -model.decoder(q.draw()).log_prob(x) + 2.0 * q.kl()
    for player, mine in received(model, "elbo", x).items():
        assert_same(mine, gradients(loss.mean(), model, player))


def test_a_sphere_of_one_dimension_is_refused() -> None:
    with pytest.raises(pf.ModelError, match="latent at least 2, got 1"):
        SVAE(SPACES["vector"], latent=1)


# --- The flow


def flow_code(n: int) -> FlowCode:
    """The codes of n equal rows, far from a Gaussian."""
    torch.manual_seed(0)
    own = flow(2, 3).double()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.mul_(2)
    row = torch.tensor([[0.3, -0.2], [-0.4, -0.8]]).double()
    parts = (row[0], row[1], torch.tensor([1.0, -0.5, 0.3]).double())
    mean, log_var, features = (part.expand(n, -1) for part in parts)
    return FlowCode(mean, log_var, features, own, NormalPrior(2).carry)


def test_the_density_of_a_flow_integrates_to_one_and_is_that_of_its_draws() -> None:
    side = torch.linspace(-8, 8, 321).double()
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        p = flow_code(len(grid)).log_prob(grid).exp() * (16 / 320) ** 2
    assert float(p.sum()) == pytest.approx(1, abs=1e-3)
    n = 20_000
    torch.manual_seed(1)
    draws = flow_code(n).draw().detach()
    expected = p @ grid
    spread = (p @ grid.square() - expected.square()).sqrt()
    assert bool(((draws.mean(0) - expected).abs() < 4 * spread / math.sqrt(n)).all())
    fourth = p @ (grid - expected).pow(4)
    error = (fourth - spread.pow(4)).sqrt() / math.sqrt(n)
    assert bool(((draws.var(0) - spread.square()).abs() < 4 * error).all())


@pytest.mark.parametrize("kind", SPACES)
def test_flow_vae_gives_the_gradient_of_the_elbo(kind: str) -> None:
    """By the change of variables: log q(e) = log N(eps) - log |det de / d eps|, by autograd."""
    torch.manual_seed(0)
    model = jittered(FlowVAE(SPACES[kind], latent=3, width=16, beta=2.0))
    assert isinstance(model, FlowVAE)
    x = rows(SPACES[kind])
    torch.manual_seed(1)
    mean, log_var, h = model.encoder(x)
    eps = torch.randn_like(mean)

    def carried(i: int, noise: Tensor) -> Tensor:
        y = model.encoder.flow(h[i : i + 1]).transform.inv(noise[None])[0]
        return torch.as_tensor(mean[i] + (0.5 * log_var[i]).exp() * y)

    def slope(i: int) -> Tensor:
        matrix = torch.autograd.functional.jacobian(
            lambda noise: carried(i, noise), eps[i], create_graph=True
        )
        return torch.as_tensor(matrix)

    e = torch.stack([carried(i, eps[i]) for i in range(len(x))])
    log_det = torch.stack([slope(i).det().abs().log() for i in range(len(x))])
    normal = Normal(0.0, 1.0)
    rate = normal.log_prob(eps).sum(1) - log_det - normal.log_prob(e).sum(1)
    loss = -model.decoder(e).log_prob(x) + 2.0 * rate
    ours = received(model, "elbo", x)
    for player in ("encoder", "decoder"):
        assert_same(ours[player], gradients(loss.mean(), model, player), atol=1e-5)


# --- The ladder


def ladder(n: int = 1) -> tuple[LadderPrior, LadderCode]:
    torch.manual_seed(0)
    prior = LadderPrior(NormalPrior(2), 3, 16)
    upper = Code(torch.randn(1, 2).expand(n, -1), torch.full((n, 2), -1.0))
    message = Code(torch.randn(1, 3).expand(n, -1), torch.tensor([[-1.0, 0.5, 0.0]]).expand(n, -1))
    return prior, LadderCode(upper, message, prior)


def test_the_lower_level_joins_the_message_with_the_prior() -> None:
    """Carried to what the decoder reads, its density is their product, but for a constant."""
    prior, q = ladder()
    e2 = q.upper.draw()
    below, lower = prior.given(e2), q.lower(e2)
    own = Normal(below.mean + below.sigma * lower.mean, below.sigma * lower.sigma)
    points = torch.randn(50, 3)
    product = below.log_prob(points) + q.message.log_prob(points)
    assert float((product - own.log_prob(points).sum(1)).detach().std()) < 1e-5


@pytest.mark.parametrize("log_var", [-200.0, 4.0])
def test_a_message_of_any_precision_gives_the_lower_level(log_var: float) -> None:
    """Precisions add up, also where their ratio overflows in float32."""
    prior = LadderPrior(NormalPrior(2), 2, 16)
    message = Code(torch.full((3, 2), 0.7), torch.full((3, 2), log_var))
    code = LadderCode(Code(torch.zeros(3, 2), torch.zeros(3, 2)), message, prior)
    lower, below = code.lower(e2 := torch.randn(3, 2)), prior.given(e2)
    ratio = (below.log_var - message.log_var).double().exp()  # finite in float64
    u = ((message.mean - below.mean) / below.sigma).double()
    torch.testing.assert_close(lower.mean.double(), u * ratio / (1 + ratio), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(lower.log_var.double(), -ratio.log1p(), rtol=1e-5, atol=1e-5)


def test_the_rate_of_two_levels_is_the_sum_of_the_papers() -> None:
    """KL of q(z2) from p(z2), and of q(z1|z2) from p(z1|z2): neither changes in coordinates."""
    prior, q = ladder()
    e, joint = q.drawn()
    e1, e2 = prior.parts(e)
    below, lower = prior.given(e2), q.lower(e2)
    z1 = Normal(below.mean + below.sigma * lower.mean, below.sigma * lower.sigma)
    rate = kl_divergence(z1, Normal(below.mean, below.sigma)).sum(1)
    rate = rate + kl_divergence(Normal(q.upper.mean, q.upper.sigma), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl(joint, prior, e), rate, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prior.carry(e), below.mean + below.sigma * e1)


def test_ladder_vae_gives_the_gradient_of_the_papers_loss() -> None:
    torch.manual_seed(0)
    model = jittered(LadderVAE(SPACES["vector"], latent=4, upper=2, width=16, beta=2.0))
    assert isinstance(model, LadderVAE)
    x = rows(SPACES["vector"])
    torch.manual_seed(1)
    upper, message = model.encoder(x)
    z2 = upper.mean + upper.sigma * torch.randn_like(upper.mean)
    mean, log_var = model.prior.down(z2).chunk(2, 1)
    precisions = (-log_var).exp(), (-message.log_var).exp()
    precision = precisions[0] + precisions[1]
    q = Normal((precisions[0] * mean + precisions[1] * message.mean) / precision, precision.rsqrt())
    z1 = q.mean + q.stddev * torch.randn_like(mean)
    rate = kl_divergence(q, Normal(mean, (0.5 * log_var).exp())).sum(1)
    rate = rate + kl_divergence(Normal(upper.mean, upper.sigma), Normal(0.0, 1.0)).sum(1)
    loss = -model.decoder(z1).log_prob(x) + 2.0 * rate
    for player, mine in received(model, "elbo", x).items():
        assert_same(mine, gradients(loss.mean(), model, player), atol=1e-5)


class WayDown(torch.nn.Module):
    """z1 = W z2 + b + s e1."""

    def __init__(self, matrix: Tensor, offset: Tensor, s: float) -> None:
        super().__init__()
        self.matrix, self.offset, self.s = matrix, offset, s

    def forward(self, z2: Tensor) -> Tensor:
        mean = z2 @ self.matrix.T + self.offset
        return torch.cat([mean, torch.full_like(mean, 2 * math.log(self.s))], 1)


def test_a_ladders_prior_is_a_gaussian_where_the_way_down_is_linear() -> None:
    """N(b, W W' + s^2), by mean and covariance of many draws."""
    torch.manual_seed(0)
    prior = LadderPrior(NormalPrior(2), 3, 4)
    down = WayDown(torch.randn(3, 2), torch.randn(3), 0.5)
    prior.down = down  # type: ignore[assignment]  # in place of the network
    n = 50_000
    z = prior.sample(n)
    covariance = down.matrix @ down.matrix.T + down.s**2 * torch.eye(3)
    exact = MultivariateNormal(down.offset, covariance)
    assert bool(((z.mean(0) - exact.mean).abs() < 4 * exact.stddev / math.sqrt(n)).all())
    spread = covariance.diagonal()
    error = ((spread[:, None] * spread + covariance.square()) / n).sqrt()
    assert bool(((torch.cov(z.T) - covariance).abs() < 4 * error).all())


# --- What all posteriors share


def test_codes_of_any_kind_are_taken_and_joined() -> None:
    def turned(n: int) -> list[VonMisesFisher | FlowCode | LadderCode]:
        """Codes of n rows that differ."""
        flows, (_, two), sphere = flow_code(n), ladder(n), spherical(2.0, 3, n)
        step = torch.arange(n)[:, None]
        message = Code(two.message.mean + step, two.message.log_var)
        return [
            VonMisesFisher(normalize(sphere.direction + step, dim=1), sphere.kappa, sphere.carry),
            FlowCode(flows.mean + step, *list(vars(flows).values())[1:]),
            LadderCode(two.upper, message, two.prior),
        ]

    for q in turned(5):
        whole = joined([q.take(torch.tensor([3, 1])), q.take(torch.tensor([0]))])
        torch.testing.assert_close(whole.centre(), q.centre()[[3, 1, 0]])
        torch.testing.assert_close(q.repeated(2).centre()[[4, 5]], q.centre()[[2, 2]])
        assert q.finite


# --- Log-variances


def test_a_log_variance_that_went_astray_comes_back() -> None:
    """The rate of N(0, exp(raw)) against N(0, 1) has its minimum at raw = 0."""
    raw = torch.tensor([-30.0, -2.0, 3.0, 40.0])
    torch.testing.assert_close(log_variance(raw), torch.tensor([-30.0, -2.0, 3.0, 4.0]))
    raw.requires_grad_()
    optimizer = torch.optim.Adam([raw], 0.5)
    for _ in range(1000):
        optimizer.zero_grad()
        gaussian_rate(torch.zeros(4, 1), log_variance(raw)[:, None]).sum().backward()
        optimizer.step()
    # Adam ends within a thousandth; what lets no gradient through stays at 40
    torch.testing.assert_close(raw.detach(), torch.zeros(4), rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("cls", "heads"),
    [
        (VAE, {"f2": slice(4)}),
        (FlowVAE, {"heads": slice(4, 8)}),
        (LadderVAE, {"message": slice(2, 4), "up.1": slice(2, 4)}),
    ],
    ids=["vae", "flow-vae", "ladder-vae"],
)
def test_an_encoder_that_went_astray_has_a_finite_loss(
    cls: type[Any], heads: dict[str, slice]
) -> None:
    """A raw log-variance of 1,000, of which the exponential is infinite in float32."""
    space = SPACES["image"]
    model = cls(space, latent=4, width=16)
    for head, raw in heads.items():
        nn.init.constant_(model.encoder.get_submodule(head).bias.data[raw], 1000.0)
    (turn,) = model.turns()
    loss = sum(term.mean() for term in getattr(model, turn.name)(rows(space), None).values())
    loss.backward()
    assert bool(loss.isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
