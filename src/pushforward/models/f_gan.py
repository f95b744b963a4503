"""The f-GAN: a critic bounds an f-divergence, and a generator lowers it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.errors import ModelError, nearest
from pushforward.families.contests import Contest
from pushforward.space import Space

LOG_2 = math.log(2)
# T(v), which carries a value v to where f* is finite, and f*(T(v)) (their tables 2 and 6)
FORMS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "kl": (lambda v: v, lambda v: (v - 1).exp()),
    "reverse-kl": (lambda v: -(-v).exp(), lambda v: v - 1),
    "pearson": (lambda v: v, lambda v: v.square() / 4 + v),
    "hellinger": (lambda v: 1 - (-v).exp(), lambda v: v.exp() - 1),
    "js": (lambda v: LOG_2 - softplus(-v), lambda v: softplus(v) - LOG_2),
}


class FGAN(Contest):
    """D_f(p_data || p_model) >= E T(D(x)) - E f*(T(D(g(z)))), for every critic D.

    The critic raises the bound, tight at T = f'(p_data / p_model); the generator lowers
    -E T(D(g(z))) (their section 3.2), or with `minimax` the bound: by default for "reverse-kl", of
    which T = -exp(-D) explodes. "js" is twice the Jensen-Shannon divergence, "hellinger" squared.
    """

    name: ClassVar[str] = "f-gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Nowozin et al. 2016"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        divergence: Annotated[str, "kl, reverse-kl, pearson, hellinger or js."] = "js",
        minimax: Annotated[bool | None, "Lower what the critic raises. [reverse-kl: yes]"] = None,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        if divergence not in FORMS:
            raise ModelError(f"no divergence {divergence!r}: {nearest(divergence, FORMS)}")
        self.divergence = divergence
        self.minimax = divergence == "reverse-kl" if minimax is None else minimax

    def real(self, d: Tensor) -> Tensor:
        """Return -T(d)."""
        return -FORMS[self.divergence][0](d)

    def fake(self, d: Tensor) -> Tensor:
        """Return f*(T(d))."""
        return FORMS[self.divergence][1](d)

    def fool(self, d: Tensor) -> Tensor:
        """Return -T(d), or -f*(T(d))."""
        return -self.fake(d) if self.minimax else self.real(d)
