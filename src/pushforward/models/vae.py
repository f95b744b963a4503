"""The variational autoencoder: a measure made by hand, in latent space, in closed form."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from pushforward.families.codes import kl
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.space import Space


class VAE(WithDecoder, WithEncoder):
    """Reconstruction plus the KL of each code from the prior (Kingma & Welling 2014).

    -ELBO = E_q[-log p(x|z)] + beta KL(q(z|x) || p(z)), q(z|x) = N(f1(x), exp f2(x)), in nats;
    beta = 1 bounds -log p(x), other values are the beta-VAE (Higgins et al. 2017).
    """

    name: ClassVar[str] = "vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "Kingma & Welling 2014; Higgins et al. 2017"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        beta: Annotated[float, "Weight of the rate.", at_least(0), log_range(0.1, 10)] = 1.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.beta = beta

    @property
    def rate_weight(self) -> float:
        """The nats in a code count beta times."""
        return self.beta

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion -log p(x|z) and the rate KL(q || p) together."""
        q = self.encode(x, c)
        z = q.rsample()
        return {
            "distortion": -self.decode(z, c).log_prob(x),
            "rate": self.beta * kl(q, self.prior, z, c),
        }
