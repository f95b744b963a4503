"""The least-squares GAN: a critic that is asked for numbers, and not for a verdict."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from pushforward.families.contests import Contest


class LSGAN(Contest):
    """A critic regresses 1 on real rows and 0 on generated ones (Mao et al. 2017, their eq. 9).

    Critic: 1/2 E(D(x) - 1)^2 + 1/2 E D(g(z))^2, whose optimum is D = p_data / (p_data + p_model);
    generator: 1/2 E(D(g(z)) - 1)^2. With R1 where gamma > 0; gamma = 0 is the paper's game.
    """

    name: ClassVar[str] = "lsgan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Mao et al. 2017"

    def real(self, d: Tensor) -> Tensor:
        """Return 1/2 (d - 1)^2."""
        return (d - 1).square() / 2

    def fake(self, d: Tensor) -> Tensor:
        """Return 1/2 d^2."""
        return d.square() / 2

    def fool(self, d: Tensor) -> Tensor:
        """Return 1/2 (d - 1)^2."""
        return (d - 1).square() / 2
