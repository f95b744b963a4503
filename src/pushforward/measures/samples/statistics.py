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

OWN_STEPS = 20  # that find the potential of a sample and itself: an error of about 2^-20


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
    """Return the Sinkhorn divergence of the squared distance, a value for each row x_i, (n,).

    Their mean is OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2, where OT(a, b) = min_pi sum pi |a - b|^2 +
    epsilon KL(pi || a b) (Feydy et al. 2019): f(x_i) - p(x_i), and a constant, with the potentials
    f of (x, y) and p of (x, x). These are found without gradient at temperatures that fall to
    epsilon; by the envelope theorem their last update, which has one, gives that of the whole.
    """
    costs = [squared_distances(a, b) for a, b in ((x, y.detach()), (x, x.detach()), (y, y))]
    with torch.no_grad():
        g = _potentials(costs[0], epsilon, iterations)
        p, q = (_own_potential(cost, epsilon) for cost in costs[1:])
        f, constant = softmin(costs[0], g, epsilon), softmin(costs[2], q, epsilon)
        of_y = (softmin(costs[0].mT, f, epsilon) - constant).mean()
    return softmin(costs[0], g, epsilon) - softmin(costs[1], p, epsilon) + of_y


def _potentials(cost: Tensor, epsilon: Tensor, iterations: int) -> Tensor:
    """Return g (m,), by steps of falling temperature and as many at epsilon."""
    g = cost.new_zeros(cost.shape[1])
    start = cost.mean().maximum(epsilon)
    for step in range(2 * iterations):
        fallen = min(1.0, step / iterations)
        hot = start ** (1 - fallen) * epsilon**fallen
        g = softmin(cost.mT, softmin(cost, g, hot), hot)
    return g


def _own_potential(cost: Tensor, epsilon: Tensor) -> Tensor:
    """Return the potential (n,) of a sample and itself; damped steps converge fast."""
    p = cost.new_zeros(len(cost))
    for _ in range(OWN_STEPS):
        p = (p + softmin(cost, p, epsilon)) / 2
    return p


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
