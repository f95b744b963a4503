"""The component of contests whose critic's features must also tell a row's class."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor, nn

from pushforward.families.contests import Contest
from pushforward.families.critics import Seen
from pushforward.families.model import Terms
from pushforward.families.options import at_least, log_range
from pushforward.nn.roles import together
from pushforward.space import Space


class WithClassifier(Contest):
    """A contest with q(c | x), a softmax that is linear in the critic's features.

    Critic and generator both pay classify E -log q(c | x), of real and of generated rows. The
    critic itself does not read the class, or its features would tell it by themselves.
    """

    reads_class: ClassVar[bool] = False

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        classify: Annotated[
            float, "Weight of telling the class.", at_least(0), log_range(0.1, 10)
        ] = 1.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.classify = classify
        outputs = classes * self.critic.pack
        self.classifier = nn.Linear(self.networks.width, outputs) if classes else nn.Identity()

    def judged(self, seen: Seen) -> Terms:
        """Add what it costs the critic that classes cannot be told."""
        terms = super().judged(seen)
        if seen.c is None:
            return terms
        of_x, of_y = (self.unclear(rows, seen.c) for rows in (seen.x, seen.y))
        return terms | {"class": of_x, "class_y": of_y}

    def persuade(self, x: Tensor | int, y: Tensor, c: Tensor | None) -> Terms:
        """Add what it costs the generator."""
        terms = super().persuade(x, y, c)
        return terms if c is None else terms | {"class": self.unclear(y, c)}

    def unclear(self, x: Tensor, c: Tensor) -> Tensor:
        """Return classify times -log q(c | x), summed over the rows of a pack, (n // pack,)."""
        (seen,) = self.critic.seen(x)
        logits = self.classifier(self.critic.features(seen)).float()
        log_q: Tensor = logits.unflatten(1, (self.critic.pack, -1)).log_softmax(2).flatten(1)
        return -self.classify * (together(c, self.critic.pack) * log_q).sum(1)
