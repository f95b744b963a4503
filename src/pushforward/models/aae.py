"""The adversarial autoencoder: a critic compares the codes of all rows with the prior."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.critics import WithLatentCritic
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn


class AAE(WithLatentCritic, WithDecoder, WithEncoder):
    """z ~ q(z|x), z' ~ p(z), D a critic of codes (Makhzani et al. 2016).

    Encoder and decoder: E[-log p(x|z)]; critic: -log D(z') - log(1 - D(z)); encoder: -log D(z).
    """

    name: ClassVar[str] = "aae"
    place: ClassVar[tuple[str, str]] = ("latent space", "learned by a critic")
    reference: ClassVar[str] = "Makhzani et al. 2016"

    @turn("encoder", "decoder")
    def reconstruct_rows(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion."""
        return {"distortion": -self.decode(self.encode(x, c).rsample(), c).log_prob(x)}

    @turn("critic", betas=(0.5, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell draws of the prior from codes."""
        e, prior = self.encode(x, c).draw().detach(), self.prior.draw(len(x), c).detach()
        return {"prior": softplus(-self.critic(prior, c)), "codes": softplus(self.critic(e, c))}

    @turn("encoder", betas=(0.5, 0.99))
    def match(self, x: Tensor, c: Tensor | None) -> Terms:
        """Give codes that look like draws of the prior."""
        return {"fool": softplus(-self.critic(self.encode(x, c).draw(), c))}
