"""The FactorVAE: a critic tells dependent codes from independent ones."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.codes import kl
from pushforward.families.critics import WithLatentCritic
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.families.rates import WithRate
from pushforward.space import Space


class FactorVAE(WithRate, WithLatentCritic, WithDecoder, WithEncoder):
    """-ELBO + gamma E_q(z)[D(z)]; critic: -log D'(z) - log(1 - D'(z*)), D' = sigmoid(D).

    In z* each dimension is permuted over the batch by itself, so D comes to log q(z) - sum_j log
    q(z_j), whose mean is the total correlation (Kim & Mnih 2018).
    """

    name: ClassVar[str] = "factor-vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "learned by a critic")
    reference: ClassVar[str] = "Kim & Mnih 2018"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        gamma: Annotated[
            float, "Weight of the total correlation.", at_least(0), log_range(0.6, 60)
        ] = 6.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.gamma = gamma

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower distortion and rate, and what the critic sees of dependence."""
        e = (q := self.encode(x, c)).draw()
        distortion = -self.decode(q.carry(e), c).log_prob(x)
        correlation = {"correlation": self.gamma * self.critic(e, c)}
        return {"distortion": distortion, **self.rate(kl(q, self.prior, e, c)), **correlation}

    @turn("critic", learning_rate=1e-4, betas=(0.5, 0.9))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell codes from codes whose dimensions are permuted."""
        e = self.encode(x, c).draw().detach()
        permuted = e.gather(0, torch.rand_like(e).argsort(0))
        return {
            "codes": softplus(-self.critic(e, c)),
            "product": softplus(self.critic(permuted, c)),
        }
