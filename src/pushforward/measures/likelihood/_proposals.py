"""Proposals q(z|x) of importance sampling, and the observation noise that fits a model.

Any q gives a lower bound of log p(x), and a good one makes it tight. `laplace` needs no gradient of
the decoder: its Jacobian is computed by central differences, which also work across the kinks of
ReLUs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures.likelihood.decoder import JointDensity, gaussian

STARTS = 256  # draws of the prior, of which the best starts each row's search
MAX_STEPS = 30  # steps to a row's most likely code
JACOBIAN_EVERY = 15  # steps after which the Jacobian is computed again
MAX_ROUNDS = 20  # of new codes and the best sigma for them, at most
EM_STEPS = 50  # steps of expectation-maximisation on the same codes
DRAWS = 64  # codes per row
TOLERANCE = 1e-3  # change of log sigma that ends them
MIN_RELATIVE_SIGMA = 1e-6  # share of the data's scale below which sigma counts as 0


@dataclass(frozen=True)
class Proposal:
    """q(e|x) = N(mean, A A') for each row: mean (n, latent), A triangular (n, latent, latent)."""

    mean: Tensor
    scale: Tensor

    def draw(self, k: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return k points for each row (n, k, latent), and their log q (n, k)."""
        n, latent = self.mean.shape
        eps = torch.randn(
            n, k, latent, generator=rng, dtype=self.mean.dtype, device=self.mean.device
        )
        volume = self.scale.diagonal(dim1=1, dim2=2).abs().log().sum(1)
        log_q = gaussian(eps.square().sum(-1), latent, 1.0) - volume[:, None]
        return self.mean[:, None] + eps @ self.scale.mT, log_q


@torch.no_grad()
def encoded(joint: JointDensity) -> Proposal:
    """Return the model's own q(z|x)."""
    if joint.decoder.encoder is None:
        raise MeasureError('this decoder has no encoder; give it one, or use proposal="mode"')
    mean, log_var = (part.double() for part in joint.decoder.encoder(joint.x))
    expected = (joint.n, joint.decoder.latent)
    if tuple(mean.shape) != expected or tuple(log_var.shape) != expected:
        raise MeasureError(
            f"the encoder must return mean and log-variance {expected}, and returned "
            f"{tuple(mean.shape)} and {tuple(log_var.shape)}"
        )
    return Proposal(mean, torch.diag_embed((0.5 * log_var).exp()))


@torch.no_grad()
def laplace(joint: JointDensity, start: Tensor) -> Proposal:
    """Return the Gaussian around each row's most likely code, searched from `start` (n, latent).

    Its precision is J'J / sigma^2 plus that of the prior, taken for N(0, I): for a linear decoder
    it is the posterior.
    """
    mode = maximise(joint, start)
    lower = torch.linalg.cholesky(_posterior_precision(joint, _jacobian(joint, mode)))
    identity = torch.eye(mode.shape[1], dtype=mode.dtype, device=mode.device)
    inverse = torch.linalg.solve_triangular(lower, identity.expand_as(lower), upper=False)
    return Proposal(mode, inverse.mT)


@torch.no_grad()
def nearest_draws(joint: JointDensity, rng: torch.Generator) -> Tensor:
    """Return for each row the code (n, latent), of many draws, whose mean is nearest."""
    e = joint.decoder.draw(STARTS, rng)
    return e[torch.cdist(joint.x, joint.decoder.means(e)).argmin(1)]


def maximise(joint: JointDensity, e: Tensor) -> Tensor:
    """Return codes (n, latent) of higher log p(x, e), by Levenberg-Marquardt steps from `e`.

    Between two computed Jacobians, Broyden's update learns from each step: it costs one call of the
    decoder per row, and a Jacobian 2 latent calls.
    """
    damping = torch.full((len(e), 1, 1), 0.1, dtype=e.dtype, device=e.device)
    (residuals, height), jacobian = _residuals_and_height(joint, e), _jacobian(joint, e)
    for i in range(1, MAX_STEPS):
        uphill = (jacobian @ residuals[..., None])[..., 0] / joint.sigma**2 + _prior_slope(joint, e)
        precision = _posterior_precision(joint, jacobian)
        diagonal = torch.diag_embed(precision.diagonal(dim1=1, dim2=2))
        step = torch.linalg.solve(precision + damping * diagonal, uphill)
        new_residuals, new_height = _residuals_and_height(joint, e + step)
        model_error = residuals - new_residuals - (step[:, None] @ jacobian)[:, 0]
        norm = step.square().sum(1)[:, None, None].clamp_min(torch.finfo(e.dtype).tiny)
        better = new_height > height
        e = torch.where(better[:, None], e + step, e)
        residuals = torch.where(better[:, None], new_residuals, residuals)
        height = torch.where(better, new_height, height)
        damping = torch.where(better[:, None, None], damping / 5, damping * 5).clamp(1e-9, 1e9)
        broyden = jacobian + step[..., None] * model_error[:, None] / norm
        jacobian = broyden if i % JACOBIAN_EVERY else _jacobian(joint, e)
    return e


def _residuals_and_height(joint: JointDensity, e: Tensor) -> tuple[Tensor, Tensor]:
    """Return the residuals at codes (n, d), and log p(x, e) (n,)."""
    residuals = joint.residuals(e[:, None])[:, 0].double()
    fit = gaussian(residuals.square().sum(1), joint.d, joint.sigma)
    return residuals, fit + joint.log_prior(e[:, None])[:, 0]


def _jacobian(joint: JointDensity, e: Tensor) -> Tensor:
    """Return dg / de at codes (n, latent), by central differences: (n, latent, d)."""
    above, below = joint.residuals(_around(joint, e)).double().split(e.shape[1], 1)
    slope: Tensor = (below - above) / (2 * _width(joint))  # residuals fall where g rises
    return slope


def _prior_slope(joint: JointDensity, e: Tensor) -> Tensor:
    above, below = joint.log_prior(_around(joint, e)).double().split(e.shape[1], 1)
    slope: Tensor = (above - below) / (2 * _width(joint))
    return slope


def _posterior_precision(joint: JointDensity, jacobian: Tensor) -> Tensor:
    """Return J J' / sigma^2 + I, what Gauss and Newton take for minus the second derivative."""
    eye = torch.eye(jacobian.shape[1], dtype=jacobian.dtype, device=jacobian.device)
    return jacobian @ jacobian.mT / joint.sigma**2 + eye


def _around(joint: JointDensity, e: Tensor) -> Tensor:
    """Return the codes a little above and below e in each dimension: (n, 2 latent, latent)."""
    eye = torch.eye(e.shape[1], dtype=e.dtype, device=e.device)
    return e[:, None] + _width(joint) * torch.cat([eye, -eye])


def _width(joint: JointDensity) -> float:
    return float(torch.finfo(joint.decoder.dtype).eps ** (1 / 3))


@torch.no_grad()
def fitted_sigma(joint: JointDensity, seed: int) -> float:
    """Return the sigma at which the importance bound of these rows no longer rises.

    It alternates between codes from `laplace` at the current sigma and the best sigma for these
    codes.
    """
    min_sigma = MIN_RELATIVE_SIGMA * float(joint.x.double().std(correction=0))
    e = nearest_draws(joint, joint.decoder.generator(seed))
    sigma = math.sqrt(float(joint.residuals(e[:, None]).double().square().mean()))
    for _ in range(MAX_ROUNDS):
        if not sigma > min_sigma:
            raise MeasureError(
                "the decoder reconstructs these rows exactly, so the likelihood grows without "
                "limit as sigma falls; pass sigma"
            )
        at = replace(joint, sigma=sigma)
        proposal = laplace(at, e)
        best = _best_sigma(at, *proposal.draw(DRAWS, joint.decoder.generator(seed)))
        moved = abs(math.log(max(best, min_sigma) / sigma))
        e, sigma = proposal.mean, best
        if moved < TOLERANCE:
            break
    return sigma


def _best_sigma(joint: JointDensity, e: Tensor, log_q: Tensor) -> float:
    """Return the sigma with the highest bound for given codes, by expectation-maximisation.

    sigma^2 is the mean squared residual under weights p(x, e) / q(e): at a fixed point the
    derivative of the bound is zero.
    """
    squares = joint.residuals(e).square().sum(-1, dtype=torch.float64)
    log_ratio, variance = joint.log_prior(e) - log_q, joint.sigma**2
    for _ in range(EM_STEPS):
        weights = (log_ratio - 0.5 * squares / variance).softmax(1)
        variance = float((weights * squares).sum(1).mean()) / joint.d
        if variance == 0:
            break
    return math.sqrt(variance)
