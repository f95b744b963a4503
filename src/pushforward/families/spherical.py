"""The components of models whose codes lie on a sphere: the von Mises-Fisher distribution.

On the unit sphere of R^d it has the density C exp(kappa <mu, u>). With t the angle between u and
mu, u = mu cos t + v sin t, where v is uniform among the unit vectors orthogonal to mu, and

    p(t) = exp(kappa (cos t - 1)) sin(t)^(d - 2) / Z,   Z = the integral of that over [0, pi].

So all that is needed of a code are integrals over one angle. They are sums over cells around the
angle at which p is largest: no Bessel functions, and no rejection, through which gradients would be
biased (Davidson et al. 2018 neglect a term). A draw of t inverts the sum; autograd inverts it too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pushforward.errors import ModelError
from pushforward.families.codes import Posterior
from pushforward.families.encoders import WithCodes
from pushforward.families.priors import WithLatent
from pushforward.nn.priors import Sphere
from pushforward.nn.roles import Encoder
from pushforward.space import Space

CELLS = 128
REACH = 8.0  # of the cells on either side, in standard deviations of a normal as narrow as p


@dataclass(frozen=True)
class VonMisesFisher(Posterior):
    """q(z|x) around unit vectors `direction` (n, d), with concentrations `kappa` (n,) >= 0."""

    direction: Tensor
    kappa: Tensor
    carry: Callable[[Tensor], Tensor]

    def centre(self) -> Tensor:
        """Return the directions, at length sqrt(d): as long as draws of N(0, I) mostly are."""
        return math.sqrt(self.direction.shape[1]) * self.direction

    def draw(self) -> Tensor:
        """Return the reparametrised draw, at length sqrt(d)."""
        t = self._angle()[:, None]
        noise = torch.randn_like(self.direction)
        along = (noise * self.direction).sum(1, keepdim=True) * self.direction
        u = self.direction * t.cos() + normalize(noise - along, dim=1) * t.sin()
        return math.sqrt(u.shape[1]) * normalize(u, dim=1)  # where noise - along nearly cancels

    def kl(self) -> Tensor:
        """Return KL(q || uniform on the sphere), (n,), in nats.

        kappa E[cos t - 1] - log Z + log Z_0, Z_0 = sqrt(pi) Gamma((d - 1) / 2) / Gamma(d / 2) being
        Z at kappa = 0.
        """
        d = self.direction.shape[1]
        t, log_p = self._cells()
        log_z = log_p.logsumexp(1) + (t[:, 1] - t[:, 0]).log()
        log_z0 = 0.5 * math.log(math.pi) + math.lgamma((d - 1) / 2) - math.lgamma(d / 2)
        return self.kappa * (log_p.softmax(1) * _below_one(t)).sum(1) - log_z + log_z0

    def _cells(self) -> tuple[Tensor, Tensor]:
        """Return the middles t (n, cells) of cells of equal width, and log p(t) + log Z there.

        With m = d - 2, p is largest where cos t = 2 kappa / (m + sqrt(m^2 + 4 kappa^2)) and
        sin(t)^2 = m cos t / kappa. There, log p has a curvature of kappa (cos t + 1 / cos t).
        """
        m = self.direction.shape[1] - 2
        with torch.no_grad():
            k = self.kappa[:, None].clamp(min=1e-6)
            cosine = 2 * k / (m + (m**2 + 4 * k**2).sqrt())
            largest = torch.atan2((m * cosine / k).sqrt(), cosine)
            reach = REACH * (k * (cosine + 1 / cosine)).rsqrt()
            middles = (torch.arange(CELLS, device=k.device) + 0.5) / CELLS
            low, high = (largest - reach).clamp(min=0), (largest + reach).clamp(max=math.pi)
            t = torch.lerp(low, high, middles.to(k))
        return t, self.kappa[:, None] * _below_one(t) + m * t.sin().log()

    def _angle(self) -> Tensor:
        """Draw t (n,): it is where the cells below, and a part of its own, have a uniform share."""
        t, log_p = self._cells()
        share = log_p.softmax(1)
        below = share.cumsum(1) - share
        u = torch.rand_like(t[:, :1])
        cell = (torch.searchsorted(below.detach(), u, right=True) - 1).clamp(min=0)
        start, own, middle = (a.gather(1, cell) for a in (below, share, t))
        part = ((u - start) / own.clamp(min=torch.finfo(own.dtype).tiny)).clamp(0, 1)
        return (middle + (part - 0.5) * (t[:, 1:2] - t[:, :1]))[:, 0]


def _below_one(t: Tensor) -> Tensor:
    """Return cos t - 1, exact for small t."""
    return -2 * (t / 2).sin().square()


class WithSphere(WithLatent):
    """A model whose prior is uniform on a sphere."""

    prior: Sphere

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        (latent,) = self.code_shape
        if latent < 2:
            raise ModelError(f"codes on a sphere need latent at least 2, got {latent}")
        self.prior = Sphere(latent)


class WithDirections(WithCodes, WithSphere):
    """A model whose codes are von Mises-Fisher: mu = f1(x) / |f1(x)|, kappa = d exp(-f2(x)).

    So f2, at most 4, is about a draw's log-variance in each dimension, as that of a Gaussian
    encoder. (Davidson et al. have kappa = 1 + softplus f2, which grows by a learning rate a step.)
    """

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        latent = self.prior.latent
        self.encoder = Encoder(space, latent, classes, self.networks, separate=False, noises=1)

    def encode(self, x: Tensor, c: Tensor | None = None) -> VonMisesFisher:
        """Return vMF(f1(x) / |f1(x)|, d exp(-f2(x)))."""
        mean, log_var = self.encoder(x, c)
        kappa = self.prior.latent * (-log_var[:, 0]).exp()
        return VonMisesFisher(normalize(mean, dim=1), kappa, self.prior.carry)
