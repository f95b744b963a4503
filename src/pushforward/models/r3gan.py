"""R3GAN: the relativistic GAN with both gradient penalties, a stable modern baseline."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.critics import WithPenalty
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn


class R3GAN(WithPenalty, WithGenerator):
    """Real and generated rows are judged in pairs, with R1 and R2 (Huang et al. 2024).

    Critic: E[softplus(D(g(z)) - D(x))] + gamma/2 (E|grad D(x)|^2 + E|grad D(g(z))|^2);
    generator: E[softplus(D(x) - D(g(z)))]. The game converges locally (their proposition 2).
    """

    name: ClassVar[str] = "r3gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Huang et al. 2024"

    def estimate(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return -E softplus(D(g(z)) - D(x)), of pairs."""
        return -softplus(fake - real).mean()

    @turn("critic", every="penalty_every", between="compare", betas=(0.0, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Judge each real row above its generated partner, by gentle slopes."""
        fake = self.imagine(len(x), c).detach()
        (real, r1), (imagined, r2) = self.penalised(x, c), self.penalised(fake, c)
        return {"pair": softplus(imagined - real), "r1": r1, "r2": r2}

    def compare(self, x: Tensor, c: Tensor | None) -> Terms:
        """Judge each real row above its generated partner."""
        fake = self.imagine(len(x), c).detach()
        return {"pair": softplus(self.critic(fake, c) - self.critic(x, c))}

    @turn("generator", betas=(0.0, 0.99))
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Raise each generated row above its real partner."""
        fake = self.imagine(len(x), c)
        return {"pair": softplus(self.critic(x, c) - self.critic(fake, c))}
