"""The auxiliary classifier GAN: the critic's features must also tell of which class a row is."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from pushforward.families.classifiers import WithClassifier
from pushforward.families.model import Terms, turn


class ACGAN(WithClassifier):
    """The non-saturating game of D(x); both also lower E -log q(c|x) and E -log q(c|g(z, c)).

    q is a softmax that is linear in the critic's features (Odena et al. 2017); the critic itself
    does not read the class. Without a condition it is `gan`.
    """

    name: ClassVar[str] = "ac-gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Odena et al. 2017"

    @turn(
        "critic",
        "classifier",
        every="penalty_every",
        between="compare",
        pace="critic_pace",
        betas=(0.0, 0.99),
    )
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell real from generated rows, and the classes of both."""
        return super().measure(x, c)
