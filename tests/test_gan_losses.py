"""The GANs whose critics are more than a number: energies, kernels, transport, classes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from pushforward.measures.samples import mmd_statistic, mmd_witness
from pushforward.models.ac_gan import ACGAN
from pushforward.models.began import BEGAN
from pushforward.models.ebgan import EBGAN
from pushforward.models.mmd_gan import MMDGAN
from pushforward.models.sinkhorn_gan import SinkhornGAN
from pushforward.space import Vector
from pushforward.training.turn_optimizer import TurnOptimizer
from test_games import SPACES, N, assert_same, gradients, received, rows
from test_restraints import LATENT, generated, made

VARIANCE = {"vector": 1.0, "image": 1 / 16, "cells": 1 / 3}  # of a value: 3 columns, 9 cells


def energy(model: Any, x: Tensor, kind: str) -> Tensor:
    """The loss of the critic's autoencoder, from its layers."""
    critic = model.critic
    restored = critic.writer(critic.head(critic.trunk(x, None)))
    if kind == "cells":
        restored = torch.cat([part.softmax(1) for part in restored.split([2, 3, 4], 1)], 1)
    return torch.as_tensor((x - restored).square().flatten(1).mean(1) / VARIANCE[kind])


@pytest.mark.parametrize("kind", SPACES)
def test_ebgan_gives_each_player_the_papers_gradient(kind: str) -> None:
    margin = 16.0 if kind == "image" else 10.0  # among the energies of generated rows
    model = made(EBGAN, SPACES[kind], margin=margin, pull_away=0.1)
    x, y = rows(SPACES[kind]), generated(model)
    of_x, of_y = energy(model, x, kind), energy(model, y, kind)
    assert bool((of_y < margin).any())  # or the hinge would not be seen
    loss = of_x.mean() + (margin - of_y).clamp(min=0).mean()
    assert_same(received(model, "measure", x)["critic"], gradients(loss, model, "critic"))
    s = model.critic.trunk(y, None)
    pairs = [
        torch.cosine_similarity(s[i], s[j], 0) ** 2 for i in range(N) for j in range(N) if i != j
    ]
    loss = of_y.mean() + 0.1 * torch.stack(pairs).mean()
    assert_same(received(model, "close_in", x)["generator"], gradients(loss, model, "generator"))


@pytest.mark.parametrize("kind", SPACES)
def test_began_gives_each_player_the_papers_gradient_and_k_follows(kind: str) -> None:
    model = made(BEGAN, SPACES[kind], balance_rate=0.01)
    model.k.fill_(0.3)
    x, y = rows(SPACES[kind]), generated(model)
    of_x, of_y = energy(model, x, kind), energy(model, y, kind)
    loss = of_x.mean() - 0.3 * of_y.mean()
    assert_same(received(model, "measure", x)["critic"], gradients(loss, model, "critic"))
    assert_same(
        received(model, "close_in", x)["generator"], gradients(of_y.mean(), model, "generator")
    )
    torch.manual_seed(1)
    TurnOptimizer(model, model.turns()[0], None).step(x, None, 1.0, None)
    expected = 0.3 + 0.01 * (0.5 * of_x.mean() - of_y.mean())
    torch.testing.assert_close(model.k, expected.detach().clamp(0, 1))


