"""The components of models whose codes have two levels, drawn from the upper one downwards.

p(z1, z2) = p(z2) N(z1; m(z2), s(z2)^2), and the decoder reads z1. In normal coordinates this is a
prior like any other: e = (e1, e2) has independent parts, z2 = carry(e2) and z1 = m(z2) + s(z2) e1.
No KL divergence changes under that map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pushforward.families.codes import Code, Posterior
from pushforward.families.encoders import WithCodes
from pushforward.families.options import at_least
from pushforward.families.priors import WithLatent
from pushforward.nn.priors import ContinuousPrior, Normal, continuous_prior
from pushforward.nn.roles import log_variance
from pushforward.nn.trunks import Networks, residual_mlp
from pushforward.space import Space


class LadderPrior(ContinuousPrior):
    """p(z1 | z2) p(z2): `upper` is p(z2), and a network gives m and 2 log s of the lower level."""

    def __init__(self, upper: ContinuousPrior, lower: int, width: int) -> None:
        super().__init__(lower + upper.latent)
        self.upper, self.lower = upper, Normal(lower)
        self.down = nn.Sequential(
            nn.Linear(upper.latent, width), residual_mlp(width, 1), nn.Linear(width, 2 * lower)
        )

    @property
    def standard(self) -> bool:
        """Whether the upper level is, since the lower one always is."""
        return self.upper.standard

    def given(self, e2: Tensor) -> Code:
        """Return p(z1 | z2)."""
        return Code(*self.down(self.upper.carry(e2)).float().chunk(2, 1))

    def parts(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """Return e1 and e2."""
        e1, e2 = e.split([self.lower.latent, self.upper.latent], -1)
        return e1, e2

    def carry(self, e: Tensor) -> Tensor:
        """Return z1 = m(z2) + s(z2) e1."""
        e1, e2 = self.parts(e)
        below = self.given(e2)
        return below.mean + below.sigma * e1

    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return draws of both levels."""
        return torch.cat([self.lower.draw(n, c), self.upper.draw(n, c)], 1)

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return log p(e1) + log p(e2)."""
        e1, e2 = self.parts(z)
        return self.lower.log_prob(e1, c) + self.upper.log_prob(e2, c)


@dataclass(frozen=True)
class LadderCode(Posterior):
    """q(z2|x) q(z1|x, z2), whose second factor joins a message of the row with the prior's.

    Args:
        upper: q(z2|x).
        message: N(z1; f1, exp f2), what the row says of z1.
        prior: that of both levels.
    """

    upper: Code
    message: Code
    prior: LadderPrior

    def carry(self, e: Tensor) -> Tensor:
        """Return what the prior's map makes of a point in normal coordinates."""
        return self.prior.carry(e)

    def centre(self) -> Tensor:
        """Return the mean of the lower level at the mean of the upper one, and that."""
        return torch.cat([self.lower(self.upper.mean).mean, self.upper.mean], 1)

    def draw(self) -> Tensor:
        """Return the reparametrised draw of both levels."""
        return self.drawn()[0]

    def drawn(self) -> tuple[Tensor, Code]:
        """Return a draw of both levels, and the Gaussian that they have, given its upper one."""
        lower = self.lower(e2 := self.upper.draw())
        mean = torch.cat([lower.mean, self.upper.mean], 1)
        log_var = torch.cat([lower.log_var, self.upper.log_var], 1)
        return torch.cat([lower.draw(), e2], 1), Code(mean, log_var, self.carry)

    def lower(self, e2: Tensor) -> Code:
        """Return q(e1 | x, e2), the product of message and prior: their precisions add up.

        With r = exp t the message's, where the prior's is 1, it is N(r u / (1 + r), 1 / (1 + r)), u
        being the message's mean.
        """
        below = self.prior.given(e2)
        u = (self.message.mean - below.mean) / below.sigma
        t = below.log_var - self.message.log_var
        return Code(t.sigmoid() * u, -softplus(t))


class LadderEncoder(nn.Module):
    """A reader with a message to the lower level, and a network on its features to the upper."""

    def __init__(
        self, space: Space, latent: tuple[int, int], classes: int, networks: Networks
    ) -> None:
        super().__init__()
        lower, upper = latent
        self.trunk = networks.reader(space, classes)
        self.message = nn.Linear(networks.width, 2 * lower)
        self.up = nn.Sequential(
            residual_mlp(networks.width, 1), nn.Linear(networks.width, 2 * upper)
        )

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Code, Code]:
        """Return q(z2|x), and the message of the lower level."""
        features = self.trunk(x, c)
        upper, message = self.up(features), self.message(features)
        return self._said(upper), self._said(message)

    @staticmethod
    def _said(heads: Tensor) -> Code:
        mean, log_var = heads.float().chunk(2, 1)
        return Code(mean, log_variance(log_var))


class WithTwoLevels(WithLatent):
    """A model with a prior of two levels."""

    prior: LadderPrior

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        upper: Annotated[
            int | None, "Dimension of the upper level. [half of latent]", at_least(1)
        ] = None,
        prior: Annotated[
            str, "p(z2) of the upper level: normal, uniform, mixture or flow."
        ] = "normal",
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        (latent,) = self.code_shape
        top = continuous_prior(prior, upper or (latent + 1) // 2)
        self.prior = LadderPrior(top, latent, self.networks.width)


class WithLadder(WithCodes, WithTwoLevels):
    """A model whose codes have two levels."""

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        latent = self.prior.lower.latent, self.prior.upper.latent
        self.encoder = LadderEncoder(space, latent, classes, self.networks)

    def encode(self, x: Tensor, c: Tensor | None = None) -> LadderCode:
        """Return q(z2|x) q(z1|x, z2)."""
        upper, message = self.encoder(x, c)
        return LadderCode(upper, message, self.prior)
