"""SimFlow: codes with a noise that is constant, and a prior that is a flow, learned together."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from pushforward.families.codes import Code, kl
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithPoints
from pushforward.families.model import Terms, turn
from pushforward.families.options import above, log_range
from pushforward.families.rates import WithRate
from pushforward.space import Space


class SimFlow(WithRate, WithDecoder, WithPoints):
    """-log p(x|z) + beta (log q(z|x) - log p(z)), z ~ q(z|x) = N(f(x), sigma^2 I), p a flow.

    With a constant sigma the encoder cannot give a dimension up by making it all noise; what the
    codes' distribution is, the flow learns as it forms (Zhao et al. 2025).
    """

    name: ClassVar[str] = "sim-flow"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "Zhao et al. 2025"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        sigma: Annotated[float, "Noise of the codes.", above(0), log_range(0.1, 2.5)] = 0.5,
        prior: Annotated[str, "As for other models."] = "flow",
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, prior=prior, **shared)
        self.log_var = 2 * math.log(sigma)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Code:
        """Return N(f(x), sigma^2 I)."""
        mean = super().encode(x, c).mean
        return Code(mean, torch.full_like(mean, self.log_var), self.prior.carry)

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower distortion and rate together."""
        e = (q := self.encode(x, c)).draw()
        distortion = -self.decode(q.carry(e), c).log_prob(x)
        return {"distortion": distortion, **self.rate(kl(q, self.prior, e, c))}
