"""The variational autoencoder: a measure made by hand, in latent space, in closed form."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from pushforward.families.codes import kl
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.rates import WithRate


class VAE(WithRate, WithDecoder, WithEncoder):
    """Reconstruction plus the KL of each code from the prior (Kingma & Welling 2014).

    -ELBO = E_q[-log p(x|z)] + beta KL(q(z|x) || p(z)), q(z|x) = N(f1(x), exp f2(x)), in nats;
    beta = 1 bounds -log p(x), other values are the beta-VAE (Higgins et al. 2017).
    """

    name: ClassVar[str] = "vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "Kingma & Welling 2014; Higgins et al. 2017; Burgess et al. 2018"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion -log p(x|z) and the rate KL(q || p) together."""
        q = self.encode(x, c)
        z = q.rsample()
        rate = self.rate(kl(q, self.prior, z, c))
        return {"distortion": -self.decode(z, c).log_prob(x), **rate}
