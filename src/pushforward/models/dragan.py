"""DRAGAN: a critic that pays for its slopes around real rows, and not only on them."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import torch

from pushforward.families.contests import Rivalry
from pushforward.families.critics import Seen, WithSlope
from pushforward.families.model import Terms
from pushforward.families.options import at_least, log_range
from pushforward.space import Space, total_variance, values


class DRAGAN(WithSlope, Rivalry):
    """The non-saturating game, and E max(0, |grad D(x + e)| - 1)^2 around real rows.

    e ~ N(0, reach^2 s^2), s^2 the variance of a value (the paper: in the batch): penalised is a
    neighbourhood of the data, where `wgan-gp` penalises between data and generated rows. Two-sided,
    E(|grad D| - 1)^2, as in Kodali et al. (2017), the critic keeps a slope where the two kinds of
    rows agree already, and the game never comes to rest.
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
        one_sided: Annotated[bool, "Only slopes above 1 are paid for."] = True,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, one_sided=one_sided, **shared)
        self.reach = reach * math.sqrt(total_variance(space) / values(space))

    def restrain(self, seen: Seen) -> Terms:
        """Ask for a slope of 1 around real rows."""
        near = seen.x + self.reach * torch.randn_like(seen.x)
        return super().restrain(seen) | {"penalty": self.off_slope(near, seen.c)}
