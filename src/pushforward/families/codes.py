"""Codes: what an encoder says of a row. Distributions q(z|x), and the vectors of a codebook."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from pushforward.measures.closed_form import gaussian_rate
from pushforward.nn.priors import ContinuousPrior
from pushforward.nn.straight_through import straight_through


def _identity(e: Tensor) -> Tensor:
    return e


class Posterior(ABC):
    """q(z|x) of n rows, in the prior's normal coordinates: a data class of tensors (n, ...).

    `carry` is the prior's map from these to the codes that a decoder reads.
    """

    carry: Callable[[Tensor], Tensor]

    @abstractmethod
    def centre(self) -> Tensor:
        """Return where the codes are, (n, latent)."""

    @abstractmethod
    def draw(self) -> Tensor:
        """Return the reparametrised draw in normal coordinates, (n, latent)."""

    def drawn(self) -> tuple[Tensor, Code | None]:
        """Return a draw, and the Gaussian with independent dimensions that it is from, if any."""
        return self.draw(), None

    @property
    def finite(self) -> bool:
        """Whether draws are finite."""
        return bool(self.centre().isfinite().all())

    def rsample(self) -> Tensor:
        """Return the reparametrised draw, carried."""
        return self.carry(self.draw())

    def repeated(self, k: int) -> Self:
        """Return each row's code k times, one after another."""
        return self.take(torch.arange(len(self.centre())).repeat_interleave(k))

    def detach(self) -> Self:
        """Return the codes without gradient."""
        return changed(Tensor.detach, self)

    def take(self, index: Tensor) -> Self:
        """Return the codes of these rows."""
        return changed(lambda t: t[index], self)


Q = TypeVar("Q", bound=Posterior)


def joined(parts: Sequence[Q]) -> Q:
    """Return the codes of all rows."""
    return changed(lambda *tensors: torch.cat(tensors), *parts)


def changed(change: Callable[..., Tensor], *parts: Q) -> Q:
    """Return codes with what becomes of each of their tensors, of all parts' together."""
    inner: dict[str, Any] = {}
    first: Any = parts[0]  # a data class
    for name in (field.name for field in fields(first)):
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], Tensor):
            inner[name] = change(*values)
        elif isinstance(values[0], Posterior):
            inner[name] = changed(change, *values)
    made: Q = replace(first, **inner)
    return made


@dataclass(frozen=True)
class Code(Posterior):
    """q(z|x) = N(mean, exp(log_var)), each (n, latent)."""

    mean: Tensor
    log_var: Tensor
    carry: Callable[[Tensor], Tensor] = _identity

    @property
    def sigma(self) -> Tensor:
        """The standard deviations (n, latent)."""
        return (0.5 * self.log_var).exp()

    def centre(self) -> Tensor:
        """Return the means."""
        return self.mean

    @property
    def finite(self) -> bool:
        """Whether draws are finite."""
        return super().finite and bool(self.sigma.isfinite().all())

    def draw(self) -> Tensor:
        """Return the reparametrised draw in normal coordinates: mean + sigma eps, eps ~ N(0, I)."""
        return self.mean + self.sigma * torch.randn_like(self.mean)

    def drawn(self) -> tuple[Tensor, Code | None]:
        """Return a draw, and this; a point, which has no noise, is no Gaussian."""
        return self.draw(), self if bool((self.log_var > -torch.inf).all()) else None

    def log_prob(self, e: Tensor) -> Tensor:
        """Return log q(e), (n,), in nats."""
        return self.log_prob_by_dimension(e).sum(-1)

    def log_prob_by_dimension(self, e: Tensor) -> Tensor:
        """Return log q(e_d), (n, latent); of e (n, 1, latent) under every code, (n, n, latent)."""
        squares = (e - self.mean).square() * (-self.log_var).exp()
        return -0.5 * (squares + self.log_var + math.log(2 * math.pi))


def kl(q: Code, prior: ContinuousPrior, z: Tensor, c: Tensor | None = None) -> Tensor:
    """Return KL(q || prior) of each row (n,), in nats.

    Closed form where the prior is N(0, I) in normal coordinates; else log q(z) - log p(z) at the
    draw z ~ q, whose expectation is the KL.
    """
    if prior.standard:
        return gaussian_rate(q.mean, q.log_var)
    return q.log_prob(z) - prior.log_prob(z, c)


class Codebook(nn.Module):
    """`levels` vectors e_k of `size` numbers, in place of which an encoder's vectors are put.

    Nearest by angle: both sides are scaled to length sqrt(size) first, which keeps all vectors in
    reach and so in use (Yu et al. 2022, vector-quantised image modelling).
    """

    def __init__(self, levels: int, size: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(levels, size))

    @property
    def scaled(self) -> Tensor:
        """The vectors e_k (levels, size)."""
        return scaled(self.vectors)

    def nearest(self, z_e: Tensor) -> Tensor:
        """Return k = argmin_j |z_e - e_j| for vectors (n, positions, size): (n, positions)."""
        return (z_e @ self.scaled.T).argmax(-1)

    def forward(self, k: Tensor) -> Tensor:
        """Return e_k for indices (n, positions): (n, positions, size)."""
        return nn.functional.embedding(k, self.scaled)


def scaled(vectors: Tensor) -> Tensor:
    """Return vectors (..., size) at length sqrt(size)."""
    return nn.functional.normalize(vectors, dim=-1) * math.sqrt(vectors.shape[-1])


def quantise(z_e: Tensor, e: Tensor) -> Tensor:
    """Return z_q: e forward, the gradient straight to z_e (van den Oord et al. 2017)."""
    return straight_through(e, z_e)


def beside_class(real: Tensor, fake: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return two batches of rows or codes (n, ...) as vectors, their class c at the end of each.

    So a measure of two samples also sees whether a row belongs to its class. The class is a one-hot
    vector, as long as the typical distance of the real rows by sqrt(2).
    """
    both = real.flatten(1), fake.flatten(1)
    if c is None:
        return both
    spread = both[0].detach().var(0).sum().sqrt()
    return torch.cat([both[0], spread * c], 1), torch.cat([both[1], spread * c], 1)


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b|^2 of each row, (n,), over everything but the first axis."""
    return (a - b).square().flatten(1).sum(1)


def mean_square(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean of (a - b)^2 of each row, (n,), over everything but the first axis."""
    return (a - b).square().flatten(1).mean(1)
