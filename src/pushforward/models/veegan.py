"""VEEGAN: a reconstructor maps rows to noise, so a generator that drops a mode is noticed."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from pushforward.families.codes import Code
from pushforward.families.contests import PairContest
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.space import Space


class VEEGAN(PairContest):
    """Rows with their codes, (x, z ~ q(z|x)), against codes with their rows, (g(z), z ~ p(z)).

    Critic: as in `bigan`; generator: -E D(g(z), z), which comes to KL(generated || inferred), and
    weight E -log q(z | g(z)), which the reconstructor q lowers, too, and nothing else (Srivastava
    et al. 2017, algorithm 1, whose loss of codes is that of a q of fixed variance).
    """

    name: ClassVar[str] = "veegan"
    place: ClassVar[tuple[str, str]] = ("joint (x, z)", "learned by a critic")
    reference: ClassVar[str] = "Srivastava et al. 2017"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        reconstruction: Annotated[
            float, "Weight of reading codes from rows.", at_least(0), log_range(0.01, 1)
        ] = 0.1,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.reconstruction = reconstruction

    def encode(self, x: Tensor, c: Tensor | None = None) -> Code:
        """Return q(z|x), its log-variances above -4: what g carries can be read exactly."""
        q = super().encode(x, c)
        return Code(q.mean, torch.tanh(q.log_var / 4) * 4, q.carry)

    @turn("encoder", "generator", "prior", data=False, betas=(0.5, 0.99))
    def close_in(self, n: int, c: Tensor | None) -> Terms:
        """Make generated pairs look inferred, and codes readable from rows."""
        e = self.prior.draw(n, c)
        x = self.generate(z := self.prior.carry(e), c)
        unread = -self.encode(x, c).log_prob(e)
        return {"fool": -self.judge(x, z, c), "unread": self.reconstruction * unread}
