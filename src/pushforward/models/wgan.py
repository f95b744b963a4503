"""The first Wasserstein GAN: a critic whose weights are kept small."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pushforward.families.contests import Dual
from pushforward.families.options import above, log_range
from pushforward.space import Space


class WGAN(Dual):
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
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.clip = clip

    def after_step(self, turn: str) -> None:
        """Clip the weights of a critic that has moved."""
        super().after_step(turn)
        if turn == "measure":
            for weight in self.critic.parameters():
                weight.clamp_(-self.clip, self.clip)
