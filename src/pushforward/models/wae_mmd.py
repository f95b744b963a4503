"""The Wasserstein autoencoder with an MMD: the aggregate posterior is compared by hand."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from pushforward.families.codes import beside_class
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, log_range
from pushforward.measures.samples import mmd_statistic
from pushforward.space import Space


class WAEMMD(WithDecoder, WithEncoder):
    """E_q[-log p(x|z)] + weight MMD^2(q(z), p(z)), q(z) = E_x q(z|x) (Tolstikhin et al. 2018).

    The bound of the transport cost -log p(x|z) by codes whose aggregate is the prior; the MMD is
    that of `measures.mmd`, over codes and draws of the prior, beside their classes.
    """

    name: ClassVar[str] = "wae-mmd"
    place: ClassVar[tuple[str, str]] = ("latent space", "from samples, by hand")
    reference: ClassVar[str] = "Tolstikhin et al. 2018"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        weight: Annotated[
            float, "Weight of the MMD beside nats.", at_least(0), log_range(100, 10_000)
        ] = 1000.0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.weight = weight

    @turn("encoder", "decoder", "prior")
    def reconstruct_and_match(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distortion, and the distance of the codes of all rows from the prior."""
        e = (q := self.encode(x, c)).draw()
        mmd = mmd_statistic(*beside_class(self.prior.draw(len(x), c), e, c))
        return {
            "distortion": -self.decode(q.carry(e), c).log_prob(x),
            "mmd": self.weight * mmd.expand(len(x)),
        }
