"""The component of models that have a generator: a map without a likelihood."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor

from pushforward.families.observations import WithObservation
from pushforward.families.options import above
from pushforward.families.priors import WithPrior
from pushforward.nn.likelihoods import Likelihood, Observation
from pushforward.nn.roles import Generator
from pushforward.space import Space


class WithGenerator(WithObservation, WithPrior):
    """A model with a generator X = g(Z)."""

    averaged: ClassVar[tuple[str, ...]] = ("generator",)

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        temperature: Annotated[
            float, "Tables: temperature of the softmax that gradients come through.", above(0)
        ] = 1.0,
        chain: Annotated[
            bool, "Tables: draw columns in turn, each given z and those before it."
        ] = False,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        latent = self.prior.latent
        self.generator = Generator(
            space, latent, classes, self.networks, temperature=temperature, chain=chain
        )

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return g(z)."""
        x: Tensor = self.generator(z, c)
        return x

    def likelihood_head(self) -> Likelihood | None:
        """Return what makes a table's cells of logits."""
        return self.generator.head

    def observation(self, z: Tensor, c: Tensor | None = None) -> Observation | None:
        """Return the distribution of a table's cells given z."""
        return self.generator.observation(z, c)
