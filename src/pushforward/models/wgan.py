"""The first Wasserstein GAN: a critic whose weights are kept small."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor

from pushforward.families.critics import WithCritic
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.families.options import above, at_least, log_range
from pushforward.space import Space


class WGAN(WithCritic, WithGenerator):
    """Critic: -(E D(x) - E D(g(z))), each weight clipped to [-clip, clip]; generator: -E D(g(z)).

    Over 1-Lipschitz critics the gap is the Wasserstein distance W1. Clipped weights bound the
    critic's slopes, by a constant that nobody knows: the gap is a multiple of a bound of W1, and
    critics become linear (Gulrajani et al. 2017). Kept for comparison with `wgan-gp`; the paper
    uses RMSprop, which is Adam without a mean of gradients.
    """

    name: ClassVar[str] = "wgan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Arjovsky et al. 2017"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        clip: Annotated[
            float, "The largest weight of the critic.", above(0), log_range(0.01, 1)
        ] = 0.1,
        n_critic: Annotated[int, "Moves of the critic for one of the generator.", at_least(1)] = 5,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.clip, self.n_critic = clip, n_critic

    @turn("critic", repeat="n_critic", learning_rate=5e-4, betas=(0.0, 0.9))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Widen the gap between real and generated rows."""
        fake = self.imagine(len(x), c).detach()
        return {"real": -self.critic(x, c), "fake": self.critic(fake, c)}

    @turn("generator", data=False, learning_rate=5e-4, betas=(0.0, 0.9))
    def close_in(self, n: int, c: Tensor | None) -> Terms:
        """Raise generated rows by the critic's measure."""
        return {"fool": -self.critic(self.imagine(n, c), c)}

    def after_step(self, turn: str) -> None:
        """Clip the weights of a critic that has moved."""
        if turn == "measure":
            for weight in self.critic.parameters():
                weight.clamp_(-self.clip, self.clip)
