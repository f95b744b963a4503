"""The component of models whose loss has a rate: what the nats in a code cost, and when."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from pushforward.families.model import Model, Terms
from pushforward.families.options import at_least, log_range
from pushforward.space import Space


class WithRate(Model):
    """A model that pays for the nats in its codes: beta KL, or beta |E KL - C| (Burgess et al.).

    Over the first `anneal` steps beta rises from 0 (Bowman et al. 2016), so that codes are used
    before they are paid for; where a `capacity` is given, C rises to it from 0 instead (Burgess et
    al. 2018, whose gamma is beta here). Validation sees what comes at the end.
    """

    played: Tensor | None

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        beta: Annotated[float, "Weight of the rate.", at_least(0), log_range(0.1, 10)] = 1.0,
        anneal: Annotated[int, "Steps over which beta, or the capacity, rises.", at_least(0)] = 0,
        capacity: Annotated[
            float | None, "Nats that the rate is held at; none: it is lowered.", at_least(0)
        ] = None,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.beta, self.anneal, self.capacity = beta, anneal, capacity
        # Steps are counted where they are saved; without annealing there is nothing to save.
        self.register_buffer("played", torch.zeros(()) if anneal else None)

    @property
    def rate_weight(self) -> float:
        """The nats in a code count beta times."""
        return self.beta

    def rate(self, kl: Tensor) -> Terms:
        """Return the terms by which the KL of each row (n,) is paid for."""
        risen = self._risen(kl)
        if self.capacity is None:
            return {"rate": self.beta * risen * kl}
        beyond = (kl.mean() - risen * self.capacity).abs()
        return {"beyond_capacity": self.beta * beyond.expand(len(kl))}

    def _risen(self, kl: Tensor) -> Tensor:
        """Return how far the annealing has come, a scalar in [0, 1]; 1 in evaluation."""
        if self.played is None or not self.training:
            return kl.new_ones(())
        return (self.played / self.anneal).clamp(max=1)

    def after_step(self, turn: str) -> None:
        """Count the step."""
        super().after_step(turn)
        if self.played is not None:
            self.played += 1
