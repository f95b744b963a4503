"""The regularised autoencoder: codes are points, and their density is fitted afterwards."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.func import grad

from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithPoints
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.space import Space


class RAE(WithDecoder, WithPoints):
    """-log p(x|z) + beta/2 |z|^2 + decay |theta|^2 + slope |dg/dz|^2, z = f(x) (Ghosh et al. 2020).

    What noise does for a VAE's decoder, a penalty does: on its weights theta (RAE-L2), or on the
    slope of its mean g (RAE-GP; |dg/dz|^2 = E|v' dg/dz|^2, v ~ N(0, I)). New codes come from a
    density that is fitted to those of the rows (`sampler`).
    """

    name: ClassVar[str] = "rae"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "Ghosh et al. 2020"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        beta: Annotated[
            float, "Weight of the codes' length.", at_least(0), log_range(0.1, 10)
        ] = 1.0,
        decay: Annotated[
            float, "Weight of the decoder's weights.", at_least(0), log_range(1e-4, 1e-2)
        ] = 1e-3,
        slope: Annotated[float, "Weight of the decoder's slope.", at_least(0)] = 0.0,
        sampler: Annotated[str, "As for other models with codes."] = "mixture",
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, sampler=sampler, **shared)
        self.beta, self.decay, self.slope = beta, decay, slope

    @turn("encoder", "decoder")
    def objective(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion, with short codes and a smooth decoder."""
        z, v = self.encode(x, c).rsample(), torch.randn_like(x)
        weights = sum(p.square().sum() for p in self.decoder.trunk.parameters())
        terms = {
            "distortion": -self.decode(z, c).log_prob(x),
            "length": self.beta / 2 * z.square().sum(1),
            "decay": self.decay * torch.as_tensor(weights, device=x.device).expand(len(x)),
        }
        if self.slope > 0:
            steepness = grad(lambda z: (v * self.mean(z, c)).sum())(z)
            terms["slope"] = self.slope * steepness.square().sum(1)
        return terms
