"""InfoGAN: a GAN of which some dimensions of the code can be read from what it generates."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pushforward.families.codes import Code
from pushforward.families.contests import Contest
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.nn.roles import together
from pushforward.space import Space


class InfoGAN(Contest):
    """The first dimensions e of a code, its factors, have a bound on their mutual information.

    I(e; g(z)) >= H(e) + E log q(e | g(z)), q a Gaussian whose parameters are linear in the critic's
    features; the generator and q raise weight times the bound beside the non-saturating game (Chen
    et al. 2016, their eq. 6, with factors that are normal).
    """

    name: ClassVar[str] = "info-gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Chen et al. 2016"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        factors: Annotated[int, "Dimensions of the code that can be read.", at_least(1)] = 2,
        information: Annotated[
            float, "Weight of the bound.", at_least(0), log_range(0.01, 1)
        ] = 0.1,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.factors, self.information = min(factors, self.prior.latent), information
        self.reader = nn.Linear(self.networks.width, 2 * self.factors * self.critic.pack)

    @turn("generator", "reader", data="generator_reads", betas=(0.0, 0.99))
    def close_in(self, x: Tensor | int, c: Tensor | None) -> Terms:
        """Make generated rows look real, and their factors readable."""
        z = self.prior.sample(x if isinstance(x, int) else len(x), c)
        y = self.generate(z, c)
        unread = -self.read(y, c).log_prob(together(z[:, : self.factors], self.critic.pack))
        return self.persuade(x, y, c) | {"unread": self.information * unread}

    def read(self, x: Tensor, c: Tensor | None) -> Code:
        """Return q(e | x) of the factors of each pack of rows, (n // pack, pack * factors)."""
        mean, log_var = self.reader(self.critic.features(x, c)).float().chunk(2, 1)
        return Code(mean, torch.tanh(log_var / 4) * 4)
