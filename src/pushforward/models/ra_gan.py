"""The relativistic average GAN: real rows look more real than generated ones do on average."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.contests import Relativistic
from pushforward.families.model import Terms


class RaGAN(Relativistic):
    """Each row is judged against the mean of the other kind (Jolicoeur-Martineau 2019, RaSGAN).

    Critic: E softplus(-(D(x) - E D(g(z)))) + E softplus(D(g(z)) - E D(x)), means over the batch;
    generator: the same with real and generated rows exchanged, so real rows move it, too. With R1
    where gamma > 0; gamma = 0 is the paper's game.
    """

    name: ClassVar[str] = "ra-gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Jolicoeur-Martineau 2019"

    def verdict(self, of_x: Tensor, of_y: Tensor) -> Terms:
        """Return what it costs to judge real rows above the mean generated one, and back."""
        return {"real": softplus(of_y.mean() - of_x), "fake": softplus(of_y - of_x.mean())}

    def plea(self, of_y: Tensor, of_x: Callable[[], Tensor]) -> Terms:
        """Return the same with the two exchanged, by the rows' own names."""
        swapped = super().plea(of_y, of_x)
        return {"fake": swapped["real"], "real": swapped["fake"]}