def test_the_witness_is_the_difference_of_two_kernel_means() -> None:
    torch.manual_seed(0)
    x, y, a = torch.randn(40, 3), torch.randn(30, 3) + 1, torch.randn(7, 3)
    pooled = torch.cat([x, y])
    median = torch.pdist(pooled).median()

    def k(p: Tensor, q: Tensor) -> Tensor:
        squared = (p[:, None] - q[None]).square().sum(-1)
        widths = [median * factor for factor in (0.25, 0.5, 1, 2, 4)]
        return torch.stack([(-squared / (2 * w**2)).exp() for w in widths]).mean(0)

    expected = k(a, x).mean(1) - k(a, y).mean(1)
    torch.testing.assert_close(mmd_witness(a, x, y), expected, rtol=1e-4, atol=1e-6)
    # E w(x) - E w(y) is the squared MMD with its diagonals, of ones
    gap = mmd_witness(x, x, y).mean() - mmd_witness(y, x, y).mean()
    n, m = len(x), len(y)
    within = [(k(s, s).sum() - len(s)) / (len(s) * (len(s) - 1)) for s in (x, y)]
    unbiased = within[0] + within[1] - 2 * k(x, y).mean()
    torch.testing.assert_close(mmd_statistic(x, y), unbiased, rtol=1e-4, atol=1e-6)
    biased = within[0] * (n - 1) / n + 1 / n + within[1] * (m - 1) / m + 1 / m - 2 * k(x, y).mean()
    torch.testing.assert_close(gap, biased, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", SPACES)
def test_mmd_gan_gives_each_player_the_papers_gradient(kind: str) -> None:
    model = made(MMDGAN, SPACES[kind], penalty=2.0)
    x, y = rows(SPACES[kind]), generated(model)

    def k(p: Tensor, q: Tensor, median: Tensor) -> Tensor:
        squared = (p[:, None] - q[None]).square().sum(-1)
        return torch.stack(
            [(-squared / (2 * (median * 2.0**e) ** 2)).exp() for e in range(-2, 3)]
        ).mean(0)

    def mmd(of_x: Tensor, of_y: Tensor) -> Tensor:
        median = torch.pdist(torch.cat([of_x, of_y]).detach()).median()
        off = 1 - torch.eye(N)
        within = [(k(s, s, median) * off).sum() / (N * (N - 1)) for s in (of_x, of_y)]
        return within[0] + within[1] - 2 * k(of_x, of_y, median).mean()

    of_x, of_y = model.critic(x), model.critic(y)
    loss = mmd(of_x, of_y)
    ours = received(model, "close_in", x)["generator"]
    assert_same(ours, gradients(loss, model, "generator"), atol=1e-5)

    torch.manual_seed(1)
    still = model.generator(torch.randn(N, LATENT)).detach()
    u = torch.rand(N, *(1,) * (x.dim() - 1))
    between = (u * x + (1 - u) * still).requires_grad_()
    of_x, of_y = model.critic(x), model.critic(still)
    median = torch.pdist(torch.cat([of_x, of_y]).detach()).median()
    at = model.critic(between)
    w = (k(at, of_x, median) - k(at, of_y, median)).mean(1)
    (slope,) = torch.autograd.grad(w.sum(), between, create_graph=True)
    penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    loss = -mmd(of_x, of_y) + 2 * penalty
    ours = received(model, "measure", x)["critic"]
    assert_same(ours, gradients(loss, model, "critic"), atol=1e-5)


@pytest.mark.parametrize("kind", SPACES)
def test_sinkhorn_gan_moves_both_players_by_the_same_divergence(kind: str) -> None:
    """Against the divergence by plain Sinkhorn iterations, through which autograd goes."""
    model = made(SinkhornGAN, SPACES[kind], temperature_share=0.25)
    x, y = rows(SPACES[kind]), generated(model)
    epsilon = 2 * 0.25

    def transport(a: Tensor, b: Tensor) -> Tensor:
        cost = 2 - 2 * a @ b.T
        g, weight = torch.zeros(len(b)), torch.tensor(float(len(b))).log()
        for _ in range(300):
            f = -epsilon * ((g - cost) / epsilon - weight).logsumexp(1)
            g = -epsilon * ((f[:, None] - cost) / epsilon - weight).logsumexp(0)
        return f.mean() + g.mean()

    def divergence(a: Tensor, b: Tensor) -> Tensor:
        """That of OT-GAN: a sample's own transport is from one half to the other."""
        (a1, a2), (b1, b2) = a.chunk(2), b.chunk(2)
        across = transport(a1, b1) + transport(a1, b2) + transport(a2, b1) + transport(a2, b2)
        return across / 4 - transport(a1, a2) / 2 - transport(b1, b2) / 2

    of_x, of_y = (torch.nn.functional.normalize(model.critic(v), dim=1) for v in (x, y))
    s = divergence(of_y, of_x)
    theirs = gradients(s, model, "generator")
    assert_same(received(model, "close_in", x)["generator"], theirs, atol=1e-4)
    theirs = gradients(-s, model, "critic")
    assert_same(received(model, "measure", x)["critic"], theirs, atol=1e-4)
    torch.manual_seed(1)
    gap = model.measure(x, None)["gap"].mean()
    torch.testing.assert_close(-gap, s.detach(), rtol=1e-3, atol=1e-4)
    assert [own.repeat for own in model.turns()] == [1, 3]


def test_ac_gan_gives_each_player_the_papers_gradient() -> None:
    torch.manual_seed(0)
    from test_games import jittered

    model: Any = jittered(ACGAN(Vector(3), 2, latent=LATENT, width=16, gamma=0.0, classify=0.7))
    x, labels = rows(Vector(3)), torch.tensor([0, 1, 1, 0, 1, 0])
    c = torch.eye(2)[labels]
    torch.manual_seed(1)
    y = model.generator(torch.randn(N, LATENT), c)

    def classes(v: Tensor) -> Tensor:
        return cross_entropy(model.classifier(model.critic.trunk(v, None)), labels)

    of_x, of_y = model.critic(x), model.critic(y)
    loss = softplus(-of_x).mean() + softplus(of_y).mean() + 0.7 * (classes(x) + classes(y))
    torch.manual_seed(1)
    ours = torch.stack([term.mean() for term in model.measure(x, c).values()]).sum()
    for player in ("critic", "classifier"):
        assert_same(gradients(ours, model, player), gradients(loss, model, player))
    loss = softplus(-of_y).mean() + 0.7 * classes(y)
    torch.manual_seed(1)
    ours = torch.stack([term.mean() for term in model.close_in(N, c).values()]).sum()
    assert_same(gradients(ours, model, "generator"), gradients(loss, model, "generator"))


def test_ac_gan_sums_the_classes_of_a_pack_and_its_critic_does_not_read_them() -> None:
    model = ACGAN(Vector(3), 2, latent=LATENT, width=16, pack=2)
    x, labels = rows(Vector(3)), torch.tensor([0, 1, 1, 0, 1, 0])
    c = torch.eye(2)[labels]
    logits = model.classifier(model.critic.features(x)).reshape(3, 2, 2)
    expected = sum(cross_entropy(logits[:, i], labels[i::2], reduction="none") for i in (0, 1))
    torch.testing.assert_close(model.unclear(x, c), torch.as_tensor(expected))
    assert torch.equal(model.critic(x, c), model.critic(x, 1 - c))
