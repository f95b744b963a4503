"""Samplers that are networks, trained for some hundred steps on the codes of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from pushforward.errors import ModelError
from pushforward.families.codes import Code, Posterior
from pushforward.families.samplers.sampler import Sampler
from pushforward.measures.closed_form import gaussian_rate
from pushforward.nn.flows import flow
from pushforward.nn.likelihoods import Gaussian
from pushforward.nn.priors import ContinuousPrior
from pushforward.nn.roles import Encoder
from pushforward.nn.trunks import Trunks
from pushforward.space import Vector

BATCH = 256
STEPS = 500


class Learned(Sampler):
    """A network of codes that are standardised: e = shift + scale y."""

    shift: Tensor
    scale: Tensor

    def __init__(self, prior: ContinuousPrior, classes: int) -> None:
        super().__init__(prior, classes)
        self.register_buffer("shift", torch.zeros(self.latent))
        self.register_buffer("scale", torch.ones(self.latent))

    def standardised(self, e: Tensor) -> Tensor:
        """Return y = (e - shift) / scale, in the network's precision."""
        return (e.to(self.shift.dtype) - self.shift) / self.scale

    @torch.no_grad()
    def fit(self, q: Posterior, c: Tensor | None) -> None:
        """Train the network by `loss`, on codes that are drawn anew in every step."""
        codes = q.draw()
        self.shift.copy_(codes.mean(0))
        self.scale.copy_(codes.std(0, correction=0).clamp(min=1e-6))

        def loss(index: Tensor) -> Tensor:
            y = self.standardised(q.take(index).draw())
            return self.loss(y, None if c is None else c[index])

        minimise(self, loss, len(codes))

    def loss(self, y: Tensor, c: Tensor | None) -> Tensor:
        """Return what is lowered, one value a code (n,)."""
        raise NotImplementedError


def minimise(network: nn.Module, loss: Callable[[Tensor], Tensor], n: int) -> None:
    """Lower the mean loss of rows 0 .. n - 1 by Adam, its rate falling to 0 as a cosine does."""
    device = next(network.parameters()).device
    network.requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    with torch.enable_grad():
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss(torch.randint(n, (min(BATCH, n),), device=device)).mean().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    optimizer.zero_grad()
    network.requires_grad_(False)


class Flow(Learned):
    """A normalising flow: y = T^-1(eps; c), eps ~ N(0, I), an exact density (Dinh et al. 2017)."""

    def __init__(self, prior: ContinuousPrior, classes: int) -> None:
        super().__init__(prior, classes)
        self.flow = flow(self.latent, classes)

    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return shift + scale T^-1(eps; c)."""
        y: Tensor = self.flow(c).transform.inv(self.normal(n))
        return self.shift + self.scale * y

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return log N(T(y; c); 0, I) + log |det dT/dy| - sum log scale, (n,), in nats."""
        return -self.loss(self.standardised(z), c) - self.scale.log().sum()

    def loss(self, y: Tensor, c: Tensor | None) -> Tensor:
        """Return -log-density of standardised codes."""
        return -cast(Tensor, self.flow(c).log_prob(y))


class SecondStage(Learned):
    """A second VAE, of the first one's codes: y ~ N(g(u, c), gamma^2), u ~ N(0, I).

    The aggregate posterior of the codes u is nearer to their prior than that of the first stage,
    as codes fill the space that they are in, and rows do not (Dai & Wipf 2019).
    """

    def __init__(self, prior: ContinuousPrior, classes: int) -> None:
        super().__init__(prior, classes)
        space, networks = Vector(self.latent), Trunks(256, 1)
        self.encoder = Encoder(space, self.latent, classes, networks, separate=False)
        self.decoder = networks.writer(space, self.latent, 1, classes)
        self.likelihood = Gaussian(space)

    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return shift + scale (g(u, c) + gamma eps)."""
        y: Tensor = self.likelihood(self.decoder(self.normal(n), c)).sample()
        return self.shift + self.scale * y

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Raise ModelError: a VAE bounds its density, and does not know it."""
        del z, c
        raise ModelError(
            "codes of a second stage have no density in closed form: fit with --sampler flow, "
            "mixture or kernel to measure a likelihood"
        )

    def loss(self, y: Tensor, c: Tensor | None) -> Tensor:
        """Return -ELBO of standardised codes."""
        u = Code(*self.encoder(y, c))
        distortion: Tensor = -self.likelihood(self.decoder(u.draw(), c)).log_prob(y)
        return distortion + gaussian_rate(u.mean, u.log_var)
