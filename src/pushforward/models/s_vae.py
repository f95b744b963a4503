"""The hyperspherical VAE: codes on a sphere, von Mises-Fisher around a direction each."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from pushforward.families.decoders import WithDecoder
from pushforward.families.model import Terms, turn
from pushforward.families.rates import WithRate
from pushforward.families.spherical import WithDirections


class SVAE(WithRate, WithDecoder, WithDirections):
    """-ELBO with q(z|x) = vMF(mu(x), kappa(x)), p(z) uniform on the sphere (Davidson et al. 2018).

    Codes that are spread over a sphere have no middle to gather in: the KL is a function of kappa
    alone, and draws codes nowhere.
    """

    name: ClassVar[str] = "s-vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "Davidson et al. 2018"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    @turn("encoder", "decoder")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower distortion and rate together."""
        q = self.encode(x, c)
        distortion = -self.decode(q.rsample(), c).log_prob(x)
        return {"distortion": distortion, **self.rate(q.kl())}
