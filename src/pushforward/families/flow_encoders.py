"""The components of models whose q(z|x) is a normalising flow's, of a shape of its own a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pushforward.families.codes import Posterior
from pushforward.families.encoders import WithCodes
from pushforward.families.priors import WithPrior
from pushforward.nn.flows import flow
from pushforward.nn.roles import log_variance
from pushforward.nn.trunks import Networks
from pushforward.space import Space

FEATURES = 32  # of a row, that its flow is given


@dataclass(frozen=True)
class FlowCode(Posterior):
    """e = mean + sigma T^-1(eps; h), eps ~ N(0, I), with a flow T of the row's features h.

    Args:
        mean: f1(x), (n, latent).
        log_var: f2(x) = 2 log sigma.
        features: h(x), (n, FEATURES).
        flow: from features to the flow's distributions.
        carry: the prior's map.
    """

    mean: Tensor
    log_var: Tensor
    features: Tensor
    flow: Callable[[Tensor], Any]
    carry: Callable[[Tensor], Tensor]

    def centre(self) -> Tensor:
        """Return where the flow takes eps = 0."""
        return self._moved(torch.zeros_like(self.mean))

    def draw(self) -> Tensor:
        """Return the reparametrised draw."""
        return self._moved(torch.randn_like(self.mean))

    def log_prob(self, e: Tensor) -> Tensor:
        """Return log N(T(y; h); 0, I) + log |det dT/dy| - sum log sigma, y = (e - mean) / sigma."""
        y = (e - self.mean) * (-0.5 * self.log_var).exp()
        density: Tensor = self.flow(self.features).log_prob(y)
        return density - 0.5 * self.log_var.sum(1)

    def _moved(self, eps: Tensor) -> Tensor:
        y: Tensor = self.flow(self.features).transform.inv(eps)
        return self.mean + (0.5 * self.log_var).exp() * y


class FlowEncoder(nn.Module):
    """The two encoders of the theory, and a flow whose shape follows from features of the row."""

    def __init__(self, space: Space, latent: int, classes: int, networks: Networks) -> None:
        super().__init__()
        self.trunk = networks.reader(space, classes)
        self.heads = nn.Linear(networks.width, 2 * latent + FEATURES)
        self.sizes = [latent, latent, FEATURES]
        self.flow = flow(latent, FEATURES)

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return f1(x), f2(x) and h(x)."""
        mean, log_var, features = self.heads(self.trunk(x, c)).float().split(self.sizes, 1)
        return mean, log_variance(log_var), features


class WithFlowEncoder(WithCodes, WithPrior):
    """A model whose encoder ends in a normalising flow."""

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        self.encoder = FlowEncoder(space, self.prior.latent, classes, self.networks)

    def encode(self, x: Tensor, c: Tensor | None = None) -> FlowCode:
        """Return q(z|x)."""
        mean, log_var, features = self.encoder(x, c)
        return FlowCode(mean, log_var, features, self.encoder.flow, self.prior.carry)
