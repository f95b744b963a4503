"""The games of WGAN-GP, VAE-GAN and VQ-VAE: what each player receives, written by hand."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, one_hot

import pushforward as pf
from pushforward.families.codes import Codebook, mean_square, quantise, squared_distance
from pushforward.families.critics import WithCritic
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Model, Terms, Turn, turn
from pushforward.families.options import at_least
from pushforward.families.priors import WithPrior
from pushforward.models.vae_gan import VAEGAN
from pushforward.models.vq_vae import VQVAE
from pushforward.models.wgan_gp import WGANGP
from pushforward.nn.clip import clip
from pushforward.nn.likelihoods import Autoregressive, Categorical
from pushforward.nn.priors import DiscretePrior
from pushforward.space import Cells, Image, Space, Vector, slope_scale
from pushforward.training.moving_average import MovingAverage
from pushforward.training.plan import phase
from pushforward.training.turn_optimizer import TurnOptimizer

SPACES: dict[str, Space] = {
    "vector": Vector(3),
    "image": Image(1, 8, 8),
    "cells": Cells((2, 3, 4)),
}
N = 6


def rows(space: Space) -> Tensor:
    if isinstance(space, Cells):
        parts = [one_hot(torch.randint(k, (N,)), k) for k in space.sizes]
        return torch.cat(parts, 1).float()
    return torch.randn(N, *space.shape).tanh()


def jittered(model: Model) -> Model:
    """The second layers of residual blocks start at 0: move all weights, so that each matters."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()  # without dropout


def gradients(loss: Tensor, model: Model, player: str) -> list[Tensor | None]:
    parameters = list(model.player(player).parameters())
    if not parameters:
        return []
    return list(torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True))


def received(model: Model, name: str, x: Tensor) -> dict[str, list[Tensor | None]]:
    """The gradient that each player receives in a turn of the library."""
    (own,) = (t for t in model.turns() if t.name == name)
    torch.manual_seed(1)
    terms: Terms = getattr(model, name)(x if own.data else len(x), None)
    loss = torch.stack([term.mean() for term in terms.values()]).sum()
    return {player: gradients(loss, model, player) for player in own.players}


def assert_same(ours: list[Tensor | None], theirs: list[Tensor | None], atol: float = 1e-6) -> None:
    """Equal gradients, one of which at least is not 0; what is not in the graph has gradient 0."""
    assert any(g is not None and bool(g.any()) for g in theirs)
    for a, b in zip(ours, theirs, strict=True):
        if a is None or b is None:
            assert not any(g is not None and bool(g.any()) for g in (a, b))
        else:
            # float32 sums in another order: an entry may be the small difference of large parts
            torch.testing.assert_close(a, b, rtol=1e-3, atol=max(atol, 1e-5 * float(b.abs().max())))


# --- WGAN-GP


