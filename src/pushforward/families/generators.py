"""The component of models that have a generator: a map without a likelihood."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from torch import Tensor

from pushforward.families.model import Batch
from pushforward.families.options import above
from pushforward.families.priors import WithPrior
from pushforward.families.raking import rake
from pushforward.nn.roles import Generator
from pushforward.space import Space


class WithGenerator(WithPrior):
    """A model with a generator X = g(Z)."""

    averaged: ClassVar[tuple[str, ...]] = ("generator",)

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        temperature: Annotated[
            float, "Temperature of the Gumbel-softmax, for tables.", above(0)
        ] = 1.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        latent = self.prior.latent
        self.generator = Generator(space, latent, classes, self.networks, temperature=temperature)

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return g(z)."""
        x: Tensor = self.generator(z, c)
        return x

    def cells(
        self, z: Tensor, c: Tensor | None = None, share: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw the cells of rows g(z), under a condition."""
        relaxation = self.generator.relaxation
        if relaxation is None:
            return super().cells(z, c, share)
        return relaxation.cells(self.generator.trunk(z, c), share)

    def settle(self, batches: Iterable[Batch]) -> None:
        """Rake a table's columns."""
        super().settle(batches)
        relaxation = self.generator.relaxation
        if relaxation is None:
            return

        def shares(z: Tensor, c: Tensor | None) -> Tensor:
            return relaxation.shares(self.generator.trunk(z, c))

        rake(relaxation.raking, self.source, shares, batches)
