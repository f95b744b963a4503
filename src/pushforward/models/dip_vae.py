"""The DIP-VAE: codes of all rows with the covariance of the prior."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from pushforward.families.codes import kl
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.families.rates import WithRate
from pushforward.space import Space


class DIPVAE(WithRate, WithDecoder, WithEncoder):
    """-ELBO + between sum_(i != j) C_ij^2 + within sum_i (C_ii - 1)^2 (Kumar et al. 2018).

    C is the covariance of the codes' means over the batch (DIP-VAE-I), or of the codes themselves,
    Cov(mean) + E[sigma^2], `with_noise` (DIP-VAE-II).
    """

    name: ClassVar[str] = "dip-vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "from samples, by hand")
    reference: ClassVar[str] = "Kumar et al. 2018"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        between: Annotated[
            float, "Weight of covariances between.", at_least(0), log_range(1, 100)
        ] = 10.0,
        within: Annotated[
            float, "Weight of variances other than 1.", at_least(0), log_range(1, 100)
        ] = 10.0,
        with_noise: Annotated[bool, "Of the codes, not of their means alone."] = True,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.between, self.within, self.with_noise = between, within, with_noise

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower distortion and rate, and bring the codes' covariance to I."""
        e = (q := self.encode(x, c)).draw()
        covariance = torch.cov(q.mean.T, correction=0).reshape(2 * (e.shape[1],))
        if self.with_noise:
            covariance = covariance + q.sigma.square().mean(0).diag()
        own = covariance.diagonal()
        apart = covariance.square().sum() - own.square().sum()
        return {
            "distortion": -self.decode(q.carry(e), c).log_prob(x),
            **self.rate(kl(q, self.prior, e, c)),
            "between": self.between * apart.expand(len(x)),
            "within": self.within * (own - 1).square().sum().expand(len(x)),
        }
