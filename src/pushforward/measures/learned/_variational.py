r"""Variational bounds of f-divergences, from a critic's values on two samples.

For an f-divergence $E_q f(p/q)$ and any function T the bound is $E_p T - E_q f^*(T)$, with the
convex conjugate f*; it is tight at $T = f'(p/q)$. Everything here is written as a function of u, an
estimate of log p/q: T(u) = f'(e^u), and f*(T(u)) = e^u f'(e^u) - f(e^u). At u = 0, no difference,
all of them are 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pushforward.measures._intervals import Z, permutation_masks

Term = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bound:
    """mean of `on_x` over one sample minus mean of `on_y` over the other.

    Args:
        on_x: T(u), on the real rows.
        on_y: f*(T(u)), on the generated rows.
        growth: the largest term grows as exp(growth |u|), relative to the value's own scale.
        unit: of the value.
        log: whether the logarithm of the second mean is subtracted (Donsker-Varadhan).
    """

    on_x: Term
    on_y: Term
    growth: float = 0.0
    unit: str = ""
    log: bool = False

    def ratio_limit(self, rows: int) -> float:
        """Return a bound of |u| such that no row's term outweighs that number of rows."""
        return math.log(rows) / self.growth if self.growth else math.inf

    def value(self, u_x: Tensor, u_y: Tensor) -> float:
        """Return the bound on two samples (n,) and (m,)."""
        return float(self._value(self.on_x(u_x).mean(), self.on_y(u_y).mean()))

    def error(self, u_x: Tensor, u_y: Tensor) -> float:
        """Return the value's standard error over the rows, by the delta method for the log."""
        on_x, on_y = self.on_x(u_x), self.on_y(u_y)
        slope = 1 / on_y.mean() if self.log else 1.0
        return float((on_x.var() / len(on_x) + slope**2 * on_y.var() / len(on_y)).sqrt())

    def interval(self, u_x: Tensor, u_y: Tensor) -> tuple[float, float]:
        """Return the 95 % interval of this critic's bound."""
        value, half = self.value(u_x, u_y), Z * self.error(u_x, u_y)
        return value - half, value + half

    def permuted(
        self, u_x: Tensor, u_y: Tensor, permutations: int, generator: torch.Generator
    ) -> Tensor:
        """Return the values for random permutations of all rows and the fixed critic."""
        pooled = torch.cat([u_x, u_y])
        is_x = permutation_masks(len(u_x), len(u_y), permutations, generator).to(pooled)
        on_x, on_y = self.on_x(pooled), self.on_y(pooled)
        return self._value(is_x @ on_x / len(u_x), (1 - is_x) @ on_y / len(u_y))

    def _value(self, on_x: Tensor, on_y: Tensor) -> Tensor:
        return on_x - (on_y.log() if self.log else on_y)


def _softened(u: Tensor) -> Tensor:
    """Return log of twice the logistic function, halved: 0 at u = 0."""
    return (logsigmoid(u) + math.log(2)) / 2


DIFFERENCE = Bound(lambda u: u, lambda u: u, unit="units of the data")
F_GAN: dict[str, Bound] = {
    "kl": Bound(lambda u: 1 + u, torch.exp, growth=1.0, unit="nats"),
    "reverse_kl": Bound(lambda u: -torch.exp(-u), lambda u: u - 1, growth=1.0, unit="nats"),
    "js": Bound(_softened, lambda u: -_softened(-u), unit="nats"),
    "chi2": Bound(lambda u: 2 * torch.expm1(u), lambda u: torch.expm1(2 * u), growth=2.0),
    "hellinger": Bound(
        lambda u: -torch.expm1(-u / 2) / 2, lambda u: torch.expm1(u / 2) / 2, growth=0.5
    ),
    "total_variation": Bound(lambda u: u.sign() / 2, lambda u: u.sign() / 2),
}
BOUNDS: dict[str, dict[str, Bound]] = {
    # A constant added to u changes nothing here: only differences of u count, twice the bound.
    "dv": {"kl": replace(F_GAN["kl"], on_x=lambda u: u, growth=2.0, log=True)},
    "nwj": {"kl": F_GAN["kl"]},
    "f-gan": F_GAN,
}
