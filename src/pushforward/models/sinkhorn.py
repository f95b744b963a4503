"""The Sinkhorn generator: rows are compared by optimal transport with some entropy."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor

from pushforward.families.codes import beside_class
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.families.options import above, log_range
from pushforward.measures.samples import sinkhorn_statistic
from pushforward.space import Space


class Sinkhorn(WithGenerator):
    """The Sinkhorn divergence of x and g(z), for the squared distance (Genevay et al. 2018).

    Where `measures.sinkhorn` compares a large sample with itself, this compares a batch's halves
    with each other: so small batches have no bias, too. The temperature is a share of the mean
    squared distance of real rows.
    """

    name: ClassVar[str] = "sinkhorn"
    place: ClassVar[tuple[str, str]] = ("data space", "from samples, by hand")
    reference: ClassVar[str] = "Genevay et al. 2018; Salimans et al. 2018; Feydy et al. 2019"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        temperature_share: Annotated[
            float, "Temperature of the transport.", above(0), log_range(0.005, 0.5)
        ] = 0.05,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.temperature_share = temperature_share

    @turn("generator")
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the cost of carrying generated rows to real ones, beside their classes."""
        real, fake = beside_class(x, self.imagine(len(x), c), c)
        epsilon = self.temperature_share * 2 * real.var(0).sum().clamp(min=1e-6)
        return {"transport": sinkhorn_statistic(fake, real, epsilon).expand(len(x))}
