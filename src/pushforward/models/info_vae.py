"""The InfoVAE: a VAE whose rate is traded for the distance of all codes from the prior."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from pushforward.families.codes import beside_class, kl
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_most, linear_range, log_range
from pushforward.measures.samples import mmd_statistic
from pushforward.space import Space


class InfoVAE(WithDecoder, WithEncoder):
    """E_q[-log p(x|z)] + (1 - alpha) KL(q(z|x) || p) + (alpha + lam - 1) MMD^2(q(z), p(z)).

    alpha = 0, lam = 1 is the VAE; alpha weighs the information that codes have about rows, which
    the rate pays for, lam the distance of their aggregate from the prior (Zhao et al. 2019, eq. 6,
    with the MMD of `measures.mmd`).
    """

    name: ClassVar[str] = "info-vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "from samples, by hand")
    reference: ClassVar[str] = "Zhao et al. 2019"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        alpha: Annotated[float, "Weight of what codes tell.", at_most(1), linear_range(0, 1)] = 0.5,
        lam: Annotated[
            float, "Weight of the aggregate's distance.", log_range(100, 10_000)
        ] = 1000.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.alpha, self.lam = alpha, lam

    @property
    def rate_weight(self) -> float:
        """The nats in a code count 1 - alpha times."""
        return 1 - self.alpha

    @turn("encoder", "decoder", "prior")
    def objective(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion, a share of the rate, and the aggregate's distance."""
        e = (q := self.encode(x, c)).draw()
        mmd = mmd_statistic(*beside_class(self.prior.draw(len(x), c), e, c))
        return {
            "distortion": -self.decode(q.carry(e), c).log_prob(x),
            "rate": (1 - self.alpha) * kl(q, self.prior, e, c),
            "mmd": (self.alpha + self.lam - 1) * mmd.expand(len(x)),
        }
