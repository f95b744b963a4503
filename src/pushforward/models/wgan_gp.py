"""The Wasserstein GAN with gradient penalty: the learned measure is a distance."""

from __future__ import annotations

from typing import ClassVar

import torch

from pushforward.families.contests import Dual
from pushforward.families.critics import Seen, WithSlope
from pushforward.families.model import Terms


class WGANGP(WithSlope, Dual):
    """The dual of the earth mover's distance over critics of slope 1 (Gulrajani et al. 2017).

    Critic: E[D(g(z))] - E[D(x)] + penalty E[(|grad D(y)| - 1)^2], y = u x + (1 - u) g(z) with u
    uniform on [0, 1]; generator: -E[D(g(z))]. The critic moves `n_critic` times for each of its
    moves.
    """

    name: ClassVar[str] = "wgan-gp"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Gulrajani et al. 2017"

    def restrain(self, seen: Seen) -> Terms:
        """Ask for a slope of 1 between real and generated rows."""
        x, y = seen.x, seen.y
        u = torch.rand(len(x), *(1,) * (x.dim() - 1), device=x.device)
        return super().restrain(seen) | {"penalty": self.off_slope(u * x + (1 - u) * y, seen.c)}
