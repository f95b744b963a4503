"""The relativistic average GAN: real rows look more real than generated ones do on average."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.critics import WithPenalty
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn


class RaGAN(WithPenalty, WithGenerator):
    """Each row is judged against the mean of the other kind (Jolicoeur-Martineau 2019, RaSGAN).

    Critic: E softplus(-(D(x) - E D(g(z)))) + E softplus(D(g(z)) - E D(x)), means over the batch;
    generator: the same with real and generated rows exchanged, so real rows move it, too. With R1
    where gamma > 0; gamma = 0 is the paper's game.
    """

    name: ClassVar[str] = "ra-gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Jolicoeur-Martineau 2019"

    def estimate(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return what the critic raises: both terms, with the sign changed."""
        return -torch.stack([term.mean() for term in _above(real, fake).values()]).sum()

    @turn("critic", every="penalty_every", between="compare", betas=(0.0, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Judge real rows above generated ones, by gentle slopes."""
        fake = self.critic(self.imagine(len(x), c).detach(), c)
        real, r1 = self.penalised(x, c)
        return {**_above(real, fake), "r1": r1}

    def compare(self, x: Tensor, c: Tensor | None) -> Terms:
        """Judge real rows above generated ones."""
        return _above(self.critic(x, c), self.critic(self.imagine(len(x), c).detach(), c))

    @turn("generator", betas=(0.0, 0.99))
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Raise generated rows above real ones."""
        below = _above(self.critic(self.imagine(len(x), c), c), self.critic(x, c))
        return {"fake": below["real"], "real": below["fake"]}


def _above(real: Tensor, fake: Tensor) -> Terms:
    """Return what it costs to judge `real` above the mean of `fake`, and `fake` below."""
    return {"real": softplus(fake.mean() - real), "fake": softplus(fake - real.mean())}
