"""The ladder VAE: codes of two levels, of which the lower one is inferred given the upper one."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from pushforward.families.codes import kl
from pushforward.families.decoders import WithDecoder
from pushforward.families.ladders import WithLadder
from pushforward.families.model import Terms, turn
from pushforward.families.rates import WithRate


class LadderVAE(WithRate, WithDecoder, WithLadder):
    """-log p(x|z1) + KL(q(z1|x, z2) || p(z1|z2)) + KL(q(z2|x) || p(z2)) (Sønderby et al. 2016).

    q(z1|x, z2) is the product of p(z1|z2) and a Gaussian message of x: what the upper level has
    said, the lower one need not say again. Rates of both levels are summed.
    """

    name: ClassVar[str] = "ladder-vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "Sønderby et al. 2016"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion and the rates of both levels."""
        e, q = self.encode(x, c).drawn()
        distortion = -self.decode(q.carry(e), c).log_prob(x)
        return {"distortion": distortion, **self.rate(kl(q, self.prior, e, c))}
