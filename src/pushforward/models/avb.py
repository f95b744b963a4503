"""Adversarial variational Bayes: a VAE whose codes have any distribution, read by a critic."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from pushforward.families.critics import WithJointCritic
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithDraws
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least
from pushforward.families.rates import WithRate
from pushforward.space import Space


class AVB(WithRate, WithJointCritic, WithDecoder, WithDraws):
    """z = f(x, eps), whose density nobody knows; T(x, z) comes to log q(z|x) - log p(z).

    Critic: E -log sigmoid(T(x, z)) + E -log(1 - sigmoid(T(x, z'))), z' ~ p(z); encoder and decoder:
    E[-log p(x|z) + beta T(x, z)] (Mescheder et al. 2017, algorithm 1, without adaptive contrast).
    A critic that lags reads too low a rate, and codes leave the prior: it moves `n_critic` times.
    """

    name: ClassVar[str] = "avb"
    place: ClassVar[tuple[str, str]] = ("latent space", "learned by a critic")
    reference: ClassVar[str] = "Mescheder et al. 2017"
    free_of_arrays: ClassVar[float] = 0.0  # what a critic reads of one code is no KL of a row

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        n_critic: Annotated[int, "Moves of the critic for one of the others.", at_least(1)] = 3,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.n_critic = n_critic

    @turn("critic", repeat="n_critic", betas=(0.5, 0.99))
    def measure(self, x: Tensor, c: Tensor | None) -> Terms:
        """Tell codes of rows from draws of the prior beside those rows."""
        e, prior = self.encode(x, c).draw().detach(), self.prior.draw(len(x), c).detach()
        real, fake = self.judge(x, e, c), self.judge(x, prior, c)
        return {"codes": softplus(-real), "prior": softplus(fake)}

    @turn("encoder", "decoder", betas=(0.5, 0.99))
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion, and the rate as the critic reads it."""
        e = (q := self.encode(x, c)).draw()
        distortion = -self.decode(q.carry(e), c).log_prob(x)
        return {"distortion": distortion, **self.rate(self.judge(x, e, c))}
