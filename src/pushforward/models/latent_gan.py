"""The latent GAN: a VAE first; then R3GAN, between noise and the codes of rows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.codes import kl
from pushforward.families.critics import WithLatentCritic
from pushforward.families.decoders import WithDecoder
from pushforward.families.latent_generators import WithCodeGenerator
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, between, log_range
from pushforward.families.rates import WithRate
from pushforward.space import Space


class LatentGAN(WithRate, WithLatentCritic, WithDecoder, WithCodeGenerator):
    """Until `gan_start` the VAE's loss; then, with codes e ~ q(z|x) that stand still, R3GAN's game.

    Critic: E[softplus(D(g(u)) - D(e))] + gamma/2 (E|grad D(e)|^2 + E|grad D(g(u))|^2), u ~ N(0, I);
    generator: E[softplus(D(e) - D(g(u)))]. New rows are decoded from g(u).
    """

    name: ClassVar[str] = "latent-gan"
    place: ClassVar[tuple[str, str]] = ("latent space", "learned by a critic")
    reference: ClassVar[str] = "Kingma & Welling 2014; Huang et al. 2024"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        gan_start: Annotated[float, "Share of steps before the GAN.", between(0.1, 0.9)] = 0.5,
        gamma: Annotated[
            float, "Weight of the gradient penalties, a dimension.", at_least(0), log_range(0.02, 2)
        ] = 0.2,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.gan_start, self.gamma = gan_start, gamma * self.prior.latent

    @turn("encoder", "decoder", "prior", end="gan_start")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion and the rate together."""
        z = (q := self.encode(x, c)).rsample()
        rate = self.rate(kl(q, self.prior, z, c))
        return {"distortion": -self.decode(z, c).log_prob(x), **rate}

    @turn("critic", start="gan_start", betas=(0.0, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Judge each row's code above a generated partner, by gentle slopes."""
        e, made = self.encode(x, c).draw().detach(), self.generator.draw(len(x), c).detach()
        (real, r1), (fake, r2) = self.judge(e, c), self.judge(made, c)
        penalties = {"r1": self.gamma / 2 * r1, "r2": self.gamma / 2 * r2}
        return {"pair": softplus(fake - real), **penalties}

    @turn("generator", start="gan_start", betas=(0.0, 0.99))
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Raise each generated code above a row's."""
        e, made = self.encode(x, c).draw().detach(), self.generator.draw(len(x), c)
        return {"pair": softplus(self.critic(e, c) - self.critic(made, c))}
