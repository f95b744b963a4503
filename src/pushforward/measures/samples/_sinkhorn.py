"""Entropic optimal transport between samples with equal weights, for the squared distance.

A plan is exp((f_i + g_j - cost_ij) / epsilon) / (n m). The potentials f and g are kept in the log
domain. Between two updates of these, Sinkhorn's steps are matrix products with the plan, which are
much cheaper than its exponentials.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.measures._intervals import permutation_masks
from pushforward.measures.samples._quadratic import squared_distances

PLAIN = 5  # steps without relaxation, from which the rate of convergence is estimated
RELAXED = 25  # steps with it, before the plan is computed again
COOLING = 0.25  # ratio of one temperature to the one before
WARM_ERROR = 0.5  # error of the marginals below which a start needs no cooling
TINY = 1e-250  # in place of a marginal that underflows
MAX_EXPONENT = 500.0  # a shared plan has no entry below exp(-500): a double can be divided by it


@dataclass(frozen=True)
class SinkhornSettings:
    """The temperature epsilon, in units of the cost; the tolerance of a plan; maximum steps."""

    epsilon: float
    tolerance: float
    iterations: int


@dataclass(frozen=True)
class Divergence:
    """A debiased divergence, the contribution of each row of both samples, the plans' error."""

    value: float
    of_x: Tensor
    of_y: Tensor
    error: float


def divergence(x: Tensor, y: Tensor, settings: SinkhornSettings) -> Divergence:
    """Return the Sinkhorn divergence of x (n, d) and y (m, d).

    A shift of all rows changes the squared cost by terms of one sample only, so both samples are
    centred first; the cost of the shift is known.
    """
    shift = y.mean(0) - x.mean(0)
    x, y = x - x.mean(0), y - y.mean(0)
    f_x, error_x = within(squared_distances(x, x), settings)
    f_y, error_y = within(squared_distances(y, y), settings)
    f, g, error = between(squared_distances(x, y), f_x, f_y, settings)
    gained_x, gained_y = f - f_x, g - f_y
    return Divergence(
        float(gained_x.mean() + gained_y.mean() + shift.square().sum()),
        gained_x - 2 * x @ shift,
        gained_y + 2 * y @ shift,
        max(error_x, error_y, error),
    )


def within(cost: Tensor, settings: SinkhornSettings) -> tuple[Tensor, float]:
    """Return the potential (n,) of a sample and itself, and the error of its plan.

    Averaging the start and the end of each step converges at a rate of 1/2 or better, at all
    temperatures; as the cost of a row to itself is 0, nothing vanishes.

    Reference:
        Feydy et al. 2019, "Interpolating between optimal transport and MMD using Sinkhorn
        divergences", section 3.1.
    """
    kernel = (cost * (-1 / settings.epsilon)).exp_()
    u, error = cost.new_ones(len(cost)), math.inf
    for _ in range(settings.iterations):
        rows = kernel @ u / len(cost)
        error = float((u * rows - 1).abs().mean())
        u = (u / rows).sqrt()
        if error <= settings.tolerance:
            break
    return settings.epsilon * u.log(), error


def between(
    cost: Tensor, f: Tensor, g: Tensor, settings: SinkhornSettings
) -> tuple[Tensor, Tensor, float]:
    """Return the potentials (n,), (m,) of two samples and the error of their plan, from f and g.

    Reference:
        Schmitzer 2019, "Stabilized sparse scaling algorithms for entropy regularized transport
        problems".
    """
    if not float((_plan(cost, f, g, settings.epsilon).mean(1) - 1).abs().mean()) < WARM_ERROR:
        for epsilon in _cooling(float(cost.mean()), settings.epsilon):
            f = softmin(cost, g, epsilon)
            g = softmin(cost.mT, f, epsilon)
    error, convergence = math.inf, 0.0
    for _ in range(0, settings.iterations, PLAIN + RELAXED):
        u, v, error, convergence = _scaled(
            _plan(cost, f, g, settings.epsilon), settings.tolerance, convergence
        )
        f, g = f + settings.epsilon * u.log(), g + settings.epsilon * v.log()
        if error <= settings.tolerance:
            break
    return f, g, error


def _plan(cost: Tensor, f: Tensor, g: Tensor, epsilon: float) -> Tensor:
    return torch.sub(g, cost).add_(f[:, None]).div_(epsilon).exp_()


def _cooling(start: float, end: float) -> list[float]:
    """Return temperatures that end at `end`, and begin near `start` if that is higher."""
    stages = math.ceil(math.log(end / start, COOLING)) if start > end else 0
    return [end * COOLING**-k for k in range(stages, -1, -1)]


