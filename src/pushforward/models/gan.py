"""The generative adversarial network: a measure that a network learns, in data space."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.critics import WithCritic
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least
from pushforward.space import Space, total_variance


class GAN(WithCritic, WithGenerator):
    """The non-saturating game (Goodfellow et al. 2014), with R1 when gamma > 0 (Mescheder 2018).

    Critic: E[softplus(-D(x))] + E[softplus(D(g(z)))] + gamma/2 E|grad_x D(x)|^2, whose optimum is
    D = log p_data / p_model; generator: E[softplus(-D(g(z)))].
    """

    name: ClassVar[str] = "gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Goodfellow et al. 2014; Mescheder et al. 2018"

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
        """Tell real from generated rows."""
        fake = self.imagine(len(x), c).detach()
        against = softplus(self.critic(fake, c))
        if self.gamma == 0:
            return {"real": softplus(-self.critic(x, c)), "fake": against}
        real, steepness = self.judge(x, c)
        return {"real": softplus(-real), "fake": against, "r1": self.gamma / 2 * steepness}

    @turn("generator", data=False, betas=(0.0, 0.99))
    def close_in(self, n: int, c: Tensor | None) -> Terms:
        """Make generated rows look real."""
        return {"fool": softplus(-self.critic(self.imagine(n, c), c))}
