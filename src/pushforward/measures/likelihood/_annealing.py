"""Annealed importance sampling with Hamiltonian transitions, from prior to posterior and back.

On the path f_b(e) = p(e) p(x|e)^b all rows and all chains move at once. Step sizes are found by a
pilot and then stand still: weights are unbiased, E[w] = p(x), only where no transition depends on
the past of its own chain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures.likelihood.decoder import JointDensity, LatentDecoder

ACCEPTED = 0.65  # the share that is best in many dimensions (Beskos et al. 2013; Neal 2011)
CHAINS = 4  # of the pilot, at least: it needs their spread
PILOT = 30  # temperatures of the pilot
TRIES = 2  # transitions of the pilot at each of them
MIN_SPREAD = 1e-3  # nats: a spread of log p(x|e) below which there is none
PACE = 1.0  # how much the logarithm of a step follows a pilot's acceptance
JITTER = 0.2  # share by which steps vary at random, so that no path closes upon itself


@dataclass(frozen=True)
class Ladder:
    """Temperatures 0 = b_0 < ... < b_T = 1, and for each the step size of each row."""

    betas: list[float]
    strides: Tensor  # (T + 1, n)

    def down(self) -> Ladder:
        """Return the way back, from posterior to prior."""
        return Ladder(self.betas[::-1], self.strides.flip(0))


@dataclass(frozen=True)
class ChainState:
    """Where chains stand: points e (n, k, latent), both log densities (n, k) and their slopes."""

    e: Tensor
    prior: Tensor
    likelihood: Tensor
    slope_prior: Tensor
    slope_likelihood: Tensor

    def log_density(self, beta: float) -> Tensor:
        """Return log p(e) + beta log p(x|e), (n, k)."""
        return self.prior + beta * self.likelihood

    def slope(self, beta: float) -> Tensor:
        """Return its gradient with respect to e."""
        return self.slope_prior + beta * self.slope_likelihood

    def unless(self, moved: Tensor, new: ChainState) -> ChainState:
        """Return the new point for the chains that `moved` (n, k), this one for the others."""
        pairs = ((getattr(new, f.name), getattr(self, f.name)) for f in fields(self))
        return ChainState(
            *(torch.where(moved if a.ndim == 2 else moved[..., None], a, b) for a, b in pairs)
        )


def evaluate(joint: JointDensity, e: Tensor) -> ChainState:
    """Return densities and slopes at e; no gradient reaches a parameter of the decoder."""
    e = e.detach().requires_grad_()
    with torch.enable_grad():
        prior, likelihood = joint.log_prior(e), joint.log_likelihood(e)
        if not likelihood.requires_grad:
            raise MeasureError(
                "the decoder has no gradient with respect to z (it leaves torch, detaches or works "
                "under no_grad); annealed_importance needs one, importance_bound does not"
            )
        (slope_prior,) = torch.autograd.grad(prior.sum(), e)
        (slope_likelihood,) = torch.autograd.grad(likelihood.sum(), e)
    return ChainState(
        e.detach(), prior.detach(), likelihood.detach(), slope_prior, slope_likelihood
    )


def transition(
    joint: JointDensity,
    at: ChainState,
    beta: float,
    stride: Tensor,
    leapfrog: int,
    rng: torch.Generator,
) -> tuple[ChainState, Tensor]:
    """Return the points after one Hamiltonian proposal, and how likely each was accepted (n, k)."""
    momentum = torch.randn(at.e.shape, generator=rng, dtype=at.e.dtype, device=at.e.device)
    noise = torch.rand(2, *at.prior.shape, generator=rng, dtype=at.e.dtype, device=at.e.device)
    size = (stride[:, None] * (1 + JITTER * (2 * noise[0] - 1)))[..., None]
    before = at.log_density(beta) - 0.5 * momentum.square().sum(-1)
    new = at
    momentum = momentum + 0.5 * size * new.slope(beta)
    for i in range(leapfrog):
        new = evaluate(joint, new.e + size * momentum)
        momentum = momentum + (1.0 if i < leapfrog - 1 else 0.5) * size * new.slope(beta)
    after = new.log_density(beta) - 0.5 * momentum.square().sum(-1)
    # A path that left the finite numbers is refused like any other bad one.
    acceptance = (after - before).nan_to_num(nan=-math.inf).clamp_max(0).exp()
    return at.unless(noise[1] < acceptance, new), acceptance


@dataclass(frozen=True)
class Schedule:
    """How long a way is taken: temperatures, chains a row, leapfrog steps a transition."""

    steps: int
    chains: int
    leapfrog: int


def prepare(joint: JointDensity, schedule: Schedule, rng: torch.Generator) -> Ladder:
    """Return the ladder that a pilot has found: its temperatures and step sizes.

    The pilot walks a coarse, geometric ladder and lengthens or shortens each row's steps until 65 %
    are accepted. Temperatures are then spread so that the spread of log p(x|e) times the change of
    beta is the same from each to the next, which keeps the variance of the weights small.

    Reference:
        Gelman & Meng 1998, "Simulating normalizing constants", section 4.
    """
    schedule = replace(schedule, chains=max(schedule.chains, CHAINS))
    at = evaluate(joint, prior_points(joint, schedule, rng))
    first = min(0.5, 1 / float(_spread(at)))
    coarse = at.e.new_tensor([0.0, *torch.logspace(math.log10(first), 0, PILOT).tolist()])
    log_stride, strides, spreads = at.e.new_zeros(joint.n), [], []
    for beta in coarse.tolist():
        for _ in range(TRIES):
            at, acceptance = transition(joint, at, beta, log_stride.exp(), schedule.leapfrog, rng)
            log_stride = log_stride + PACE * (acceptance.mean(1) - ACCEPTED)
        strides.append(log_stride)
        spreads.append(_spread(at))
    lengths = torch.cumulative_trapezoid(torch.stack(spreads), coarse)
    lengths = torch.cat([lengths.new_zeros(1), lengths / lengths[-1]])
    even = torch.linspace(0, 1, schedule.steps + 1, dtype=coarse.dtype, device=coarse.device)
    betas = _between(even, lengths, coarse[:, None])[:, 0]
    return Ladder(betas.tolist(), _between(betas, coarse, torch.stack(strides)).exp())


def _spread(at: ChainState) -> Tensor:
    """Return the standard deviation of log p(x|e) over chains, pooled over rows; never zero."""
    return at.likelihood.var(1).mean().sqrt().clamp_min(MIN_SPREAD)


def prior_points(joint: JointDensity, schedule: Schedule, rng: torch.Generator) -> Tensor:
    """Return draws of the prior, one a chain: (n, chains, latent)."""
    e = joint.decoder.draw(joint.n * schedule.chains, rng)
    return e.reshape(joint.n, schedule.chains, joint.decoder.latent)


def _between(at: Tensor, known: Tensor, values: Tensor) -> Tensor:
    """Return values (len(known), n) interpolated linearly from the places `known` to `at`."""
    right = torch.searchsorted(known, at).clamp(1, len(known) - 1)
    left = right - 1
    share = ((at - known[left]) / (known[right] - known[left]))[:, None]
    return values[left] * (1 - share) + values[right] * share


def anneal(
    joint: JointDensity, e: Tensor, ladder: Ladder, leapfrog: int, rng: torch.Generator
) -> tuple[Tensor, float]:
    """Return log weights (n, k) of chains that start at e, and the mean share accepted.

    Up the ladder from prior points E[w] = p(x); down from exact posterior points E[w] = 1 / p(x).
    """
    at = evaluate(joint, e)
    log_weights, accepted = torch.zeros_like(at.prior), []
    for t, (previous, beta) in enumerate(pairwise(ladder.betas), 1):
        log_weights = log_weights + (beta - previous) * at.likelihood
        if t < len(ladder.betas) - 1:
            at, acceptance = transition(joint, at, beta, ladder.strides[t], leapfrog, rng)
            accepted.append(float(acceptance.mean()))
    return log_weights, sum(accepted) / max(1, len(accepted))


def forward(joint: JointDensity, schedule: Schedule, rng: torch.Generator) -> tuple[Tensor, float]:
    """Return the log weights (n, chains) of rows, from prior to posterior, and the acceptance."""
    parts = []
    for part in joint.parts(schedule.chains):
        ladder = prepare(part, schedule, rng)
        log_weights, accepted = anneal(
            part, prior_points(part, schedule, rng), ladder, schedule.leapfrog, rng
        )
        parts.append((log_weights, accepted * part.n))
    return torch.cat([w for w, _ in parts]), sum(a for _, a in parts) / joint.n


def sandwich(
    decoder: LatentDecoder, sigma: float, n: int, schedule: Schedule, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return lower and upper bounds (n,) of log p(x) for n rows simulated from the model itself.

    Only of a simulated row is an exact posterior draw known, the code that it was written from;
    the way down from there bounds log p(x) from above (Grosse, Ghahramani & Adams 2015).
    """
    e = decoder.draw(n, rng)
    with torch.no_grad():
        means = decoder.means(e)
    noise = torch.randn(means.shape, generator=rng, dtype=means.dtype, device=means.device)
    bounds = []
    for part, codes in _with_codes(
        JointDensity(decoder, means + sigma * noise, sigma), e, schedule.chains
    ):
        ladder = prepare(part, schedule, rng)
        up, _ = anneal(part, prior_points(part, schedule, rng), ladder, schedule.leapfrog, rng)
        at = codes[:, None].expand(-1, schedule.chains, -1)
        down, _ = anneal(part, at, ladder.down(), schedule.leapfrog, rng)
        bounds.append(torch.stack([log_mean(up), -log_mean(down)]))
    lower, upper = torch.cat(bounds, 1)
    return lower, upper


def _with_codes(
    joint: JointDensity, e: Tensor, copies: int
) -> Iterator[tuple[JointDensity, Tensor]]:
    """Return parts of the rows, and the codes (n, latent) that belong to them."""
    start = 0
    for part in joint.parts(copies):
        yield part, e[start : start + part.n]
        start += part.n


def log_mean(log_weights: Tensor) -> Tensor:
    """Return log 1/K sum_k w_k, (n,)."""
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])