def softmin(cost: Tensor, g: Tensor, epsilon: float | Tensor) -> Tensor:
    """Return the f (n,) for which the plan's rows have the right sums, given g (m,)."""
    return epsilon * (math.log(len(g)) - torch.logsumexp((g - cost) / epsilon, 1))


def _scaled(
    plan: Tensor, tolerance: float, convergence: float
) -> tuple[Tensor, Tensor, float, float]:
    """Return factors u (n,), v (m,) that give rows and columns of a plan the right sums, or nearly.

    Also the error of the rows before the last step, and the highest rate of convergence so far.
    """
    plain = u, v = plan.new_ones(plan.shape[0]), plan.new_ones(plan.shape[1])
    errors: list[float] = []
    for step in range(PLAIN + RELAXED):
        rows = plan @ v / len(v)
        errors.append(float((u * rows - 1).abs().mean()))
        if step == PLAIN:
            convergence, plain = max(convergence, errors[-1] / errors[-2]), (u, v)
        if errors[-1] <= tolerance:
            return 1 / rows, v, errors[-1], convergence
        power = _relaxation(convergence) if step >= PLAIN else 1.0
        u = _moved(u, rows, power)
        v = _moved(v, u @ plan / len(u), power)
    if not errors[-1] < errors[PLAIN]:  # relaxation is safe only near the solution
        return *plain, errors[PLAIN], 0.0
    return u, v, errors[-1], convergence


def _relaxation(convergence: float) -> float:
    """Return the overrelaxation of a step, from the convergence rate of Sinkhorn's steps.

    Reference:
        Lehmann et al. 2022, "A note on overrelaxation in the Sinkhorn algorithm".
    """
    return 2 / (1 + math.sqrt(1 - min(max(convergence, 0.0), 0.9999)))


def _moved(factor: Tensor, marginal: Tensor, power: float) -> Tensor:
    marginal = marginal.clamp(min=TINY)
    if power == 1:
        return 1 / marginal
    return factor ** (1 - power) * marginal**-power


def permuted(
    pooled: Tensor, n: int, permutations: int, settings: SinkhornSettings, rng: torch.Generator
) -> tuple[Tensor, float]:
    """Return the divergence (B,) of random permutations of the pooled rows, and the plans' error.

    All permutations share one plan, that of the pooled rows with themselves: that of a permutation
    is the same up to factors near 1, so each step is one product for all permutations.
    """
    if not permutations:
        return pooled.new_zeros(0), 0.0
    # The error of the value is of the order of the squared error of the marginals, and permutations
    # scatter much more.
    tolerance = math.sqrt(settings.tolerance)
    is_x = permutation_masks(n, len(pooled) - n, permutations, rng).to(pooled)
    of_x, of_y = is_x / n, (1 - is_x) / (len(pooled) - n)
    cost = squared_distances(pooled, pooled)
    f, _ = within(cost, settings)
    plan = (
        cost.neg_().add_(f).add_(f[:, None]).div_(settings.epsilon).clamp_(min=-MAX_EXPONENT).exp_()
    )
    for relaxed in (True, False):  # with overrelaxation, where that stays finite
        gained, error = _gained(plan, of_x, of_y, settings, tolerance, relaxed)
        if gained.isfinite().all():
            break
    return settings.epsilon * gained, error


def _gained(
    plan: Tensor,
    of_x: Tensor,
    of_y: Tensor,
    settings: SinkhornSettings,
    tolerance: float,
    relaxed: bool,
) -> tuple[Tensor, float]:
    """Return the divergences (B,) in units of epsilon, for weights (B, rows), and the error."""
    u, v, p, q = (torch.ones_like(of_x) for _ in range(4))
    error, before, convergence = math.inf, math.inf, 0.0
    for step in range(settings.iterations):
        rows_u, rows_p, rows_q = (torch.cat([of_y * v, of_x * p, of_y * q]) @ plan).chunk(3)
        before, error = error, float((of_x * (u * rows_u - 1).abs()).sum(1).max())
        p, q = (p / rows_p).sqrt(), (q / rows_q).sqrt()
        if not error > tolerance:  # also where it is NaN
            break
        round_step = step % (PLAIN + RELAXED)
        convergence = max(convergence, error / before) if round_step == PLAIN else convergence
        power = _relaxation(convergence) if relaxed and round_step >= PLAIN else 1.0
        u = _moved(u, rows_u, power)
        v = _moved(v, (of_x * u) @ plan, power)
    gained_x, gained_y = -rows_u.log() - p.log(), v.log() - q.log()
    return (of_x * gained_x + of_y * gained_y).sum(1), error
