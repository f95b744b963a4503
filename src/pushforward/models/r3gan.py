"""R3GAN: the relativistic GAN with both gradient penalties, a stable modern baseline."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.critics import WithCritic
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least
from pushforward.space import Space, total_variance


class R3GAN(WithCritic, WithGenerator):
    """Real and generated rows are judged in pairs, with R1 and R2 (Huang et al. 2024).

    Critic: E[softplus(D(g(z)) - D(x))] + gamma/2 (E|grad D(x)|^2 + E|grad D(g(z))|^2);
    generator: E[softplus(D(x) - D(g(z)))]. The game converges locally (their proposition 2).
    """

    name: ClassVar[str] = "r3gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Huang et al. 2024"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        gamma: Annotated[
            float, "Weight of the gradient penalty, per unit of data variance.", at_least(0)
        ] = 0.2,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        # In these units one default serves tables, images and points (see `total_variance`).
        self.gamma = gamma * total_variance(space)

    @turn("critic", betas=(0.0, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Judge each real row above its generated partner."""
        fake = self.imagine(len(x), c).detach()
        (real, steep_real), (imagined, steep_fake) = self.judge(x, c), self.judge(fake, c)
        return {
            "pair": softplus(imagined - real),
            "r1": self.gamma / 2 * steep_real,
            "r2": self.gamma / 2 * steep_fake,
        }

    @turn("generator", betas=(0.0, 0.99))
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Raise each generated row above its real partner."""
        fake = self.imagine(len(x), c)
        return {"pair": softplus(self.critic(x, c) - self.critic(fake, c))}
