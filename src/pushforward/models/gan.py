"""The generative adversarial network: a measure that a network learns, in data space."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor

from pushforward.families.contests import Contest
from pushforward.space import Space


class GAN(Contest):
    """The non-saturating game (Goodfellow et al. 2014), with R1 when gamma > 0 (Mescheder 2018).

    Critic: E[softplus(-D(x))] + E[softplus(D(g(z)))] + gamma/2 E|grad_x D(x)|^2, whose optimum is
    D = log p_data / p_model; generator: E[softplus(-D(g(z)))], or -E[softplus(D(g(z)))], the
    minimax game's, whose gradient vanishes where the critic is sure.
    """

    name: ClassVar[str] = "gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Goodfellow et al. 2014; Mescheder et al. 2018"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        minimax: Annotated[bool, "The generator lowers what the critic raises."] = False,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.minimax = minimax

    def fool(self, d: Tensor) -> Tensor:
        """Return -log sigmoid(d), or log(1 - sigmoid(d))."""
        return -self.fake(d) if self.minimax else super().fool(d)
