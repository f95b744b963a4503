"""The critics that are autoencoders: what they restore badly looks generated to them."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from torch import Tensor

from pushforward.families.codes import mean_square
from pushforward.families.contests import Rivalry
from pushforward.nn.roles import Critic, packed, together
from pushforward.nn.segments import Segments
from pushforward.nn.trunks import Networks
from pushforward.space import Cells, Space, total_variance, values


class EnergyCritic(Critic):
    """D(x) = -E(x), E(x) = |x - w(h(F(x)))|^2 / v: what is lost on the way through a short code.

    h is the head, of `outputs` numbers and at most half as many as a row has: what is no shorter
    than a row restores all of them. w writes rows from these; a table's are distributions over each
    column's cells. v is the data's total variance, so that E = 1 is to restore the mean row.
    """

    def __init__(
        self, space: Space, classes: int, networks: Networks, *, pack: int, outputs: int, **how: Any
    ) -> None:
        whole = packed(space, pack)
        outputs = max(1, min(outputs, values(whole) // 2))
        super().__init__(space, classes, networks, pack=pack, outputs=outputs, **how)
        self.writer = networks.writer(whole, outputs, 1, 0)
        self.columns = Segments(whole.sizes) if isinstance(whole, Cells) else None
        self.unit = total_variance(whole) / values(whole)

    def value(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return minus the energies (n // pack,)."""
        restored = cast(Tensor, self.writer(self.numbers(x, c)))
        if self.columns is not None:
            restored = self.columns.softmax(restored)
        return -mean_square(together(x, self.pack), restored) / self.unit


class WithEnergy(Rivalry):
    """A rivalry of which the critic is an autoencoder; generated rows want to be restored well."""

    critic_kind: ClassVar[type[Critic]] = EnergyCritic
    critic_outputs: ClassVar[int] = 16

    def real(self, d: Tensor) -> Tensor:
        """Return E(x) = -d."""
        return -d

    def fool(self, d: Tensor) -> Tensor:
        """Return E(g(z)) = -d."""
        return -d
