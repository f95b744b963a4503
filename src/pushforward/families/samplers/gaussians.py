"""Samplers that are sums of Gaussians: a mixture that is fitted, and one around every code.

s(e|c) = sum_k w_ck N(e; m_k, L_k L_k'). The Gaussians are shared by all classes, the weights w are
each class's own.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pushforward.families.codes import Posterior
from pushforward.families.samplers.sampler import Sampler, class_of
from pushforward.nn.priors import ContinuousPrior


class Gaussians(Sampler):
    """A sum of Gaussians, one until it is fitted: each has a covariance of its own, or all one."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, prior: ContinuousPrior, classes: int) -> None:
        super().__init__(prior, classes)
        self.register_buffer("weights", torch.ones(max(classes, 1), 1))
        self.register_buffer("means", torch.zeros(1, self.latent))
        self.register_buffer("factors", torch.eye(self.latent)[None])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load as many components as were fitted."""
        for name, own in self.named_buffers(recurse=False):
            stored = state_dict.get(prefix + name, own)
            components = 1 if name == "weights" else 0  # the dimension that counts them
            if stored.ndim == own.ndim > components and stored.shape != own.shape:
                shape = [*own.shape]
                shape[components] = stored.shape[components]
                setattr(self, name, own.new_empty(shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return m_k + L_k eps, eps ~ N(0, I), of components k drawn by the class's weights."""
        k = self._components(class_of(c, n, self.device))
        factors = self.factors[k if len(self.factors) > 1 else torch.zeros_like(k)]
        return self.means[k] + (factors @ self.normal(n)[:, :, None])[:, :, 0]

    def _components(self, label: Tensor) -> Tensor:
        """Draw a component for each class (n,), by one search in the classes' joined sums."""
        rows, components = self.weights.shape
        ends = self.weights.double().cumsum(1)
        ends = ends / ends[:, -1:] + torch.arange(rows, device=self.device)[:, None]
        point = label + torch.rand(len(label), device=self.device, dtype=torch.float64)
        found = torch.searchsorted(ends.flatten(), point, right=True)
        return (found - label * components).clamp(max=components - 1)

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return log s(z|c), (n,), in nats."""
        weights = self.weights[class_of(c, len(z), z.device)]
        return (weights.log() + self.log_components(z)).logsumexp(1)

    def log_components(self, e: Tensor) -> Tensor:
        """Return log N(e; m_k, L_k L_k'), (n, components)."""
        log_det = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        return -0.5 * (self.squares(e) + self.latent * math.log(2 * math.pi)) - log_det

    def squares(self, e: Tensor) -> Tensor:
        """Return |L_k^-1 (e - m_k)|^2, (n, components)."""
        inverse = torch.linalg.inv(self.factors).to(e.dtype)
        centre = self.means.mean(0)  # small norms, for little cancellation
        points = (e - centre) @ inverse.mT  # (shapes, n, latent)
        means = (self.means - centre).to(e.dtype).unflatten(0, (len(inverse), -1)) @ inverse.mT
        return torch.cdist(points, means).square().movedim(1, 0).flatten(1)


class GaussianMixture(Gaussians):
    """A mixture of Gaussians with full covariances, by expectation-maximisation.

    It has a component for each `CODES_A_COMPONENT` codes, as far as there are so many. Covariances
    are drawn towards their mean, by as much as `latent` codes of it would (a conjugate prior, whose
    own scale is fitted, too; regularised discriminant analysis, Friedman 1989), so that few codes
    suffice for a component.
    """

    FEWEST, COMPONENTS, CODES_A_COMPONENT = 16, 256, 150
    ITERATIONS = 20
    NEAREST = 0.1  # scale at the start: so small that each code belongs to the nearest component
    MOST = 3 * 2**19  # numbers in the codes that it is fitted to, and in products of some of them

    @torch.no_grad()
    def fit(self, q: Posterior, c: Tensor | None) -> None:
        """Fit by EM, from Gaussians around codes chosen at random.

        Coordinates are those in which the codes have mean 0 and covariance I.
        """
        n = len(centre := q.centre())
        chosen = torch.randperm(n, device=centre.device)[: self.MOST // self.latent]
        codes, label = q.draw()[chosen], class_of(c, n, centre.device)[chosen]
        k = min(max(self.FEWEST, len(codes) // self.CODES_A_COMPONENT), self.COMPONENTS)
        mean, root = codes.mean(0), self._root(codes)
        e = torch.linalg.solve_triangular(root, (codes - mean).T, upper=False).T
        member = torch.nn.functional.one_hot(label, len(self.weights)).to(e)
        self.weights = member.new_full((member.shape[1], k), 1 / k)
        means = e[torch.arange(k) % len(e)]
        factors = (self.NEAREST * torch.eye(self.latent)).to(e).expand(k, -1, -1)
        for _ in range(self.ITERATIONS):
            means, factors = self._likeliest(*self._expected(e, member, means, factors))
        self.means, self.factors = mean + means @ root.T, root @ factors

    def _root(self, e: Tensor) -> Tensor:
        """Return the Cholesky factor of the covariance of codes."""
        whole = torch.cov(e.T, correction=0).reshape(self.latent, self.latent)
        least = 1e-8 * (whole.trace() / self.latent + 1e-6)
        root: Tensor = torch.linalg.cholesky(_regular(whole + least * torch.eye(len(whole)).to(e)))
        return root

    def _expected(
        self, e: Tensor, member: Tensor, means: Tensor, factors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sums over codes of components' shares (classes, k), of codes, and of products.

        All components' quadratic forms, and all their sums of squares, are products of matrices
        with the products of each two coordinates of a code.
        """
        k, d = means.shape
        i, j = torch.triu_indices(d, d, device=e.device)
        precision = torch.cholesky_inverse(factors)
        form = precision[:, i, j] * (2 - (i == j).to(e))  # each pair i < j stands for two
        slope = (precision @ means[:, :, None])[:, :, 0]
        level = (slope * means).sum(1) + 2 * factors.diagonal(dim1=1, dim2=2).log().sum(1)
        of_class, first, second = e.new_zeros(member.shape[1], k), means * 0, form * 0
        rows = max(1, self.MOST // max(len(i), k))
        for part, own in zip(e.split(rows), member.split(rows), strict=True):
            pairs = part[:, i] * part[:, j]
            squares = pairs @ form.T - 2 * part @ slope.T + level
            share = ((own @ self.weights).log() - squares / 2).softmax(1)
            of_class += own.T @ share
            first += share.T @ part
            second += share.T @ pairs
        return of_class, first, second

    def _likeliest(self, of_class: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Set the weights, and return means (k, latent) and factors (k, latent, latent)."""
        count, (k, d) = of_class.sum(0), first.shape
        of_class = of_class + 1 / k  # no weight is 0
        self.weights = of_class / of_class.sum(1, keepdim=True)
        means = first / (count + 1)[:, None]  # with a code at the mean of all
        i, j = torch.triu_indices(d, d, device=first.device)
        second = second - (first[:, i] * means[:, j] + first[:, j] * means[:, i])
        second += count[:, None] * means[:, i] * means[:, j]
        scatter = first.new_zeros(k, d, d)
        scatter[:, i, j] = scatter[:, j, i] = second
        return means, torch.linalg.cholesky(_regular(_drawn_to_their_mean(scatter, count)))


def _drawn_to_their_mean(scatter: Tensor, count: Tensor) -> Tensor:
    """Return covariances (k, d, d) of components with these sums of squares of `count` codes each.

    With d codes more whose covariance is the components' mean one, which has d of covariance I.
    """
    d = scatter.shape[-1]
    within = (scatter.sum(0) + d * torch.eye(d).to(scatter)) / (count.sum() + d)
    return (scatter + d * within) / (count + d)[:, None, None]


def _regular(covariance: Tensor) -> Tensor:
    """Return covariances (..., d, d) whose Cholesky factor float32 can find, whatever the scales.

    Each variance is raised by a ten-thousandth: dimensions that depend on one another are so common
    in codes that rounding alone would make their covariance indefinite.
    """
    own = covariance.diagonal(dim1=-2, dim2=-1)
    return (covariance + covariance.mT) / 2 + 1e-4 * torch.diag_embed(own)


class KernelDensity(Gaussians):
    """A Gaussian kernel around each of many codes.

    Its covariance is h^2 times the codes' variances, with the h that makes other codes likeliest.
    A code is drawn for each row anew, so that no row's own is kept where codes have noise.
    """

    CENTRES = 4096
    HELD_OUT = 1024
    BANDWIDTHS = 16  # that are tried, from 1 downwards ...
    FINER = 0.8  # ... by this factor

    @torch.no_grad()
    def fit(self, q: Posterior, c: Tensor | None) -> None:
        """Put kernels around codes, and choose h by codes of other rows."""
        n = len(centre := q.centre())
        order = torch.randperm(n, device=centre.device)
        held, rest = order.split([min(self.HELD_OUT, n // 4), n - min(self.HELD_OUT, n // 4)])
        centres = rest[torch.arange(self.CENTRES, device=order.device) % len(rest)]
        label = class_of(c, n, order.device)
        self.means = q.take(centres).draw().to(self.means)
        member = torch.nn.functional.one_hot(label[centres], len(self.weights)).T.float()
        count = member.sum(1, keepdim=True)  # a class without a centre has those of all classes
        weights = torch.where(count > 0, member, 1.0)
        self.weights = weights / weights.sum(1, keepdim=True)
        self.factors = self.means.std(0).clamp(min=1e-6).diag()[None]
        score = self._scores(q.take(held).draw(), label[held])
        self.factors.mul_(self.FINER ** int(score.argmax()))

    def _scores(self, e: Tensor, label: Tensor) -> Tensor:
        """Return the mean log-density of codes under each bandwidth, up to a constant."""
        h = self.FINER ** torch.arange(self.BANDWIDTHS, device=e.device)
        weights, squares = self.weights[label].log(), self.squares(e)
        each = [(weights - 0.5 * squares / s**2).logsumexp(1) for s in h]
        return torch.stack(each).mean(1) - self.latent * h.log()
