"""The importance-weighted autoencoder: bounds on the likelihood that grow tighter with k."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from pushforward.families.bounds import Bound, Given
from pushforward.families.codes import Code, kl
from pushforward.families.decoders import WithDecoder
from pushforward.families.encoders import WithEncoder
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least, between
from pushforward.families.rates import WithFreeNats
from pushforward.space import Space


class IWAE(WithFreeNats, WithDecoder, WithEncoder):
    """-log 1/k sum_j w_j, w_j = p(x|z_j) p(z_j) / q(z_j|x), z_j ~ q(z|x) (Burda et al. 2016).

    The mean of `groups` bounds is MIWAE, mixed with the ELBO CIWAE; where it moves the encoder
    alone, and all codes share the decoder's bound, PIWAE (Rainforth et al. 2018). `dreg`: gradients
    of the encoder go by z_j alone, with normalised weights squared (Tucker et al. 2019).
    """

    name: ClassVar[str] = "iwae"
    place: ClassVar[tuple[str, str]] = ("latent space", "closed form")
    reference: ClassVar[str] = "Burda et al. 2016; Rainforth et al. 2018; Tucker et al. 2019"
    selection: ClassVar[Literal["loss", "distance"]] = "loss"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        k: Annotated[int, "Codes in each bound.", at_least(1)] = 8,
        groups: Annotated[int, "Bounds that are averaged.", at_least(1)] = 1,
        elbo: Annotated[float, "Weight of the ELBO beside them.", between(0, 1)] = 0.0,
        partial: Annotated[bool, "The decoder has one bound over the codes of all."] = False,
        dreg: Annotated[bool, "Doubly reparametrised gradients of the encoder."] = False,
        resample: Annotated[int, "Codes, by weight, with gradients; 0: all.", at_least(0)] = 0,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.objective = Bound(groups, k, elbo, partial, dreg, resample)

    @turn("encoder", "decoder", "prior")
    def bound(self, x: Tensor, c: Tensor | None) -> Terms:
        """Raise the bound on log p(x)."""
        times, dreg = self.objective.groups * self.objective.k, self.objective.dreg
        once = self.encode(x, c)
        e = (q := once.repeated(times)).draw()
        paid = self.paid_share(kl(once, self.prior, e[::times], c))

        def log_weight(given: Given, at: Tensor) -> Tensor:
            e, *density = given
            own = Code(density[0], density[1]) if density else q.detach().take(at)
            row = at // times
            its = None if c is None else c[row]
            p = self.decode(q.carry(e), its)
            return p.log_prob(x[row]) + paid[row] * (self.prior.log_prob(e, its) - own.log_prob(e))

        return {"bound": -self.objective(log_weight, (e,) if dreg else (e, q.mean, q.log_var))}
