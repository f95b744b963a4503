"""What a likelihood head gives for a batch of codes: a distribution over rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

# From the share (cells,) of each cell that is allowed, or None: cells (n, columns), chance (n,).
Draw = Callable[[Tensor | None], tuple[Tensor, Tensor]]
# From the share (n, cells) for each row, log weights (n,) and how many particles k a row has, to
# cells (n, columns), log weights (n,), and which particle each of them began as (n,).
Particles = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Observation:
    """p(x|z) for one batch of codes.

    Args:
        log_prob: from rows x to log p(x|z), (n,).
        sample: a draw of x.
        rsample: a draw of x through which gradients flow: reparametrised, or straight through a
            relaxation where x is discrete. What a critic or a measure in data space looks at.
        mean: the mean of x; of values that hear each other, given a draw of those before.
        cells: of a table, a draw of each column's cell under a condition (see `Segments.draw`).
        particles: of columns that hear each other, likewise, each row under a condition of its own
            (see `nn.particles`).
    """

    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[], Tensor]
    rsample: Callable[[], Tensor]
    mean: Callable[[], Tensor]
    cells: Draw | None = None
    particles: Particles | None = None


class Likelihood(nn.Module, ABC):
    """A family p(x|z) over one space.

    `outputs` is how many numbers it reads for each value of a row; `independent` says whether the
    values (columns, pixels, coordinates) are independent given z.
    """

    outputs: int = 1
    independent: ClassVar[bool] = True

    def begin(self, x: Tensor) -> None:
        """Choose where training starts, by some of the training rows; by default nothing."""

    @abstractmethod
    def forward(self, outputs: Tensor) -> Observation:
        """Return the observation model whose parameters are a decoder's outputs."""
