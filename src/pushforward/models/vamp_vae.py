"""The VampPrior: a VAE whose prior is a mixture of the codes of rows that it makes up."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from pushforward.families.codes import kl
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least
from pushforward.families.pseudo_rows import PosteriorMixture, PseudoRows
from pushforward.families.rates import WithRate
from pushforward.space import Space


class VampVAE(WithRate, WithDecoder, WithEncoder):
    """-ELBO with p(z) = 1/K sum_k q(z | u_k), the pseudo-rows u learned (Tomczak & Welling 2018).

    The ELBO's best prior is the aggregate posterior, the mean of q(z|x) over all rows; this is a
    mean over K rows that stand for them.
    """

    name: ClassVar[str] = "vamp-vae"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "Tomczak & Welling 2018"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        pseudo_rows: Annotated[int, "Rows whose codes make up the prior.", at_least(1)] = 64,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        rows = PseudoRows(space, classes, pseudo_rows)
        self.prior = PosteriorMixture(self.prior, rows, self.encode)

    @turn("encoder", "decoder", "prior")
    def elbo(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower distortion and rate together."""
        e = (q := self.encode(x, c)).draw()
        distortion = -self.decode(q.carry(e), c).log_prob(x)
        return {"distortion": distortion, **self.rate(kl(q, self.prior, e, c))}
