"""Measures of samples as plain functions that train: differentiable, of a fixed amount of work.

The generated sample x comes first, the real one y second; gradients are for x. No value is looked
at on the way, so a turn that calls one can be captured and vectorised. (`mmd_statistic` and
`energy_statistic`, which are symmetric, stand beside their measures.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.measures.samples._quadratic import squared_distances
from pushforward.measures.samples._sinkhorn import softmin
from pushforward.measures.samples._sliced import transport


def sliced_wasserstein_statistic(x: Tensor, y: Tensor, lines: Tensor) -> Tensor:
    """Return the mean of W_2^2 along lines, as a scalar: the square of `sliced_wasserstein`.

    Args:
        x: one sample (n, d).
        y: the other one (m, d).
        lines: unit vectors (l, d).
    """
    xs, ys = ((lines @ rows.mT).sort(1).values for rows in (x, y))
    return transport(xs, ys, 2).mean()


def sinkhorn_statistic(x: Tensor, y: Tensor, epsilon: Tensor, iterations: int = 10) -> Tensor:
    """Return the Sinkhorn divergence OT(x, y) - OT(x, x') / 2 - OT(y, y') / 2, as a scalar.

    OT(a, b) = min_pi sum pi |a - b|^2 + epsilon KL(pi || a b) (Feydy et al. 2019). The first term
    is the mean over the four pairs of halves, the others are between the halves of a sample
    (Salimans et al. 2018). Between a batch and itself OT would be near 0 whatever the spread, as
    each row is its own nearest: the mean over batches would be least for rows near their mean, the
    more so in many dimensions, and a generator that is trained by it collapses to that.
    """
    xs, ys = x.chunk(2), y.chunk(2)
    across = [transport_cost(a, b, epsilon, iterations) for a in xs for b in ys]
    within = [transport_cost(a, b, epsilon, iterations) for a, b in (xs, ys)]
    return torch.stack(across).mean() - torch.stack(within).mean()


def transport_cost(x: Tensor, y: Tensor, epsilon: Tensor, iterations: int = 10) -> Tensor:
    """Return OT(x, y), a scalar.

    The potentials f and g, at which it is mean f + mean g, are found without gradient at
    temperatures that fall to epsilon. By the envelope theorem its gradient is that of the cost of
    the plan pi_ij = exp((f_i + g_j - c_ij) / epsilon) / nm, which stands still.
    """
    cost = squared_distances(x, y)
    with torch.no_grad():
        g = _potentials(cost, epsilon, iterations)
        f = softmin(cost, g, epsilon)
        plan = ((f[:, None] + g - cost) / epsilon).exp() / cost.numel()
    spent = (plan * cost).sum()
    return spent - spent.detach() + f.mean() + g.mean()


def _potentials(cost: Tensor, epsilon: Tensor, iterations: int) -> Tensor:
    """Return g (m,), by steps of falling temperature and as many at epsilon."""
    g = cost.new_zeros(cost.shape[1])
    start = cost.mean().maximum(epsilon)
    for step in range(2 * iterations):
        fallen = min(1.0, step / iterations)
        hot = start ** (1 - fallen) * epsilon**fallen
        g = softmin(cost.mT, softmin(cost, g, hot), hot)
    return g


def drift_statistic(x: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
    """Return sigma^2 (log q(x_i) - log p(x_i)) for each row x_i, (n,).

    p and q are the kernel densities of y and of the other rows of x, with a Gaussian kernel k of
    bandwidth sigma (a scalar). Gradients are for x_i as the place where both are looked at, and are
    -V(x_i), V being the drifting field of Deng et al. (2026),

        V(a) = sum_j k(a, y_j) (y_j - a) / sum_j k(a, y_j) - the same of the other rows of x:

    attraction to data, repulsion from generated rows. With the Gaussian kernel the field has this
    potential (Franz et al. 2026, who call it sharp).
    """
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    apart = squared_distances(x, x.detach()).masked_fill(itself, math.inf)
    log_q = _log_kernels(apart, sigma) - math.log(len(x) - 1)
    return sigma**2 * (log_q - _log_kernels(squared_distances(x, y), sigma) + math.log(len(y)))


def _log_kernels(squared: Tensor, sigma: Tensor) -> Tensor:
    return (-0.5 * squared / sigma**2).logsumexp(1)
