"""The component of models that have a generator: a map without a likelihood."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from pushforward.families.model import Batch
from pushforward.families.observations import WithObservation
from pushforward.families.options import above
from pushforward.families.priors import WithPrior
from pushforward.families.settling import evenly_spaced, in_parts
from pushforward.nn.likelihoods import Likelihood, Observation
from pushforward.nn.roles import Generator
from pushforward.space import Image, Space

IMAGES, PIXELS = 64, 2**20  # that the tone curve is fitted to: at least so many, or about


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

    @torch.no_grad()
    def settle(self, batches: Iterable[Batch]) -> None:
        """Fit the tone curve of images."""
        super().settle(batches)
        tone = self.generator.tone
        if tone is not None and isinstance(self.space, Image):
            x, c = evenly_spaced(
                batches, max(IMAGES, PIXELS // (self.space.height * self.space.width))
            )
            codes = in_parts(self.source.sample(len(x), c), c)
            with self.generator.untoned():
                tone.fit(x, torch.cat([self.generate(*part) for part in codes]))

    def likelihood_head(self) -> Likelihood | None:
        """Return what makes a table's cells of logits."""
        return self.generator.head

    def observation(self, z: Tensor, c: Tensor | None = None) -> Observation | None:
        """Return the distribution of a table's cells given z."""
        return self.generator.observation(z, c)
