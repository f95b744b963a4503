"""The sliced Wasserstein generator: rows are compared along random lines."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pushforward.families.codes import beside_class
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.families.options import at_least
from pushforward.measures.samples import sliced_wasserstein_statistic
from pushforward.space import Space


class SlicedWasserstein(WithGenerator):
    """d E_v W_2^2(<v, x>, <v, g(z)>), v uniform on the sphere of R^d (Deshpande et al. 2018).

    Times d, a shift of all rows by s costs |s|^2, in however many dimensions.
    """

    name: ClassVar[str] = "sliced-wasserstein"
    place: ClassVar[tuple[str, str]] = ("data space", "from samples, by hand")
    reference: ClassVar[str] = "Deshpande et al. 2018; Kolouri et al. 2019"

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        lines: Annotated[int, "Random lines a step.", at_least(1)] = 128,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.lines = lines

    @turn("generator")
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distance along lines, beside the classes."""
        real, fake = beside_class(x, self.imagine(len(x), c), c)
        d = real.shape[1]
        lines = normalize(torch.randn(self.lines, d, device=x.device), dim=1)
        return {"transport": d * sliced_wasserstein_statistic(fake, real, lines).expand(len(x))}
