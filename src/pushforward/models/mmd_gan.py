"""The MMD-GAN: a critic learns in which features a kernel sees most of a difference."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from pushforward.families.critics import WithFeatures
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.families.slopes import slopes
from pushforward.measures.samples import mmd_statistic, mmd_witness
from pushforward.space import Space


class MMDGAN(WithFeatures):
    """MMD^2(F(x), F(y)) of y = g(z), which the critic's F raises and g lowers (Li et al. 2017).

    The kernel is that of `measures.mmd`, at widths around the median distance of features. F also
    pays penalty E(|grad w(u)| - 1)^2 between real and generated rows, for the witness function w(u)
    = E k(F(u), F(x)) - E k(F(u), F(y)) (Binkowski et al. 2018); the first paper clips weights.
    """

    name: ClassVar[str] = "mmd-gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Li et al. 2017; Binkowski et al. 2018"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        penalty: Annotated[
            float, "Weight of the gradient penalty.", at_least(0), log_range(0.1, 10)
        ] = 1.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.penalty = penalty

    @turn("critic", pace="critic_pace", betas=(0.0, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Raise the discrepancy, by gentle slopes of its witness."""
        y = self.imagine(len(x), c).detach()
        of_x, of_y = self.critic(x, c), self.critic(y, c)
        u = torch.rand(len(x), *(1,) * (x.dim() - 1), device=x.device)

        def witness(rows: Tensor) -> Tensor:
            return mmd_witness(self.critic(rows, c), of_x, of_y)

        _, slope = slopes(witness, u * x + (1 - u) * y)
        steepness = (slope.flatten(1).square().sum(1) + 1e-12).sqrt()
        gap = mmd_statistic(of_x, of_y).expand(len(of_x))
        return {"gap": -gap, "penalty": self.penalty * (steepness - 1).square()}

    @turn("generator", betas=(0.0, 0.99))
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the discrepancy."""
        of_y = self.critic(self.imagine(len(x), c), c)
        return {"mmd": mmd_statistic(self.critic(x, c), of_y).expand(len(of_y))}
