"""The Sinkhorn GAN: a critic learns by which features rows are carried to each other."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn.functional import normalize

from pushforward.families.critics import WithFeatures
from pushforward.families.model import Terms, turn
from pushforward.families.options import above, at_least, log_range
from pushforward.measures.samples import sinkhorn_statistic
from pushforward.space import Space


class SinkhornGAN(WithFeatures):
    """S(F(x), F(y)) of y = g(z), F of length 1: the critic raises it, g lowers it.

    S is the Sinkhorn divergence (Genevay et al. 2018) for the cost |F(x) - F(y)|^2 = 2 - 2 cos, by
    which OT-GAN keeps the critic within bounds (Salimans et al. 2018). As there, the generator
    moves more often than the critic.
    """

    name: ClassVar[str] = "sinkhorn-gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Genevay et al. 2018; Salimans et al. 2018"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        temperature_share: Annotated[
            float, "Temperature of the transport, in costs of 2.", above(0), log_range(0.005, 0.5)
        ] = 0.05,
        n_generator: Annotated[
            int, "Moves of the generator for one of the critic.", at_least(1)
        ] = 3,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.temperature_share, self.n_generator = temperature_share, n_generator

    @turn("critic", pace="critic_pace", betas=(0.5, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Raise the cost."""
        of_x, of_y = self.directions(x, c), self.directions(self.imagine(len(x), c).detach(), c)
        by_x = self.cost(of_x, of_y)  # whose value is that of the other, and its gradient by F(x)
        return {"gap": -(self.cost(of_y, of_x) + by_x - by_x.detach())}

    @turn("generator", repeat="n_generator", betas=(0.5, 0.99))
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the cost."""
        y = self.imagine(len(x), c)
        return {"transport": self.cost(self.directions(y, c), self.directions(x, c))}

    def directions(self, x: Tensor, c: Tensor | None) -> Tensor:
        """Return F(x), of length 1, (n // pack, outputs)."""
        return normalize(self.critic(x, c), dim=1)

    def cost(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the divergence, a value for each a_i, with gradients for a alone."""
        return sinkhorn_statistic(a, b, b.new_tensor(2 * self.temperature_share))
