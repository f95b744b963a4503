"""The component of models that generate codes, which a decoder then carries to rows."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from torch import Tensor

from pushforward.errors import ModelError
from pushforward.families.encoders import WithEncoder
from pushforward.nn.priors import ContinuousPrior
from pushforward.nn.sizes import size_of
from pushforward.nn.trunks import Trunks
from pushforward.space import Space, Vector


class CodeGenerator(ContinuousPrior):
    """Codes e = g(u, c), u ~ N(0, I), in the normal coordinates of a prior whose place they take.

    They have a distribution of any form, and no density. The network has the size of one of
    vectors, whatever the rows are.
    """

    def __init__(self, prior: ContinuousPrior, classes: int) -> None:
        super().__init__(prior.latent)
        space = Vector(prior.latent)
        size = size_of(space)
        self.carried = prior.carry
        self.trunk = Trunks(size.width, size.depth).writer(space, prior.latent, 1, classes)

    @property
    def standard(self) -> bool:
        """Generated codes are not N(0, I)."""
        return False

    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Return g(u, c), (n, latent)."""
        return cast(Tensor, self.trunk(self.normal(n), c))

    def carry(self, e: Tensor) -> Tensor:
        """Return the codes z of points e in normal coordinates: the prior's own map."""
        return self.carried(e)

    def log_prob(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Raise ModelError: there is no density."""
        del z, c
        raise ModelError("generated codes have no density")


class WithCodeGenerator(WithEncoder):
    """A model with an encoder, in which the codes of new rows are generated.

    A `sampler` takes the generator's place where one is asked for.
    """

    averaged: ClassVar[tuple[str, ...]] = ("generator",)

    def __init__(self, space: Space, classes: int = 0, **shared: Any) -> None:
        super().__init__(space, classes, **shared)
        self.generator = CodeGenerator(self.prior, classes)

    def _usual_sampler(self) -> str:
        """Return that there is none."""
        return "prior"

    @property
    def source(self) -> ContinuousPrior:
        """The generator of codes, or the sampler that was asked for."""
        return self.generator if self.sampler is None else super().source
