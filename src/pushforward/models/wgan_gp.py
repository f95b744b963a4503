"""The Wasserstein GAN with gradient penalty: the learned measure is a distance."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from pushforward.families.critics import WithCritic
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.space import Space


class WGANGP(WithCritic, WithGenerator):
    """The dual of the earth mover's distance over critics of slope 1 (Gulrajani et al. 2017).

    Critic: E[D(g(z))] - E[D(x)] + penalty E[(|grad D(y)| - 1)^2], y = u x + (1 - u) g(z) with u
    uniform on [0, 1]; generator: -E[D(g(z))]. The critic moves `n_critic` times for each of its
    moves.
    """

    name: ClassVar[str] = "wgan-gp"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Gulrajani et al. 2017"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        penalty: Annotated[
            float, "Weight of the gradient penalty.", at_least(0), log_range(1, 100)
        ] = 10.0,
        n_critic: Annotated[int, "Moves of the critic for one of the generator.", at_least(1)] = 5,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.penalty, self.n_critic = penalty, n_critic

    @turn("critic", repeat="n_critic", learning_rate=5e-4, betas=(0.0, 0.9))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Widen the gap between real and generated rows, with a slope of 1 between them."""
        fake = self.imagine(len(x), c).detach()
        u = torch.rand(len(x), *(1,) * (x.dim() - 1), device=x.device)
        _, squared = self.judge(u * x + (1 - u) * fake, c)
        slope = (squared + 1e-12).sqrt()  # whose derivative is finite at 0
        return {
            "real": -self.critic(x, c),
            "fake": self.critic(fake, c),
            "penalty": self.penalty * (slope - 1).square(),
        }

    @turn("generator", data=False, learning_rate=5e-4, betas=(0.0, 0.9))
    def close_in(self, n: int, c: Tensor | None) -> Terms:
        """Raise generated rows by the critic's measure."""
        return {"fool": -self.critic(self.imagine(n, c), c)}
