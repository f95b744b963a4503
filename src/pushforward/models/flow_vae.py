"""The VAE with a normalising flow as its encoder's last part: q(z|x) of any shape."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from pushforward.families.decoders import WithDecoder
from pushforward.families.flow_encoders import WithFlowEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.rates import WithRate


class FlowVAE(WithRate, WithDecoder, WithFlowEncoder):
    """-log p(x|z) + beta (log q(z|x) - log p(z)), z ~ q(z|x), a flow's given x.

    The bound is as loose as q(z|x) is far from p(z|x), which is seldom a Gaussian with independent
    dimensions (Rezende & Mohamed 2015; Kingma et al. 2016, whose autoregressive layers are coupling
    layers here).
    """

    name: ClassVar[str] = "flow-vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "Rezende & Mohamed 2015; Kingma et al. 2016"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower distortion and rate together."""
        e = (q := self.encode(x, c)).draw()
        distortion = -self.decode(q.carry(e), c).log_prob(x)
        return {"distortion": distortion, **self.rate(q.log_prob(e) - self.prior.log_prob(e, c))}
