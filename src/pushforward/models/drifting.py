"""Drifting: generated rows are drawn to real ones and driven apart, by a kernel."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from pushforward.families.codes import beside_class
from pushforward.families.generators import WithGenerator
from pushforward.families.model import Terms, turn
from pushforward.measures.samples import drift_statistic


class Drifting(WithGenerator):
    """sum_s log q_s(g(z)) - log p_s(g(z)), p_s and q_s kernel densities of real and generated rows.

    Their gradient by g(z) is the drifting field, attraction to data minus repulsion from generated
    rows, at several bandwidths s (Deng et al. 2026), each in units of s^2; with the Gaussian kernel
    the field has this potential (Franz et al. 2026). Bandwidths are shares of the typical distance.
    """

    name: ClassVar[str] = "drifting"
    place: ClassVar[tuple[str, str]] = ("data space", "from samples, by hand")
    reference: ClassVar[str] = "Deng et al. 2026; Franz et al. 2026"
    SHARES: ClassVar[tuple[float, ...]] = (1.0, 0.5, 0.25, 0.125)

    @turn("generator")
    def drift(self, x: Tensor, c: Tensor | None) -> Terms:
        """Move generated rows along the field, beside their classes."""
        real, fake = beside_class(x, self.imagine(len(x), c), c)
        typical = (2 * real.var(0).sum()).clamp(min=1e-6).sqrt()
        each = [drift_statistic(fake, real, s * typical) for s in self.SHARES]
        return {"drift": torch.stack(each).sum(0) / typical**2}
