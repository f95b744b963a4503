"""The Wasserstein autoencoder with a critic of codes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.critics import WithLatentCritic
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.space import Space


class WAEGAN(WithLatentCritic, WithDecoder, WithEncoder):
    """z ~ q(z|x), z' ~ p(z), D a critic of codes (Tolstikhin et al. 2018, algorithm 1).

    Critic: weight (-log D(z') - log(1 - D(z))); encoder and decoder together, which is what sets it
    apart from the AAE: E[-log p(x|z)] - weight log D(z).
    """

    name: ClassVar[str] = "wae-gan"
    place: ClassVar[tuple[str, str]] = ("latent space", "learned by a critic")
    reference: ClassVar[str] = "Tolstikhin et al. 2018"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        weight: Annotated[
            float, "Weight of the critic beside nats.", at_least(0), log_range(1, 100)
        ] = 10.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.weight = weight

    @turn("critic", betas=(0.5, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell draws of the prior from codes."""
        e, prior = self.encode(x, c).draw().detach(), self.prior.draw(len(x), c).detach()
        real, fake = softplus(-self.critic(prior, c)), softplus(self.critic(e, c))
        return {"prior": self.weight * real, "codes": self.weight * fake}

    @turn("encoder", "decoder", betas=(0.5, 0.99))
    def reconstruct_and_match(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion, with codes that look like draws of the prior."""
        e = (q := self.encode(x, c)).draw()
        return {
            "distortion": -self.decode(q.carry(e), c).log_prob(x),
            "fool": self.weight * softplus(-self.critic(e, c)),
        }
