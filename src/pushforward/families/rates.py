"""The components of models that pay for nats in codes: which are free, what others cost, when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from pushforward.families.model import Model, Terms
from pushforward.families.options import at_least, log_range
from pushforward.space import Image, Space, Vector

TINY = 1e-6  # nats
FEW = 2500  # images up to which a nat of a code counts as much as one of pixels; of more ...
LEAST = 0.25  # ... it counts less, but so much at least


class WithFreeNats(Model):
    """A model of which some nats of a row cost nothing at first.

    `free` ones for a quarter of the steps, then ever fewer until half-way (Kingma et al. 2016, who
    leave them free for good). Arrays need them: their columns have variance 1, and so has the noise
    of p(x|z) at the start. All is noise then, and a code saves nothing unless columns are
    correlated (the linear VAE uses a direction whose variance exceeds the noise's, Lucas et al.
    2019): the rate closes the code before the noise has fallen. Codes that carry more are left
    alone. Validation sees what comes at the end.
    """

    free_of_arrays: ClassVar[float] = 4.0  # nats
    still_free: Tensor

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        free: Annotated[
            float | None,
            "Nats of a row that cost nothing at first; until half-way they fall to 0. [4 for "
            "arrays, else 0]",
            at_least(0),
        ] = None,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        usual = self.free_of_arrays if isinstance(space, Vector) else 0.0
        self.free = usual if free is None else free
        # The loop says anew in each round how far it has come, so this need not be saved.
        self.register_buffer("still_free", torch.zeros(()), persistent=False)

    def unpaid(self, kl: Tensor) -> Tensor | float:
        """Return how many of each row's nats (n,) are free, (n,); none in evaluation."""
        if not self.free or not self.training:
            return 0.0
        return kl.clamp(min=0).minimum(self.still_free)  # an estimate may lie below 0

    def paid_share(self, kl: Tensor) -> Tensor:
        """Return which share of each row's nats (n,) is paid for, (n,); all in evaluation."""
        return (1 - self.unpaid(kl) / kl.clamp(min=TINY)).detach()

    def before_round(self, share: float) -> None:
        """Say how many nats are still free."""
        super().before_round(share)
        if self.free:
            self.still_free.fill_(self.free * min(max(2 - 4 * share, 0.0), 1.0))


class WithRate(WithFreeNats):
    """A model that pays for the nats in its codes: beta KL, or beta |E KL - C| (Burgess et al.).

    Over the first `anneal` steps beta rises from 0 (Bowman et al. 2016), so that codes are used
    before they are paid for; where a `capacity` is given, C rises to it from 0 instead (Burgess et
    al. 2018, whose gamma is beta here).

    Of images it weighs the less by default, the more of them there are: see `weight_for_images`.
    """

    played: Tensor | None

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        beta: Annotated[
            float,
            "Weight of the rate; of images less, down to 0.25, the more there are.",
            at_least(0),
            log_range(0.1, 10),
        ] = 1.0,
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

    @classmethod
    def usual(cls, space: Space, rows: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the weight of the rate that suits so many images.

        Not where it is a capacity's, where codes come from the prior, nor for a class with a
        default of its own.
        """
        known = super().usual(space, rows, given)
        own = cls.options()["beta"].default != 1
        as_told = given.get("capacity") is not None or given.get("sampler") == "prior"
        if not isinstance(space, Image) or own or as_told:
            return known
        return known | {"beta": weight_for_images(rows)}

    @property
    def rate_weight(self) -> float:
        """The nats in a code count beta times."""
        return self.beta

    def rate(self, kl: Tensor) -> Terms:
        """Return the terms by which the KL of each row (n,) is paid for."""
        risen = self._risen(kl)
        if self.capacity is None:
            return {"rate": self.beta * risen * (kl - self.unpaid(kl))}
        beyond = (kl.mean() - risen * self.capacity).abs()
        return {"beyond_capacity": self.beta * beyond.expand(len(kl))}

    def _risen(self, kl: Tensor) -> Tensor:
        """Return how far the annealing has come, a scalar in [0, 1]; 1 in evaluation."""
        if self.played is None or not self.training:
            return kl.new_ones(())
        return (self.played / self.anneal).clamp(max=1)

    def after_step(self, turn: str) -> None:
        """Count the step, if it was one of a turn that moves the codes."""
        super().after_step(turn)
        if self.played is not None and "encoder" in self.movers(turn):
            self.played += 1


def weight_for_images(rows: int) -> float:
    """Return beta = sqrt(FEW / rows), at least LEAST and at most 1, for so many training images.

    What a code says of an image is worth more to a person than to the bound: a stroke that breaks
    costs few nats. But the more codes carry, the less are they distributed as the prior. Codes of
    new images are therefore drawn from what was fitted to those of the rows (`sampler`; Dai & Wipf
    2019, *Diagnosing and enhancing VAE models*), and that takes rows.
    """
    return min(1.0, max(LEAST, math.sqrt(FEW / rows)))
