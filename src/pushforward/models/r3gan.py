"""R3GAN: the relativistic GAN with both gradient penalties, a stable modern baseline."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.contests import Relativistic, WithTransport
from pushforward.families.critics import Seen
from pushforward.families.model import Terms, turn


class R3GAN(WithTransport, Relativistic):
    """Real and generated rows are judged in pairs, with R1 and R2 (Huang et al. 2024).

    Critic: E[softplus(D(g(z)) - D(x))] + gamma/2 (E|grad D(x)|^2 + E|grad D(g(z))|^2);
    generator: E[softplus(D(x) - D(g(z)))]. The game converges locally (their proposition 2).
    """

    name: ClassVar[str] = "r3gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Huang et al. 2024; Lin et al. 2025"

    def verdict(self, of_x: Tensor, of_y: Tensor) -> Terms:
        """Return what it costs to judge each real row above its generated partner."""
        return {"pair": softplus(of_y - of_x)}

    @turn("critic", every="penalty_every", between="compare", pace="critic_pace", betas=(0.0, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Judge each real row above its generated partner, by gentle slopes."""
        y = self.shown(len(x), c)
        (of_x, r1), (of_y, r2) = self.penalised(x, c), self.penalised(y, c)
        return self.judged(Seen(x, y, c, of_x, of_y)) | {"r1": r1, "r2": r2}
