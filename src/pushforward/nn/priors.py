"""Priors p(z|c): the simple distributions that a model carries onto the data.

Continuous ones are written in *normal coordinates*: a point e of R^latent and a map `carry` to the
code z that the decoder or generator reads. For the standard normal the map is the identity. For the
uniform it is the normal's distribution function, a bijection, and a KL divergence does not change
under one: so a VAE with a uniform prior keeps the closed form.

Discrete ones are distributions over tuples of integers, which a model embeds by its codebook.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from pushforward.errors import ModelError, nearest
from pushforward.nn.flows import flow
from pushforward.nn.likelihoods import Autoregressive, Observation
from pushforward.random import isolated
from pushforward.space import Cells


class Prior(nn.Module, ABC):
    """p(z|c) over codes z."""

    anchor: Tensor

    def __init__(self) -> None:
        super().__init__()
        # An empty buffer moves with the model and so knows its device.
        self.register_buffer("anchor", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where codes are drawn."""
        return self.anchor.device

    @abstractmethod
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return n codes z (n, ...) for conditions c (n, classes), or for none."""

    @abstractmethod
    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return log p(z|c), (n,), in nats; of a continuous prior in normal coordinates."""


def arc(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Return the points at t in [0, 1] on the arc from a to b (..., d), with t (..., 1).

    With angle w between the directions u of a and v of b, the direction at t is
    (sin((1 - t) w) u + sin(t w) v) / sin w (Shoemake 1985), and the length goes linearly from |a|
    to |b|. Where no single arc is the shortest (w = pi; all of one dimension), a straight line.
    """
    first, last = (p.norm(dim=-1, keepdim=True) for p in (a, b))
    tiny = torch.finfo(a.dtype).tiny
    u, v = a / first.clamp(min=tiny), b / last.clamp(min=tiny)
    w = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    direction = (((1 - t) * w).sin() * u + (t * w).sin() * v) / w.sin()
    curved = torch.lerp(first, last, t) * direction
    return torch.where(w.sin().abs() < 1e-4, torch.lerp(a, b, t), curved)


class ContinuousPrior(Prior, ABC):
    """p(z) on R^latent."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent

    def normal(self, n: int) -> Tensor:
        """Return N(0, I) noise (n, latent) from torch's global random state."""
        return torch.randn(n, self.latent, device=self.device)

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return n codes z (n, latent)."""
        return self.carry(self.draw(n, c))

    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return n points e in normal coordinates (n, latent)."""
        del c
        return self.normal(n)

    def carry(self, e: Tensor) -> Tensor:
        """Return the codes z of points e in normal coordinates."""
        return e

    @property
    def standard(self) -> bool:
        """Whether the prior is N(0, I) in normal coordinates, so that the KL has a closed form."""
        return True

    @property
    def arcs(self) -> bool:
        """Whether the way between two points is an arc."""
        return self.standard

    @property
    def whole(self) -> ContinuousPrior:
        """The prior among whose draws this one chooses: itself, unless it does."""
        return self

    def between(self, start: Tensor, end: Tensor, steps: int) -> Tensor:
        """Return points (n, steps, latent) on the way between two (n, latent), both included.

        All in normal coordinates. Where the prior is standard (`arcs`) the way is an arc: almost
        all draws of N(0, I) in d dimensions are about sqrt(d) long, and a straight line comes
        nearer to 0 than they do (White 2016). Else it is a straight line.
        """
        t = torch.linspace(0, 1, steps, device=start.device, dtype=start.dtype)[:, None]
        way = arc if self.arcs else torch.lerp
        return way(start[:, None], end[:, None], t)


class Normal(ContinuousPrior):
    """N(0, I)."""

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return -1/2 sum(e^2 + log 2 pi) for e in normal coordinates."""
        del c
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)


class Uniform(Normal):
    """Uniform on [-sqrt 3, sqrt 3]^latent (variance 1): z = sqrt(3) (2 Phi(e) - 1)."""

    def carry(self, e: Tensor) -> Tensor:
        """Return sqrt(3) (2 Phi(e) - 1) = sqrt(3) erf(e / sqrt 2)."""
        return math.sqrt(3) * torch.erf(e * math.sqrt(0.5))


class Sphere(Normal):
    """Uniform on the sphere of radius sqrt(latent): z = sqrt(latent) e / |e|."""

    def carry(self, e: Tensor) -> Tensor:
        """Return sqrt(latent) e / |e|."""
        return math.sqrt(self.latent) * normalize(e, dim=-1)


class Mixture(ContinuousPrior):
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

    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return means + scales * N(0, I), of components drawn uniformly."""
        del c
        component = torch.randint(len(self.means), (n,), device=self.means.device)
        return self.means[component] + self.log_scales[component].exp() * self.normal(n)

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return log 1/K sum_k N(z; mean_k, scale_k^2)."""
        del c
        standard = (z[:, None] - self.means) * (-self.log_scales).exp()
        each = -0.5 * (standard.square() + math.log(2 * math.pi)) - self.log_scales
        return each.sum(-1).logsumexp(-1) - math.log(len(self.means))


class FlowPrior(ContinuousPrior):
    """T^-1(eps), eps ~ N(0, I), with a normalising flow T that is learned (Chen et al. 2017).

    A turn that names `prior` among its players moves it.
    """

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        with isolated(torch.device("cpu"), 0):  # the rest of the model starts as with any prior
            self.flow = flow(latent, 0)

    @property
    def standard(self) -> bool:
        """A flow has no closed-form KL."""
        return False

    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return T^-1(eps)."""
        del c
        return cast(Tensor, self.flow(None).transform.inv(self.normal(n)))

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return log N(T(z); 0, I) + log |det dT/dz|."""
        del c
        return cast(Tensor, self.flow(None).log_prob(z.float()))


class DiscretePrior(Prior):
    """p(z|c) over tuples z of integers: each given those before it (Larochelle & Murray 2011).

    p(z_j | c, z_<j) = softmax(a_j(c) + V_j act(W z_<j)), as in `likelihoods.Autoregressive`, with
    a from a hidden layer of the condition: hundreds of units that move together learn in a few
    hundred steps what free logits, each moved by one learning rate a step, would need thousands
    for.

    Args:
        positions: how many integers a code has.
        levels: each lies in 0 .. levels - 1.
        classes: of the condition; 0 without one.
        units: hidden units.
    """

    def __init__(self, positions: int, levels: int, classes: int = 0, units: int = 512) -> None:
        super().__init__()
        self.levels = levels
        self.chain = Autoregressive(Cells((levels,) * positions), units)
        self.logits = nn.Sequential(
            nn.Linear(max(classes, 1), units), nn.SiLU(), nn.Linear(units, positions * levels)
        )

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return n codes z (n, positions), int64."""
        observation = self._given(n, c)
        assert observation.cells is not None
        return observation.cells(None)[0]

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return log p(z|c) of codes z (n, positions), (n,), in nats."""
        rows = one_hot(z, self.levels).flatten(1).float()
        return self._given(len(z), c).log_prob(rows)

    def _given(self, n: int, c: Tensor | None) -> Observation:
        given = torch.ones(n, 1, device=self.device) if c is None else c
        observation: Observation = self.chain(self.logits(given).float())
        return observation


PRIORS: dict[str, type[ContinuousPrior]] = {
    "normal": Normal,
    "uniform": Uniform,
    "mixture": Mixture,
    "flow": FlowPrior,
}


def continuous_prior(name: str, latent: int) -> ContinuousPrior:
    """Return the prior of that name; ModelError suggests the nearest for an unknown one."""
    if name not in PRIORS:
        msg = f"unknown prior {name!r}: {nearest(name, PRIORS)}"
        raise ModelError(msg)
    return PRIORS[name](latent)
