"""The generative adversarial network: a measure that a network learns, in data space."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.critics import WithPenalty
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn


class GAN(WithPenalty, WithGenerator):
    """The non-saturating game (Goodfellow et al. 2014), with R1 when gamma > 0 (Mescheder 2018).

    Critic: E[softplus(-D(x))] + E[softplus(D(g(z)))] + gamma/2 E|grad_x D(x)|^2, whose optimum is
    D = log p_data / p_model; generator: E[softplus(-D(g(z)))].
    """

    name: ClassVar[str] = "gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Goodfellow et al. 2014; Mescheder et al. 2018"

    @turn("critic", every="penalty_every", between="compare", betas=(0.0, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell real from generated rows, by gentle slopes."""
        if self.gamma == 0:
            return self.compare(x, c)
        fake = self.imagine(len(x), c).detach()
        against = softplus(self.critic(fake, c))
        real, r1 = self.penalised(x, c)
        return {"real": softplus(-real), "fake": against, "r1": r1}

    def compare(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell real from generated rows."""
        fake = self.imagine(len(x), c).detach()
        return {"real": softplus(-self.critic(x, c)), "fake": softplus(self.critic(fake, c))}

    @turn("generator", data=False, betas=(0.0, 0.99))
    def close_in(self, n: int, c: Tensor | None) -> Terms:
        """Make generated rows look real."""
        return {"fool": softplus(-self.critic(self.imagine(n, c), c))}
