"""The energy-based GAN: an autoencoder restores real rows well, and generated ones badly."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn.functional import normalize, relu

from pushforward.families.energies import WithEnergy
from pushforward.families.model import Terms
from pushforward.families.options import above, at_least, log_range
from pushforward.space import Space


class EBGAN(WithEnergy):
    """Critic: E(x) + max(0, margin - E(g(z))); generator: E(g(z)) (Zhao et al. 2017, eqs. 1, 2).

    E is in units of the data's variance. With `pull_away` the generator also pays weight
    1/(n (n - 1)) sum_{i != j} cos^2(F(y_i), F(y_j)) for features F that point the same way.
    """

    name: ClassVar[str] = "ebgan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Zhao et al. 2017"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        margin: Annotated[
            float, "Energy that generated rows should have at least.", above(0), log_range(0.1, 10)
        ] = 1.0,
        pull_away: Annotated[
            float, "Weight of features that point the same way. [paper: 0.1]", at_least(0)
        ] = 0.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.margin, self.pull_away = margin, pull_away

    def fake(self, d: Tensor) -> Tensor:
        """Return max(0, margin - E) = max(0, margin + d)."""
        return relu(self.margin + d)

    def persuade(self, x: Tensor | int, y: Tensor, c: Tensor | None) -> Terms:
        """Add what features that point the same way cost."""
        terms = super().persuade(x, y, c)
        if self.pull_away == 0:
            return terms
        s = normalize(self.critic.features(y, c).float())
        n = len(s)
        repulsion = ((s @ s.T).square().sum() - n) / (n * max(1, n - 1))
        return terms | {"pull_away": self.pull_away * repulsion.expand(n)}
