"""The VAE-GAN: a VAE whose distortion is measured by what a GAN's critic has learned to see."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.codes import kl
from pushforward.families.critics import WithCritic
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.space import Space, slope_scale


class VAEGAN(WithCritic, WithDecoder, WithEncoder):
    """y = g(z), z ~ q(z|x); new = g(z'), z' ~ p(z); F: features of the critic D (Larsen et al.).

    Encoder: KL + L, L = 1/2 |F(x) - F(y)|^2; decoder: gamma L - log D(y) - log D(new); critic:
    -log D(x) - log(1 - D(y)) - log(1 - D(new)) + r1/2 |grad D(x)|^2 (R1, without which F grows).
    """

    name: ClassVar[str] = "vae-gan"
    place: ClassVar[tuple[str, str]] = ("data space", "learned by a critic")
    reference: ClassVar[str] = "Larsen et al. 2016; Mescheder et al. 2018"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        gamma: Annotated[
            float, "Weight of likeness beside fooling.", at_least(0), log_range(0.1, 10)
        ] = 1.0,
        r1: Annotated[
            float, "Weight of R1, as the gamma of a gan.", at_least(0), log_range(0.02, 2)
        ] = 0.2,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.gamma, self.r1 = gamma, r1 * slope_scale(space)

    @turn("encoder", "prior", betas=(0.5, 0.99))
    def infer(self, x: Tensor, c: Tensor | None) -> Terms:
        """Give each row a code from which a row is decoded that looks the same."""
        y = self.show(self.decode(z := (q := self.encode(x, c)).rsample(), c))
        return {"rate": kl(q, self.prior, z, c), "distortion": self.unlike(x, y, c)}

    @turn("decoder", betas=(0.5, 0.99))
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Decode rows that look the same, and real, from both kinds of codes."""
        y, new = (self.show(self.decode(z, c)) for z in self.codes(x, c))
        fool = {"y": softplus(-self.critic(y, c)), "new": softplus(-self.critic(new, c))}
        return {"distortion": self.gamma * self.unlike(x, y, c), **fool}

    @turn("critic", pace="critic_pace", betas=(0.5, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell real rows from decoded ones."""
        y, new = (softplus(self.critic(self.generate(z, c).detach(), c)) for z in self.codes(x, c))
        real, steepness = self.judge(x, c)
        return {"real": softplus(-real), "y": y, "new": new, "r1": self.r1 / 2 * steepness}
