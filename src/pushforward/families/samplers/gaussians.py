"""Samplers that are sums of Gaussians: a mixture that is fitted, and one around every code.

s(e|c) = sum_k w_ck N(e; m_k, L_k L_k'). The Gaussians are shared by all classes, the weights w are
each class's own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.families.codes import Posterior
from pushforward.families.samplers.sampler import Sampler, class_of
from pushforward.nn.priors import ContinuousPrior


class Gaussians(Sampler):
    """A sum of `components` Gaussians; `shapes` of them have a covariance of their own, or 1."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(
        self, prior: ContinuousPrior, classes: int, components: int, shapes: int = 1
    ) -> None:
        super().__init__(prior, classes)
        rows = max(classes, 1)
        self.register_buffer("weights", torch.full((rows, components), 1 / components))
        self.register_buffer("means", torch.zeros(components, self.latent))
        self.register_buffer("factors", torch.eye(self.latent).repeat(shapes, 1, 1))

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

    Covariances are drawn towards that of all codes, by as much as `latent` codes of it would
    (a conjugate prior: the mode of an inverse Wishart), so that few codes suffice for a component.
    """

    COMPONENTS = 16
    ITERATIONS = 50
    MOST = 2**14  # codes that it is fitted to

    def __init__(self, prior: ContinuousPrior, classes: int) -> None:
        super().__init__(prior, classes, self.COMPONENTS, self.COMPONENTS)

    @torch.no_grad()
    def fit(self, q: Posterior, c: Tensor | None) -> None:
        """Fit by EM, from Gaussians around codes chosen at random."""
        n = len(centre := q.centre())
        chosen = torch.randperm(n, device=centre.device)[: self.MOST]
        e, label = q.draw()[chosen], class_of(c, n, centre.device)[chosen]
        member = torch.nn.functional.one_hot(label, len(self.weights)).to(e)
        whole = torch.cov(e.T, correction=0).reshape(self.latent, self.latent)
        whole = _regular(
            whole + 1e-8 * (whole.trace() / self.latent + 1e-6) * torch.eye(len(whole)).to(e)
        )
        self.means.copy_(e[torch.arange(len(self.means)) % len(e)])
        self.factors.copy_(torch.linalg.cholesky(whole).expand_as(self.factors))
        share = torch.nn.functional.one_hot(self.log_components(e).argmax(1), len(self.means))
        self._maximise(e, member, whole, share.to(e))
        for _ in range(self.ITERATIONS):
            joint = self.weights[label].log() + self.log_components(e)
            self._maximise(e, member, whole, joint.softmax(1))

    def _maximise(self, e: Tensor, member: Tensor, whole: Tensor, share: Tensor) -> None:
        """Set weights, means and covariances, given each component's share (n, k) in the codes."""
        count = share.sum(0)
        of_class = member.T @ share + 1 / len(self.means)  # no weight is 0
        self.weights.copy_(of_class / of_class.sum(1, keepdim=True))
        self.means.copy_((share.T @ e + e.mean(0)) / (count + 1)[:, None])
        apart = e[None] - self.means[:, None]
        scatter = (share.T[:, :, None] * apart).mT @ apart
        prior = self.latent
        own = (scatter + prior * whole) / (count + prior)[:, None, None]
        self.factors.copy_(torch.linalg.cholesky(_regular(own)))


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

    def __init__(self, prior: ContinuousPrior, classes: int) -> None:
        super().__init__(prior, classes, self.CENTRES)

    @torch.no_grad()
    def fit(self, q: Posterior, c: Tensor | None) -> None:
        """Put kernels around codes, and choose h by codes of other rows."""
        n = len(centre := q.centre())
        order = torch.randperm(n, device=centre.device)
        held, rest = order.split([min(self.HELD_OUT, n // 4), n - min(self.HELD_OUT, n // 4)])
        centres = rest[torch.arange(self.CENTRES, device=order.device) % len(rest)]
        label = class_of(c, n, order.device)
        self.means.copy_(q.take(centres).draw())
        member = torch.nn.functional.one_hot(label[centres], len(self.weights)).T.float()
        count = member.sum(1, keepdim=True)  # a class without a centre has those of all classes
        self.weights.copy_(torch.where(count > 0, member, 1.0) / count.clamp(min=1))
        self.factors[0].copy_(self.means.std(0).clamp(min=1e-6).diag())
        score = self._scores(q.take(held).draw(), label[held])
        self.factors.mul_(self.FINER ** int(score.argmax()))

    def _scores(self, e: Tensor, label: Tensor) -> Tensor:
        """Return the mean log-density of codes under each bandwidth, up to a constant."""
        h = self.FINER ** torch.arange(self.BANDWIDTHS, device=e.device)
        weights, squares = self.weights[label].log(), self.squares(e)
        each = [(weights - 0.5 * squares / s**2).logsumexp(1) for s in h]
        return torch.stack(each).mean(1) - self.latent * h.log()
