"""The generative moment matching network: a kernel compares generated rows with real ones."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from pushforward.families.codes import beside_class
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.measures.samples import mmd_statistic


class GMMN(WithGenerator):
    """MMD^2(x, g(z)), the MMD of `measures.mmd`: unbiased, of five bandwidths (Li et al. 2015)."""

    name: ClassVar[str] = "gmmn"
    place: ClassVar[tuple[str, str]] = ("data space", "from samples, by hand")
    reference: ClassVar[str] = "Li et al. 2015; Dziugaite et al. 2015"

    @turn("generator")
    def close_in(self, x: Tensor, c: Tensor | None) -> Terms:
        """Lower the distance of generated rows from real ones, beside their classes."""
        mmd = mmd_statistic(*beside_class(x, self.imagine(len(x), c), c))
        return {"mmd": mmd.expand(len(x))}
