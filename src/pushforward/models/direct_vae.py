"""The direct VAE: the naive regulariser in place of the KL, to see what the KL adds."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.space import Space


class DirectVAE(WithDecoder, WithEncoder):
    """Reconstruction, plus |f1(x)|^2 + weight |f2(x)|^2: mean and log-variance pulled to 0.

    Like the KL it is 0 only where q(z|x) = N(0, I), but the weight between its two parts has no
    natural value, and it is no divergence: reconstruction plus it bounds no likelihood.
    """

    name: ClassVar[str] = "direct-vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "the naive regulariser, for comparison"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        beta: Annotated[
            float, "Weight of both direct losses.", at_least(0), log_range(0.1, 10)
        ] = 1.0,
        weight: Annotated[
            float, "Weight of |f2|^2 beside |f1|^2.", at_least(0), log_range(0.1, 10)
        ] = 1.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.beta, self.weight = beta, weight

    @turn("encoder", "decoder")
    def pull(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion -log p(x|z) and pull both encoders to 0."""
        q = self.encode(x, c)
        return {
            "distortion": -self.decode(q.rsample(), c).log_prob(x),
            "mean": self.beta * q.mean.square().sum(1),
            "log_variance": self.beta * self.weight * q.log_var.square().sum(1),
        }