@pytest.mark.parametrize("kind", SPACES)
def test_wgan_gp_gives_each_player_the_papers_gradient(kind: str) -> None:
    torch.manual_seed(0)
    model = jittered(WGANGP(SPACES[kind], latent=4, penalty=7.0, width=16))
    assert isinstance(model, WGANGP)
    x = rows(SPACES[kind])

    torch.manual_seed(1)
    fake = model.generator(torch.randn(N, 4)).detach()
    u = torch.rand(N, *(1,) * (x.dim() - 1))
    between = (u * x + (1 - u) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(model.critic(between).sum(), between, create_graph=True)
    norm = slope.flatten(1).norm(dim=1)
    loss = model.critic(fake).mean() - model.critic(x).mean() + 7.0 * ((norm - 1) ** 2).mean()
    assert_same(received(model, "measure", x)["critic"], gradients(loss, model, "critic"))

    torch.manual_seed(1)
    loss = -model.critic(model.generator(torch.randn(N, 4))).mean()
    assert_same(received(model, "close_in", x)["generator"], gradients(loss, model, "generator"))


def test_the_penalty_does_not_scale_with_the_data_and_its_gradient_is_finite_at_slope_0() -> None:
    model = WGANGP(Vector(50), latent=2, penalty=10.0)
    nn.init.zeros_(model.critic.head.weight)  # D is constant: |grad D| = 0, penalty (0 - 1)^2
    terms = model.measure(torch.randn(4, 50), None)
    torch.testing.assert_close(terms["penalty"], torch.full((4,), 10.0), rtol=1e-4, atol=0)
    slopes = gradients(terms["penalty"].sum(), model, "critic")
    assert all(g is None or bool(g.isfinite().all()) for g in slopes)


def test_how_often_the_critic_moves_is_an_option() -> None:
    turns = {n: WGANGP(Vector(2), n_critic=n).turns() for n in (1, 3)}
    assert [t[0].repeat for t in turns.values()] == [1, 3]
    fitted = pf.fit("ring", "wgan-gp", n_critic=3, budget=4, batch_size=50, width=8, latent=2)
    assert fitted.history[-2]["samples"] == 4 * 3 * 50  # the generator's turn draws no rows


# --- VAE-GAN


@pytest.mark.parametrize("kind", SPACES)
def test_vae_gan_gives_each_player_the_papers_gradient(kind: str) -> None:
    torch.manual_seed(0)
    model = jittered(VAEGAN(SPACES[kind], latent=4, gamma=0.3, r1=0.0, width=16))
    assert isinstance(model, VAEGAN)
    x, image = rows(SPACES[kind]), kind == "image"

    def shown(z: Tensor) -> Tensor:
        p = model.decoder(z)
        return clip(p.mean()) if image else torch.as_tensor(p.rsample())

    def features(y: Tensor) -> Tensor:
        return torch.as_tensor(model.critic.trunk(y, None))

    torch.manual_seed(1)  # encoder: KL + 1/2 |F(x) - F(y)|^2
    mu, log_var = model.encoder(x)
    y = shown(mu + (0.5 * log_var).exp() * torch.randn(N, 4))
    q = torch.distributions.Normal(mu, (0.5 * log_var).exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    like = 0.5 * (features(x) - features(y)).square().sum(1)
    loss = (kl + like).mean()
    assert_same(received(model, "infer", x)["encoder"], gradients(loss, model, "encoder"))

    torch.manual_seed(1)  # decoder: gamma L - log D(y) - log D(new)
    z = mu + (0.5 * log_var).exp() * torch.randn(N, 4)
    own = torch.randn(N, 4)
    y, new = shown(z), shown(own)
    like = 0.5 * (features(x) - features(y)).square().sum(1)
    loss = (0.3 * like - logsigmoid(model.critic(y)) - logsigmoid(model.critic(new))).mean()
    assert_same(received(model, "close_in", x)["decoder"], gradients(loss, model, "decoder"))

    torch.manual_seed(1)  # critic: -log D(x) - log(1 - D(y)) - log(1 - D(new))
    z, own = (mu + (0.5 * log_var).exp() * torch.randn(N, 4)).detach(), torch.randn(N, 4)
    y, new = model.generate(z).detach(), model.generate(own).detach()
    loss = -logsigmoid(model.critic(x)).mean()
    loss = loss - logsigmoid(-model.critic(y)).mean() - logsigmoid(-model.critic(new)).mean()
    assert_same(received(model, "measure", x)["critic"], gradients(loss, model, "critic"))


@pytest.mark.parametrize("kind", SPACES)
def test_r1_of_the_vae_gan_is_the_squared_slope_by_double_backward(kind: str) -> None:
    torch.manual_seed(0)
    model = jittered(VAEGAN(SPACES[kind], latent=4, r1=0.6, width=16))
    x = rows(SPACES[kind]).requires_grad_()
    (slope,) = torch.autograd.grad(model.player("critic")(x).sum(), x, create_graph=True)
    # r1 is given per unit of data variance: 1 a number of an array or an image, less for cells
    penalty = 0.6 * slope_scale(SPACES[kind]) / 2 * slope.flatten(1).square().sum(1)
    assert isinstance(model, VAEGAN)
    terms = model.measure(x.detach(), None)
    torch.testing.assert_close(terms["r1"], penalty, rtol=1e-4, atol=1e-7)
    theirs = gradients(penalty.mean(), model, "critic")
    assert_same(gradients(terms["r1"].mean(), model, "critic"), theirs)


def test_every_component_names_its_players_for_the_moving_average() -> None:
    assert set(VAEGAN.averaged) == {"encoder", "decoder", "prior"}
    assert set(WGANGP.averaged) == {"generator", "prior"}
    assert set(VQVAE.averaged) == {"encoder", "codebook", "decoder", "prior"}


# --- VQ-VAE


@pytest.mark.parametrize("kind", SPACES)
def test_vq_vae_passes_the_gradient_straight_through(kind: str) -> None:
    """d loss / d z_e = d distortion / d z_q + 2 beta (z_e - e) / m; d loss / d e = 2 (e - z_e) / m.

    m is how many numbers a row's code has.
    """
    torch.manual_seed(0)
    model = jittered(VQVAE(SPACES[kind], levels=5, code_size=3, positions=2, beta=0.4, width=16))
    assert isinstance(model, VQVAE)
    x = rows(SPACES[kind])
    ours = received(model, "elbo", x)

    z_e = model.encoder(x)
    distances = (z_e[:, :, None] - model.codebook.scaled).square().sum(-1)
    k = distances.argmin(-1)
    assert torch.equal(k, model.codebook.nearest(z_e))
    e = model.codebook.scaled[k]
    z_q = e.detach().requires_grad_()
    torch.manual_seed(1)
    distortion = -model.decoder(model.laid(z_q)).log_prob(x).mean()
    (through,) = torch.autograd.grad(distortion, z_q, retain_graph=True)
    m = z_e[0].numel()
    by_z_e = through + 2 * 0.4 * (z_e - e).detach() / m / N
    by_e = 2 * (e - z_e).detach() / m / N
    assert_same(ours["encoder"], gradients((z_e * by_z_e).sum(), model, "encoder"))
    assert_same(ours["codebook"], gradients((e * by_e).sum(), model, "codebook"))
    assert_same(ours["decoder"], gradients(distortion, model, "decoder"))


def test_the_prior_of_vq_vae_learns_the_rows_codes_in_a_phase_of_its_own() -> None:
    torch.manual_seed(0)
    model = jittered(VQVAE(Vector(3), levels=5, code_size=3, positions=2, width=16))
    assert isinstance(model, VQVAE)
    x = rows(Vector(3))
    k = model.codebook.nearest(model.encoder(x))
    rate = -model.prior.log_prob(k).mean()
    assert_same(received(model, "learn_prior", x)["prior"], gradients(rate, model, "prior"))
    late, early = (model.turns()[i] for i in (1, 0))
    assert (early.end, late.start) == (0.5, 0.5)
    assert phase(early, 100) == (0, 50)
    assert phase(late, 100) == (50, 100)
    assert phase(early, None)[0] == 0
    assert phase(late, None)[0] > 10**9  # not before the length is known


def test_quantising_moves_no_gradient_to_the_codebook() -> None:
    z_e, e = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    weights = torch.randn(2, 3)
    out = quantise(z_e, e)
    torch.testing.assert_close(out, e)
    by_z_e, by_e = torch.autograd.grad((out * weights).sum(), (z_e, e), allow_unused=True)
    torch.testing.assert_close(by_z_e, weights)
    assert by_e is None


def test_squared_distance_and_codebook_against_a_loop() -> None:
    a, b = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    pairs = [zip(a[i].flatten().tolist(), b[i].flatten().tolist(), strict=True) for i in range(3)]
    loop = torch.tensor([sum((p - q) ** 2 for p, q in pair) for pair in pairs])
    torch.testing.assert_close(squared_distance(a, b), loop)
    torch.testing.assert_close(mean_square(a, b), loop / 8)
    book = Codebook(4, 3)
    assert torch.allclose(book.scaled.norm(dim=1), torch.tensor(math.sqrt(3)))
    assert torch.equal(book(torch.tensor([[2, 0]])), book.scaled[[2, 0]][None])


# --- discrete priors, and draws through which gradients flow


def test_a_discrete_prior_sums_to_one_and_draws_from_its_own_probabilities() -> None:
    torch.manual_seed(0)
    prior = DiscretePrior(3, 3, classes=2, units=16).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.7 * torch.randn_like(parameter))
        codes = torch.tensor(list(itertools.product(range(3), repeat=3)))
        c = torch.tensor([[0.0, 1.0]])
        p = prior.log_prob(codes, c.expand(len(codes), 2)).exp()
        assert float(p.sum()) == pytest.approx(1, abs=1e-5)
        n = 20_000
        draws = prior.sample(n, c.expand(n, 2))
    counts = torch.bincount(draws @ torch.tensor([9, 3, 1]), minlength=27)
    # a multinomial of 27 cells: the largest of 27 standard normals exceeds 4 in 1 of 600 cases
    sigma = (p * (1 - p) * n).sqrt()
    assert float(((counts - p * n).abs() / sigma.clamp_min(1)).max()) < 4


@pytest.mark.parametrize("head", [Categorical, Autoregressive])
def test_relaxed_rows_are_draws_of_the_same_distribution(head: Any) -> None:
    """Forward they are one-hot rows with the shares of `sample`; backward they have a gradient."""
    torch.manual_seed(0)
    space, n = Cells((2, 3)), 20_000
    likelihood = head(space).eval()
    with torch.no_grad():
        for parameter in likelihood.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    outputs = (0.5 * torch.randn(1, 5)).expand(n, 5).clone().requires_grad_()
    p = likelihood(outputs)
    relaxed, drawn = p.rsample(), p.sample()
    assert set(relaxed.detach().round(decimals=5).unique().tolist()) == {0.0, 1.0}
    cells = [r[:, :2].argmax(1) * 3 + r[:, 2:].argmax(1) for r in (relaxed, drawn)]
    joint = [cell.bincount(minlength=6) for cell in cells]
    # two multinomials: a cell's counts differ by sqrt(2 n p (1 - p)) <= sqrt(n / 2); 4.5 of these
    assert int((joint[0] - joint[1]).abs().max()) < 4.5 * math.sqrt(n / 2)
    (slope,) = torch.autograd.grad(relaxed[:, 3].sum(), outputs)
    assert bool((slope[:, 2:].abs().sum(1) > 0).all())
    assert bool((slope[:, :2] == 0).all())  # a column as drawn, also by those after it in a chain


# --- what a model may do besides


class ClippedWGAN(WithCritic, WithGenerator):
    """The first Wasserstein GAN: weights are clipped after each step of the critic."""

    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        clip: Annotated[float, "Largest weight of the critic.", at_least(0)] = 0.01,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.clip = clip

    @turn("critic", repeat=2)
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        return {"real": -self.critic(x, c), "fake": self.critic(self.imagine(len(x), c), c)}

    @turn("generator", data=False)
    def close_in(self, n: int, c: Tensor | None) -> Terms:
        return {"fool": -self.critic(self.imagine(n, c), c)}

    def after_step(self, turn: str) -> None:
        if turn == "measure":
            for weight in self.critic.parameters():
                weight.clamp_(-self.clip, self.clip)


def test_a_hook_clips_weights_and_its_option_is_not_trainings() -> None:
    fitted = pf.fit("ring", ClippedWGAN, clip=0.02, clip_grad_norm=1.0, budget=5, width=8, latent=2)
    weights = torch.cat([p.flatten() for p in fitted.model.player("critic").parameters()])
    assert float(weights.abs().max()) == pytest.approx(0.02)
    assert fitted.model.name == "ClippedWGAN"


class Shadowing(ClippedWGAN):
    """An option with the name of a setting."""

    def __init__(self, space: Space, classes: int = 0, *, ema: float = 1.0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        self.ema = ema


def test_an_option_with_the_name_of_a_setting_is_refused() -> None:
    with pytest.raises(pf.ModelError, match="'ema'"):
        pf.fit("ring", Shadowing, budget=1)


class Normalised(WithPrior):
    """A model with running statistics."""

    averaged: ClassVar[tuple[str, ...]] = ("body",)

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        self.body = nn.Sequential(nn.Linear(self.prior.latent, 2), nn.BatchNorm1d(2))

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return torch.as_tensor(self.body(z))

    @turn("body", data=False)
    def play(self, n: int, c: Tensor | None) -> Terms:
        return {"square": self.imagine(n, c).square().sum(1)}


def test_averages_take_buffers_along() -> None:
    torch.manual_seed(0)
    model = Normalised(Vector(2), latent=3)
    average = MovingAverage(model, 0.9)
    optimizer = TurnOptimizer(model, model.turns()[0], None)
    for step in range(3):
        optimizer.step(16, None, 1.0, None)
        average.follow(step + 1)
    copy = dict(average.catch_up().named_buffers())
    for name, buffer in model.named_buffers():
        assert torch.equal(copy[name], buffer), name
    assert int(copy["body.1.num_batches_tracked"]) == 3
    live = dict(model.named_parameters())["body.0.weight"]
    assert not torch.equal(dict(average.model.named_parameters())["body.0.weight"], live)


class Phased(Normalised):
    """A phase that is an option."""

    def __init__(self, space: Space, start: float, end: float) -> None:
        super().__init__(space, latent=2)
        self.start, self.end = start, end

    @turn("body", data=False, start="start", end="end")
    def play(self, n: int, c: Tensor | None) -> Terms:
        return super().play(n, c)


@pytest.mark.parametrize(("start", "end"), [(0.5, 0.5), (-0.1, 1.0), (0.0, 1.2)])
def test_impossible_phases_are_refused(start: float, end: float) -> None:
    with pytest.raises(pf.ModelError, match="start"):
        Phased(Vector(2), start, end).turns()


def test_a_turn_keeps_its_defaults() -> None:
    assert Normalised(Vector(2), latent=2).turns() == [Turn("play", ("body",), data=False)]
