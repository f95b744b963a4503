"""The component of models whose rows are draws of a likelihood head."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from pushforward.families.model import Batch, Model
from pushforward.families.raking import rake
from pushforward.nn.likelihoods import Likelihood, Observation


class WithObservation(Model):
    """A model that draws rows from p(x|z), those of tables at least.

    So their cells can be drawn under a condition, and are raked.
    """

    def likelihood_head(self) -> Likelihood | None:
        """Return what makes p(x|z) of outputs; None where rows are no draws."""
        return None

    def observation(self, z: Tensor, c: Tensor | None = None) -> Observation | None:
        """Return p(x|z); None where rows are no draws."""
        del z, c
        return None

    def cells(
        self, z: Tensor, c: Tensor | None = None, share: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw the cells of rows from p(x|z), under a condition."""
        p = self.observation(z, c)
        return super().cells(z, c, share) if p is None or p.cells is None else p.cells(share)

    def particles(
        self, z: Tensor, c: Tensor | None, share: Tensor, log_w: Tensor, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the cells of rows from p(x|z), each under a condition of its own."""
        p = self.observation(z, c)
        if p is None or p.particles is None:
            return super().particles(z, c, share, log_w, k)
        return p.particles(share, log_w, k)

    def settle(self, batches: Iterable[Batch]) -> None:
        """Rake a table's columns."""
        super().settle(batches)
        raking = getattr(self.likelihood_head(), "raking", None)
        if raking is not None:
            rake(raking, self.source, self._expected, batches)

    def _expected(self, z: Tensor, c: Tensor | None) -> Tensor:
        p = self.observation(z, c)
        assert p is not None  # since there is a head
        return p.mean()
