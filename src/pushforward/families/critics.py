"""The component of models that have a critic: the measure that a network learns."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor
from torch.func import grad

from pushforward.families.codes import squared_distance
from pushforward.families.model import Model
from pushforward.families.options import at_least
from pushforward.families.panels import Panel
from pushforward.nn.roles import Critic, together
from pushforward.space import Space


class WithCritic(Model):
    """A model with a critic D(x)."""

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        pack: Annotated[int, "Rows that the critic sees at once.", at_least(1)] = 1,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.critic = Critic(space, classes, self.networks, pack=pack)

    def judge(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return D(x) and |grad_x D(x)|^2, each one value a pack (n // pack,).

        The squared norm is what R1, R2 and the penalties of Wasserstein critics are made of; it can
        be differentiated in turn.
        """

        def total(rows: Tensor) -> tuple[Tensor, Tensor]:
            values: Tensor = self.critic(rows, c)
            return values.sum(), values

        slope, values = grad(total, has_aux=True)(x)
        return values, together(slope, self.critic.pack).flatten(1).square().sum(1)

    def unlike(self, x: Tensor, y: Tensor, c: Tensor | None) -> Tensor:
        """Return 1/2 |F(x) - F(y)|^2 of the critic's features F: -log N(F(x); F(y), I) + const."""
        return 0.5 * squared_distance(self.critic.features(x, c), self.critic.features(y, c))

    def anatomy(self, x: Tensor, c: Tensor | None) -> list[Panel]:
        """Return what the critic sees on held-out and on generated rows."""
        real, fake = self.critic(x, c), self.critic(self.imagine(len(x), c), c)
        above = float((real[:, None] > fake).float().mean())
        return [
            *super().anatomy(x, c),
            Panel(
                "What the critic sees",
                "histogram",
                {"held-out rows": real.tolist(), "generated rows": fake.tolist()},
                x_title="critic's value D(x)",
                y_title="share",
                note=f"A held-out row scores above a generated one in {above:.0%} of pairs; "
                "50 % means that the learned measure sees no difference.",
            ),
        ]
