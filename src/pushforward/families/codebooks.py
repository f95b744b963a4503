"""The component of models whose codes are discrete: an encoder, a codebook and a discrete prior."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor, nn

from pushforward.families.codes import Codebook, scaled
from pushforward.families.model import Model
from pushforward.families.options import at_least
from pushforward.nn.priors import DiscretePrior
from pushforward.nn.sizes import pyramid
from pushforward.nn.trunks import Networks
from pushforward.space import Image, Space


class VectorEncoder(nn.Module):
    """z_e(x): `positions` vectors of `size` numbers; for images one at each place of a map."""

    def __init__(
        self, space: Space, positions: int, size: int, classes: int, networks: Networks
    ) -> None:
        super().__init__()
        self.size = size
        self.head: nn.Module
        if isinstance(space, Image):
            self.trunk = networks.map_reader(space, classes)
            self.head = nn.Sequential(nn.Flatten(2), Transpose(), nn.Linear(networks.width, size))
        else:
            self.trunk = networks.reader(space, classes)
            self.head = nn.Sequential(
                nn.Linear(networks.width, positions * size), nn.Unflatten(1, (positions, size))
            )

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return z_e(x), (n, positions, size), each vector at length sqrt(size)."""
        return scaled(self.head(self.trunk(x, c)).float())


class Transpose(nn.Module):
    """(n, a, b) to (n, b, a)."""

    def forward(self, h: Tensor) -> Tensor:
        """Return the transposed maps."""
        return h.mT


class WithCodebook(Model):
    """A model whose codes are indices into a codebook, with a prior over them."""

    averaged: ClassVar[tuple[str, ...]] = ("encoder", "codebook", "prior")

    prior: DiscretePrior

    def __init__(
        self,
        space: Space,
        classes: int = 0,
        *,
        levels: Annotated[int, "Vectors in the codebook.", at_least(2)] = 64,
        code_size: Annotated[int, "Numbers in each of its vectors.", at_least(1)] = 16,
        positions: Annotated[
            int, "Vectors in a code; images have one at each place of a map.", at_least(1)
        ] = 8,
        **shared: Any,
    ) -> None:
        super().__init__(space, classes, **shared)
        self.map = pyramid(space)[-1] if isinstance(space, Image) else ()
        count = self.map[0] * self.map[1] if self.map else positions
        self.code_shape: tuple[int, ...] = (
            (code_size, *self.map) if self.map else (count * code_size,)
        )
        self.prior = DiscretePrior(count, levels, classes)
        self.encoder = VectorEncoder(space, count, code_size, classes, self.networks)
        self.codebook = Codebook(levels, code_size)

    def reconstruct(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the mean of p(x|k) at the code k of each row."""
        return self.mean(self.codebook.nearest(self.encoder(x, c)), c)

    def laid(self, vectors: Tensor) -> Tensor:
        """Return vectors (n, positions, size) as a decoder reads them, (n, *code_shape)."""
        return (vectors.mT if self.map else vectors).reshape(len(vectors), *self.code_shape)
