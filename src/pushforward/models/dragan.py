"""DRAGAN: a critic that pays for its slopes around real rows, and not only on them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.critics import WithSlope
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.space import Space


class DRAGAN(WithSlope, WithGenerator):
    """The non-saturating game, and E(|grad D(x + e)| - 1)^2 around real rows (Kodali et al. 2017).

    e ~ N(0, reach^2 s^2), s^2 the variance of the batch over all its values: penalised is a
    neighbourhood of the data, where `wgan-gp` penalises between data and generated rows.
    """

    name: ClassVar[str] = "dragan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Kodali et al. 2017"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        reach: Annotated[
            float, "Deviation of the noise, in the data's.", at_least(0), log_range(0.1, 2.5)
        ] = 0.5,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.reach = reach

    @turn("critic", betas=(0.5, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell real from generated rows, with a slope of 1 around real ones."""
        fake = self.imagine(len(x), c).detach()
        near = x + self.reach * x.std() * torch.randn_like(x)
        verdict = {"real": softplus(-self.critic(x, c)), "fake": softplus(self.critic(fake, c))}
        return verdict | {"penalty": self.off_slope(near, c)}

    @turn("generator", data=False, betas=(0.5, 0.99))
    def close_in(self, n: int, c: Tensor | None) -> Terms:
        """Make generated rows look real."""
        return {"fool": softplus(-self.critic(self.imagine(n, c), c))}
