"""The boundary equilibrium GAN: how well each kind of row is restored is kept in proportion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from pushforward.families.critics import Seen
from pushforward.families.energies import WithEnergy
from pushforward.families.model import Terms
from pushforward.families.options import above, between
from pushforward.space import Space


class BEGAN(WithEnergy):
    """Critic: E(x) - k E(g(z)); generator: E(g(z)); k follows them (Berthelot et al. 2017).

    After each turn of the critic k moves by rate (gamma E(x) - E(g(z))) within [0, 1], so that
    E(g(z)) comes to gamma E(x). E is a squared loss here, their eta = 2, in units of the data's
    variance.
    """

    name: ClassVar[str] = "began"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Berthelot et al. 2017"
    noted: ClassVar[tuple[str, ...]] = ("energy_x", "energy_y")
    k: Tensor

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        diversity: Annotated[float, "gamma, E(g(z)) / E(x) at balance.", between(0, 1)] = 0.5,
        balance_rate: Annotated[float, "By how much k moves.", above(0)] = 0.001,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.diversity, self.balance_rate = diversity, balance_rate
        self.register_buffer("k", torch.zeros(()))

    def fake(self, d: Tensor) -> Tensor:
        """Return -k E(g(z)) = k d."""
        return self.k * d

    def judged(self, seen: Seen) -> Terms:
        """Note the energies."""
        noted = {"energy_x": -seen.of_x.detach(), "energy_y": -seen.of_y.detach()}
        return super().judged(seen) | noted

    def remember(self, turn: str, noted: Mapping[str, Tensor]) -> None:
        """Move k."""
        super().remember(turn, noted)
        if "energy_x" in noted:
            off = self.diversity * noted["energy_x"] - noted["energy_y"]
            self.k.add_(self.balance_rate * off).clamp_(0, 1)
