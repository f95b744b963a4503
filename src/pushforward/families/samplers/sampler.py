"""What all samplers share: they are fitted once, to the codes of rows."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from pushforward.families.codes import Posterior
from pushforward.nn.priors import ContinuousPrior


class Sampler(ContinuousPrior):
    """A density s(e|c) of codes in the normal coordinates of a prior, whose place it takes.

    Args:
        prior: whose map `carry` leads from e to what the decoder reads.
        classes: of the condition; 0 without one.
    """

    fitted: Tensor

    def __init__(self, prior: ContinuousPrior, classes: int) -> None:
        super().__init__(prior.latent)
        self.classes, self.carried = classes, prior.carry
        self.register_buffer("fitted", torch.tensor(False))

    @property
    def standard(self) -> bool:
        """A sampler is not N(0, I)."""
        return False

    def carry(self, e: Tensor) -> Tensor:
        """Return the codes z of points e in normal coordinates: the prior's own map."""
        return self.carried(e)

    def settle(self, q: Posterior, c: Tensor | None) -> None:
        """Fit to the codes q (n, latent) of rows and their conditions c (n, classes).

        Codes that are not finite teach nothing: then the prior stays in its place.
        """
        if q.finite:
            self.fit(q, c)
            self.fitted.fill_(True)

    @abstractmethod
    def fit(self, q: Posterior, c: Tensor | None) -> None:
        """Fit to finite codes."""


def class_of(c: Tensor | None, n: int, device: torch.device) -> Tensor:
    """Return the class (n,) of each condition; 0 where there is none."""
    return torch.zeros(n, dtype=torch.long, device=device) if c is None else c.argmax(1)
