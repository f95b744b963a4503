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
        """Raise the divergence."""
        return {"gap": -self.divergence(x, self.imagine(len(x), c).detach(), c)}

    @turn("generator", repeat="n_generator", betas=(0.5, 0.99))
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the divergence."""
        return {"transport": self.divergence(x, self.imagine(len(x), c), c)}

    def divergence(self, x: Tensor, y: Tensor, c: Tensor | None) -> Tensor:
        """Return S(F(x), F(y)), the same for each row, (n // pack,)."""
        of_x, of_y = (normalize(self.critic(rows, c), dim=1) for rows in (x, y))
        epsilon = of_x.new_tensor(2 * self.temperature_share)
        return sinkhorn_statistic(of_x, of_y, epsilon).expand(len(of_x))
