"""The beta-TC-VAE: of the rate's three parts, the total correlation weighs more."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.space import Space


class BetaTCVAE(WithDecoder, WithEncoder):
    """E_q KL = [log q(z|x) - log q(z)] + beta [log q(z) - sum_j log q(z_j)] + [... - log p(z)].

    Information, total correlation, and the dimensions' own KL (Chen et al. 2018), at z ~ q(z|x).
    q(z) is the mean of q(z|x) over the batch: the paper's minibatch-weighted estimate, but for the
    size of the data, a constant.
    """

    name: ClassVar[str] = "beta-tc-vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "from samples, by hand")
    reference: ClassVar[str] = "Chen et al. 2018"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        beta: Annotated[
            float, "Weight of the total correlation.", at_least(0), log_range(0.6, 60)
        ] = 6.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.beta = beta

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion and the three parts of the rate."""
        e = (q := self.encode(x, c)).draw()
        each = q.log_prob_by_dimension(e[:, None])  # log q(z_ij | x_k), (n, n, latent)
        log_q = each.sum(2).logsumexp(1) - math.log(len(x))
        product = (each.logsumexp(1) - math.log(len(x))).sum(1)
        return {
            "distortion": -self.decode(q.carry(e), c).log_prob(x),
            "information": q.log_prob(e) - log_q,
            "correlation": self.beta * (log_q - product),
            "dimensions": product - self.prior.log_prob(e, c),
        }
