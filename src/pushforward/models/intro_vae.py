"""The introspective VAE: its encoder is the critic, by the rate that it gives to generated rows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor

from pushforward.families.codes import kl, mean_square
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.space import Space, total_variance, values


class IntroVAE(WithDecoder, WithEncoder):
    """L(x) = likeness |x - mean p(x|z)|^2 / v + KL(q(z|x) || p(z)) / n; y = g(z'), z' ~ p(z).

    Encoder: L(x) + 1/2 exp(-2 L'(y)), L' with `rejection` KL, so that generated rows do not fit;
    decoder: L(x), and KL(q(z|y) || p(z)) / n of what it generates. v is the data's variance over
    all n values of a row (Daniel & Tamar 2021, soft-IntroVAE, without its gamma_r of 1e-8).
    """

    name: ClassVar[str] = "intro-vae"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Daniel & Tamar 2021; Huang et al. 2018"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        likeness: Annotated[
            float, "Weight of the distortion beside the rate.", at_least(0), log_range(0.3, 30)
        ] = 3.0,
        rejection: Annotated[
            float, "Weight of generated rows' rate.", at_least(0), log_range(0.3, 30)
        ] = 3.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.likeness, self.rejection = likeness, rejection
        self.variance, self.size = total_variance(space) / values(space), values(space)

    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Return the two parts of L(x)."""
        z = (q := self.encode(x, c)).rsample()
        off = mean_square(x, self.decode(z, c).mean()) / self.variance
        return {"distortion": self.likeness * off, "nats": kl(q, self.prior, z, c) / self.size}

    @turn("encoder", betas=(0.5, 0.99))
    def infer(self, x: Tensor, c: Tensor | None) -> Terms:
        """Give rows codes that the prior knows, and generated ones codes that it does not."""
        y = self.elbo(self.imagine(len(x), c).detach(), c)
        fit = y["distortion"] + self.rejection * y["nats"]
        return {**self.elbo(x, c), "fit": (-2 * fit).exp() / 2}

    @turn("decoder", "prior", betas=(0.5, 0.99))
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Restore rows, and generate some that the encoder takes for real."""
        y = self.show(self.decode(self.prior.sample(len(x), c), c))
        z = (q := self.encode(y, c)).rsample()
        return {**self.elbo(x, c), "fool": kl(q, self.prior, z, c) / self.size}
