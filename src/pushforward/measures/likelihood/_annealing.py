"""Annealed importance sampling with Hamiltonian transitions, from prior to posterior and back.

On the path f_b(e) = p(e) p(x|e)^b all rows and all chains move at once. Step sizes are set by a
pilot run and then fixed: weights are unbiased, E[w] = p(x), only where no transition depends on the
past of its own chain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures.likelihood.decoder import JointDensity

ACCEPTED = 0.65  # the best acceptance rate in many dimensions (Beskos et al. 2013; Neal 2011)
CHAINS = 4  # of the pilot run, at least: it needs their spread
PILOT = 30  # temperatures of the pilot run
TRIES = 2  # its transitions at each of them
MIN_SPREAD = 1e-3  # nats: smaller spreads of log p(x|e) count as this
ADAPTATION = 1.0  # of the logarithm of the step size to the acceptance rate
JITTER = 0.2  # share by which step sizes vary at random, so that no path is periodic


@dataclass(frozen=True)
class Ladder:
    """Temperatures 0 = b_0 < ... < b_T = 1, and for each the step size of each row."""

    betas: list[float]
    strides: Tensor  # (T + 1, n)

    def down(self) -> Ladder:
        """Return the reverse ladder, from posterior to prior."""
        return Ladder(self.betas[::-1], self.strides.flip(0))


@dataclass(frozen=True)
class ChainState:
    """The state of the chains: points e (n, k, latent), both log densities (n, k), gradients."""

    e: Tensor
    prior: Tensor
    likelihood: Tensor
    gradient_prior: Tensor
    gradient_likelihood: Tensor

    def log_density(self, beta: float) -> Tensor:
        """Return log p(e) + beta log p(x|e), (n, k)."""
        return self.prior + beta * self.likelihood

    def gradient(self, beta: float) -> Tensor:
        """Return its gradient with respect to e."""
        return self.gradient_prior + beta * self.gradient_likelihood

    def replaced_where(self, moved: Tensor, new: ChainState) -> ChainState:
        """Return the new state for the chains that `moved` (n, k), this one for the others."""
        pairs = ((getattr(new, f.name), getattr(self, f.name)) for f in fields(self))
        return ChainState(
            *(torch.where(moved if a.ndim == 2 else moved[..., None], a, b) for a, b in pairs)
        )


def evaluate(joint: JointDensity, e: Tensor) -> ChainState:
    """Return densities and gradients at e; none reaches a parameter of the decoder."""
    e = e.detach().requires_grad_()
    with torch.enable_grad():
        prior, likelihood = joint.log_prior(e), joint.log_likelihood(e)
        if not likelihood.requires_grad:
            raise MeasureError(
                "the decoder has no gradient with respect to z (it leaves torch, detaches or runs "
                "under no_grad); annealed_importance needs one, importance_bound does not"
            )
        (gradient_prior,) = torch.autograd.grad(prior.sum(), e)
        (gradient_likelihood,) = torch.autograd.grad(likelihood.sum(), e)
    return ChainState(
        e.detach(), prior.detach(), likelihood.detach(), gradient_prior, gradient_likelihood
    )


def transition(
    joint: JointDensity,
    state: ChainState,
    beta: float,
    stride: Tensor,
    leapfrog: int,
    rng: torch.Generator,
) -> tuple[ChainState, Tensor]:
    """Return the states after one Hamiltonian proposal, and acceptance probabilities (n, k)."""
    momentum = torch.randn(state.e.shape, generator=rng, dtype=state.e.dtype, device=state.e.device)
    uniform = torch.rand(
        2, *state.prior.shape, generator=rng, dtype=state.e.dtype, device=state.e.device
    )
    size = (stride[:, None] * (1 + JITTER * (2 * uniform[0] - 1)))[..., None]
    before = state.log_density(beta) - 0.5 * momentum.square().sum(-1)
    new = state
    momentum = momentum + 0.5 * size * new.gradient(beta)
    for i in range(leapfrog):
        new = evaluate(joint, new.e + size * momentum)
        momentum = momentum + (1.0 if i < leapfrog - 1 else 0.5) * size * new.gradient(beta)
    after = new.log_density(beta) - 0.5 * momentum.square().sum(-1)
    # A path that diverged is rejected like any other bad one.
    acceptance = (after - before).nan_to_num(nan=-math.inf).clamp_max(0).exp()
    return state.replaced_where(uniform[1] < acceptance, new), acceptance


@dataclass(frozen=True)
class Schedule:
    """Temperatures, chains per row, and leapfrog steps per transition."""

    steps: int
    chains: int
    leapfrog: int


def prepare(joint: JointDensity, schedule: Schedule, rng: torch.Generator) -> Ladder:
    """Return the ladder from a pilot run: temperatures and step sizes.

    The pilot run follows a coarse, geometric ladder and adapts each row's step size until 65 % are
    accepted. Temperatures are then spaced so that the spread of log p(x|e) times the change of beta
    is the same at each step, which keeps the variance of the weights small.

    Reference:
        Gelman & Meng 1998, "Simulating normalizing constants", section 4.
    """
    schedule = replace(schedule, chains=max(schedule.chains, CHAINS))
    state = evaluate(joint, prior_points(joint, schedule, rng))
    first = min(0.5, 1 / float(_spread(state)))
    coarse = state.e.new_tensor([0.0, *torch.logspace(math.log10(first), 0, PILOT).tolist()])
    log_stride, strides, spreads = state.e.new_zeros(joint.n), [], []
    for beta in coarse.tolist():
        for _ in range(TRIES):
            state, acceptance = transition(
                joint, state, beta, log_stride.exp(), schedule.leapfrog, rng
            )
            log_stride = log_stride + ADAPTATION * (acceptance.mean(1) - ACCEPTED)
        strides.append(log_stride)
        spreads.append(_spread(state))
    lengths = torch.cumulative_trapezoid(torch.stack(spreads), coarse)
    lengths = torch.cat([lengths.new_zeros(1), lengths / lengths[-1]])
    even = torch.linspace(0, 1, schedule.steps + 1, dtype=coarse.dtype, device=coarse.device)
    betas = _between(even, lengths, coarse[:, None])[:, 0]
    return Ladder(betas.tolist(), _between(betas, coarse, torch.stack(strides)).exp())


def _spread(state: ChainState) -> Tensor:
    """Return the standard deviation of log p(x|e) over chains, pooled over rows; never zero."""
    return state.likelihood.var(1).mean().sqrt().clamp_min(MIN_SPREAD)


def prior_points(joint: JointDensity, schedule: Schedule, rng: torch.Generator) -> Tensor:
    """Return draws of the prior, one per chain: (n, chains, latent)."""
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
    state = evaluate(joint, e)
    log_weights, accepted = torch.zeros_like(state.prior), []
    for t, (previous, beta) in enumerate(pairwise(ladder.betas), 1):
        log_weights = log_weights + (beta - previous) * state.likelihood
        if t < len(ladder.betas) - 1:
            state, acceptance = transition(joint, state, beta, ladder.strides[t], leapfrog, rng)
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
    joint: JointDensity, n: int, schedule: Schedule, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return lower and upper bounds (n,) of log p(x) for n rows simulated from the model itself.

    Only for a simulated row is an exact posterior draw known: the code that it was generated from.
    The reverse chain from there bounds log p(x) from above (Grosse, Ghahramani & Adams 2015).
    """
    e = joint.decoder.draw(n, rng)
    bounds = []
    for part, codes in _with_codes(joint.simulated(e, rng), e, schedule.chains):
        ladder = prepare(part, schedule, rng)
        up, _ = anneal(part, prior_points(part, schedule, rng), ladder, schedule.leapfrog, rng)
        state = codes[:, None].expand(-1, schedule.chains, -1)
        down, _ = anneal(part, state, ladder.down(), schedule.leapfrog, rng)
        bounds.append(torch.stack([log_mean(up), -log_mean(down)]))
    lower, upper = torch.cat(bounds, 1)
    return lower, upper


def _with_codes(
    joint: JointDensity, e: Tensor, copies: int
) -> Iterator[tuple[JointDensity, Tensor]]:
    """Return parts of the rows, and their codes (n, latent)."""
    start = 0
    for part in joint.parts(copies):
        yield part, e[start : start + part.n]
        start += part.n


def log_mean(log_weights: Tensor) -> Tensor:
    """Return log 1/K sum_k w_k, (n,)."""
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])
