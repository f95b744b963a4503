"""The variational mixture of posteriors: a prior made of the codes of learned pseudo-rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pushforward.families.codes import Code
from pushforward.nn.priors import ContinuousPrior
from pushforward.nn.segments import Segments
from pushforward.random import isolated
from pushforward.space import Cells, Image, Space


class PseudoRows(nn.Module):
    """`count` rows that lie in a space, and their classes, all of which can be learned."""

    def __init__(self, space: Space, classes: int, count: int) -> None:
        super().__init__()
        self.image = isinstance(space, Image)
        self.segments = Segments(space.sizes) if isinstance(space, Cells) else None
        with isolated(torch.device("cpu"), 0):  # the rest of the model starts as with any prior
            self.raw = nn.Parameter(torch.randn(count, *space.shape))
            self.logits = nn.Parameter(torch.randn(count, classes)) if classes else None

    def forward(self) -> tuple[Tensor, Tensor | None]:
        """Return rows (count, *space.shape), in cells as shares, and conditions, likewise."""
        c = None if self.logits is None else self.logits.softmax(1)
        if self.segments is not None:
            return self.segments.softmax(self.raw), c
        return self.raw.tanh() if self.image else self.raw, c


class PosteriorMixture(ContinuousPrior):
    """p(z) = 1/K sum_k q(z | u_k) with pseudo-rows u_k (Tomczak & Welling 2018, VampPrior).

    The prior that maximises the ELBO is the aggregate posterior; this one has its form.

    Args:
        prior: from whose normal coordinates codes are carried to what the decoder reads.
        rows: the pseudo-rows.
        encode: the model's encoder: from rows and conditions to codes. It is not a part of the
            prior; where a turn moves it, the prior moves along.
    """

    def __init__(
        self,
        prior: ContinuousPrior,
        rows: PseudoRows,
        encode: Callable[[Tensor, Tensor | None], Code],
    ) -> None:
        super().__init__(prior.latent)
        self.rows, self.encode, self.carried = rows, encode, prior.carry

    @property
    def standard(self) -> bool:
        """A mixture has no closed-form KL."""
        return False

    def carry(self, e: Tensor) -> Tensor:
        """Return the codes z of points e in normal coordinates."""
        return self.carried(e)

    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return draws of q(z|u_k), of pseudo-rows drawn uniformly."""
        del c
        codes = self.encode(*self.rows())
        return codes.take(torch.randint(len(codes.mean), (n,), device=self.device)).draw()

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return log 1/K sum_k q(z|u_k), (n,)."""
        del c
        codes = self.encode(*self.rows())
        return codes.log_prob(z[:, None]).logsumexp(1) - math.log(len(codes.mean))
