"""What may keep a critic from learning the training rows by heart: pieces that any contest takes.

Each adds its terms to those of the critic's turn in `restrain`, or follows it with a state of its
own (`remember`). None of them is on unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from pushforward.families.critics import Seen, WithCritic
from pushforward.families.model import Terms
from pushforward.families.options import at_least, between
from pushforward.space import Space

FORGOTTEN = 0.01  # of the levels that LeCam regularisation follows, a turn; the paper's
COMPARED = "consistency compares images with augmented ones"
ADAPTED = 1e-3  # by how much p adapts a turn: 0 to 1 in 1,000 of them


class WithConsistency(WithCritic):
    """The critic is asked for the same value whether an image is augmented or not.

    consistency E[(D(x) - D(T(x)))^2 + (D(y) - D(T(y)))^2] over real images x and generated ones y
    (bCR, Zhao et al. 2020b); elsewhere the critic sees them as they are. T is that of `augment`.
    """

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        consistency: Annotated[
            float,
            "Weight of the critic's consistency over augmented images; then it is shown plain ones "
            "otherwise. [papers: 10]",
            at_least(0),
        ] = 0.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.consistency = consistency
        if consistency > 0:
            self.policy(COMPARED)
            self.critic.plain = True

    def restrain(self, seen: Seen) -> Terms:
        """Add what inconsistent values cost."""
        terms = super().restrain(seen)
        if self.consistency == 0:
            return terms
        augment = self.policy(COMPARED)
        off = sum(
            (
                value - self.critic(augment(rows, augment.draw(len(rows), rows.device)), seen.c)
            ).square()
            for rows, value in ((seen.x, seen.of_x), (seen.y, seen.of_y))
        )
        return terms | {"consistency": self.consistency * torch.as_tensor(off)}


class WithLevels(WithCritic):
    """The critic is held near the levels that it has given to the other kind of rows (LeCam).

    lecam E[(D(x) - a_y)^2 + (D(y) - a_x)^2], a_x and a_y the moving averages of the mean of D over
    real and over generated rows (Tseng et al. 2021, their eq. 4). They start at 0, as critics do.
    """

    noted: ClassVar[tuple[str, ...]] = ("level_x", "level_y")
    levels: Tensor | None

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        lecam: Annotated[
            float, "Weight of LeCam regularisation. [papers: 0.01 to 0.5]", at_least(0)
        ] = 0.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.lecam = lecam
        self.register_buffer("levels", torch.zeros(2) if lecam > 0 else None)

    def restrain(self, seen: Seen) -> Terms:
        """Add what values away from the other kind's level cost."""
        terms = super().restrain(seen)
        if self.levels is None:
            return terms
        of_x, of_y = self.levels.unbind()
        off = (seen.of_x - of_y).square() + (seen.of_y - of_x).square()
        noted = {"level_x": seen.of_x.detach(), "level_y": seen.of_y.detach()}
        return terms | {"lecam": self.lecam * off} | noted

    def remember(self, turn: str, noted: Mapping[str, Tensor]) -> None:
        """Move the levels."""
        super().remember(turn, noted)
        if self.levels is not None and "level_x" in noted:
            seen = torch.stack([noted["level_x"], noted["level_y"]])
            self.levels.lerp_(seen, FORGOTTEN)


class WithAdaptation(WithCritic):
    """Images are augmented the more often, the surer the critic is of real ones (ADA).

    p rises while r > target, and falls while it is below: r = E sign(D(x) - m), m midway between
    the mean values of real and generated rows, is 0 for a critic that sees no difference, 1 for one
    that tells all real rows. Karras et al. 2020a take m = 0, which relativistic and Wasserstein
    critics give no meaning.
    """

    noted: ClassVar[tuple[str, ...]] = ("trust",)

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        augment_target: Annotated[
            float | None,
            "How sure the critic may be before augment_p, here the start, rises; none: it is "
            "fixed. [paper: 0.6]",
            between(0, 1),
        ] = None,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.augment_target = augment_target
        if augment_target is not None:
            self.policy("augment_target adapts how often images are augmented").adapt()

    def restrain(self, seen: Seen) -> Terms:
        """Note how sure the critic is."""
        terms = super().restrain(seen)
        if self.augment_target is None:
            return terms
        midway = (seen.of_x.mean() + seen.of_y.mean()) / 2
        return terms | {"trust": (seen.of_x - midway).sign().detach()}

    def remember(self, turn: str, noted: Mapping[str, Tensor]) -> None:
        """Move the probability of augmentation."""
        super().remember(turn, noted)
        if self.augment_target is not None and "trust" in noted:
            p = self.get_buffer("critic.augment.p")
            p.add_(ADAPTED * (noted["trust"] - self.augment_target).sign()).clamp_(0, 1)


class WithRestraints(WithConsistency, WithLevels, WithAdaptation):
    """All of these."""
