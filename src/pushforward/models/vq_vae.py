"""The vector-quantised VAE: discrete codes, and a prior over them that is learned afterwards."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from pushforward.families.codebooks import WithCodebook
from pushforward.families.codes import mean_square, quantise
from pushforward.families.decoders import WithDecoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, between, log_range
from pushforward.nn.likelihoods import Observation
from pushforward.space import Space


class VQVAE(WithDecoder, WithCodebook):
    """Codes k are those of the vectors e of a codebook nearest to z_e (van den Oord et al. 2017).

    Until `prior_start`: -log p(x | z_q) + |sg(z_e) - e|^2 + beta |z_e - sg(e)|^2 (means, as in the
    authors' code), z_q being e with its gradient passed to z_e; then: -log p(k) of the rows' codes.
    """

    name: ClassVar[str] = "vq-vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "van den Oord et al. 2017"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        beta: Annotated[
            float, "Weight of the commitment.", at_least(0), log_range(0.025, 2.5)
        ] = 0.25,
        prior_start: Annotated[float, "Share of steps before the prior.", between(0.1, 0.9)] = 0.5,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.beta, self.prior_start = beta, prior_start

    def decode(self, z: Tensor, c: Tensor | None = None) -> Observation:
        """Return p(x | e) for codes k (n, positions)."""
        return super().decode(self.laid(self.codebook(z)), c)

    @turn("encoder", "codebook", "decoder", end="prior_start")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion, and draw encoder and codebook together."""
        e = self.codebook(self.codebook.nearest(z_e := self.encoder(x, c)))
        p = super().decode(self.laid(quantise(z_e, e)), c)
        codebook, commitment = mean_square(z_e.detach(), e), mean_square(z_e, e.detach())
        terms = {"codebook": codebook, "commitment": self.beta * commitment}
        return {"distortion": -p.log_prob(x), **terms}

    @turn("prior", start="prior_start")
    def learn_prior(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the rate -log p(k) of the codes of the rows."""
        k = self.codebook.nearest(self.encoder(x, c))  # no gradient flows through it
        return {"rate": -self.prior.log_prob(k, c)}
