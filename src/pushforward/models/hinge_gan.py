"""The GAN with hinge losses: a critic that rests where it is right by a margin."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import relu

from pushforward.families.contests import Contest


class HingeGAN(Contest):
    """The geometric GAN (Lim & Ye 2017), as BigGAN plays it (Miyato et al. 2018, their eq. 16).

    Critic: E max(0, 1 - D(x)) + E max(0, 1 + D(g(z))), whose optimum is the sign of
    p_data - p_model, so that the game is one of their total variation; generator: -E D(g(z)). With
    R1 where gamma > 0; gamma = 0 is the papers' game, for critics that are bounded otherwise.
    """

    name: ClassVar[str] = "hinge-gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Lim & Ye 2017; Miyato et al. 2018"

    def real(self, d: Tensor) -> Tensor:
        """Return max(0, 1 - d)."""
        return relu(1 - d)

    def fake(self, d: Tensor) -> Tensor:
        """Return max(0, 1 + d)."""
        return relu(1 + d)

    def fool(self, d: Tensor) -> Tensor:
        """Return -d."""
        return -d
