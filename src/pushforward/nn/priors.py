"""Priors p(z): the simple distributions that a model carries onto the data.

Each is written in *normal coordinates*: a point e of R^latent and a map `carry` to the code z that
the decoder or generator reads. For the standard normal the map is the identity. For the uniform it
is the normal's distribution function, a bijection, and a KL divergence does not change under one:
so a VAE with a uniform prior keeps the closed form.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from pushforward.errors import ModelError, nearest


class Prior(nn.Module, ABC):
    """p(z) on R^latent."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent
        # An empty buffer moves with the model and so knows its device.
        self.register_buffer("anchor", torch.empty(0), persistent=False)

    def normal(self, n: int) -> Tensor:
        """Return N(0, I) noise (n, latent) from torch's global random state."""
        return torch.randn(n, self.latent, device=self.device)

    @property
    def device(self) -> torch.device:
        """Where random numbers are drawn."""
        return self.get_buffer("anchor").device

    def sample(self, n: int) -> Tensor:
        """Return n codes z (n, latent)."""
        return self.carry(self.draw(n))

    def draw(self, n: int) -> Tensor:
        """Return n points e in normal coordinates (n, latent)."""
        return self.normal(n)

    def carry(self, e: Tensor) -> Tensor:
        """Return the codes z of points e in normal coordinates."""
        return e

    @property
    def standard(self) -> bool:
        """Whether the prior is N(0, I) in normal coordinates, so that the KL has a closed form."""
        return True

    @abstractmethod
    def log_prob(self, e: Tensor) -> Tensor:
        """Return log p(e) in normal coordinates, (n,), in nats."""


class Normal(Prior):
    """N(0, I)."""

    def log_prob(self, e: Tensor) -> Tensor:
        """Return -1/2 sum(e^2 + log 2 pi)."""
        return -0.5 * (e.square() + math.log(2 * math.pi)).sum(-1)


class Uniform(Normal):
    """Uniform on [-sqrt 3, sqrt 3]^latent (variance 1): z = sqrt(3) (2 Phi(e) - 1)."""

    def carry(self, e: Tensor) -> Tensor:
        """Return sqrt(3) (2 Phi(e) - 1) = sqrt(3) erf(e / sqrt 2)."""
        return math.sqrt(3) * torch.erf(e * math.sqrt(0.5))


class Mixture(Prior):
    """A mixture of `components` Gaussians of equal weight, with learnable means and scales.

    A turn that names `prior` among its players moves them; in other turns they stand still.
    """

    def __init__(self, latent: int, components: int = 10) -> None:
        super().__init__(latent)
        # A fixed seed of its own: a model's start depends on nothing but its arguments.
        start = torch.randn(components, latent, generator=torch.Generator().manual_seed(components))
        self.means = nn.Parameter(start)
        self.log_scales = nn.Parameter(torch.full((components, latent), math.log(0.5)))

    @property
    def standard(self) -> bool:
        """A mixture has no closed-form KL."""
        return False

    def draw(self, n: int) -> Tensor:
        """Return means + scales * N(0, I), of components drawn uniformly."""
        component = torch.randint(len(self.means), (n,), device=self.means.device)
        return self.means[component] + self.log_scales[component].exp() * self.normal(n)

    def log_prob(self, e: Tensor) -> Tensor:
        """Return log 1/K sum_k N(e; mean_k, scale_k^2)."""
        standard = (e[:, None] - self.means) * (-self.log_scales).exp()
        each = -0.5 * (standard.square() + math.log(2 * math.pi)) - self.log_scales
        return each.sum(-1).logsumexp(-1) - math.log(len(self.means))


PRIORS: dict[str, type[Prior]] = {"normal": Normal, "uniform": Uniform, "mixture": Mixture}


def prior(name: str, latent: int) -> Prior:
    """Return the prior of that name; ModelError suggests the nearest for an unknown one."""
    if latent < 1:
        msg = f"latent must be at least 1, got {latent}"
        raise ModelError(msg)
    if name not in PRIORS:
        msg = f"unknown prior {name!r}: {nearest(name, PRIORS)}"
        raise ModelError(msg)
    return PRIORS[name](latent)
