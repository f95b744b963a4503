"""The components of models whose codes are points of R^latent: a continuous prior."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pushforward.families.model import Model
from pushforward.families.options import at_least
from pushforward.nn.priors import ContinuousPrior, continuous_prior
from pushforward.nn.sizes import size_of
from pushforward.space import Space


class WithLatent(Model):
    """A model with codes in R^latent; which prior they have is said by what inherits from it."""

    averaged: ClassVar[tuple[str, ...]] = ("prior",)
    prior: ContinuousPrior

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        latent: Annotated[int | None, "Dimension of z. [by kind of data]", at_least(1)] = None,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.code_shape: tuple[int, ...] = (latent or size_of(space).latent,)


class WithPrior(WithLatent):
    """A model with a continuous prior p(z) on R^latent."""

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        prior: Annotated[str, "p(z): normal, uniform, mixture or flow."] = "normal",
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.prior = continuous_prior(prior, *self.code_shape)
