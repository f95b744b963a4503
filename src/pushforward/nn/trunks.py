"""The two directions that every network of the library is made of.

A reader carries a row to a feature vector (encoders, critics), a writer carries a code to a row
(decoders, generators). One architecture a kind of data, shared by both families of models, so
that a comparison compares measures and not networks. No layer keeps running statistics, since the
turn of one player must not change another. Networks may compute in half precision (autocast); what
they say is float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeGuard, cast

import torch
from torch import Tensor, nn

from pushforward.errors import ModelError
from pushforward.nn.sizes import pyramid, widths
from pushforward.space import Cells, Image, Space, Vector, values

SLOPE = 0.2  # of the leaky rectifier
WIDE = 256  # cells from which on a table's column goes by way of an embedding ...
EMBEDDING = 32  # ... of so many dimensions
HIDDEN = 4  # times the width: the layer between a code and the coarsest map of an image


def precise(x: Tensor) -> Tensor:
    """Return what networks say in half precision as float32, else unchanged.

    In 8 binary digits a sum over 784 pixels is wrong by nats.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Residual(nn.Module):
    """h + W2 act(W1 act(h)), with W2 = 0 at the start: a new block is the identity."""

    def __init__(self, first: nn.Module, second: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        nn.init.zeros_(second.weight)
        if second.bias is not None:
            nn.init.zeros_(second.bias)
        self.path = nn.Sequential(nn.LeakyReLU(SLOPE), first, nn.LeakyReLU(SLOPE), second)

    def forward(self, h: Tensor) -> Tensor:
        """Return h plus the block's change of it, of the same shape."""
        return cast(Tensor, h + self.path(h))


@torch.no_grad()
def keep_variance(network: nn.Module) -> None:
    """Draw the weights anew so that layers keep the variance of what goes through (He et al. 2015).

    torch's own start shrinks it sixfold a layer. Of a stack of six, hardly anything of the code is
    left in an image then: for hundreds of steps a decoder learns the average image alone, while
    the rate, which nothing opposes, closes the code. Weights that start at 0 stay there.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and layer.weight.any():
            gain = nn.init.calculate_gain("leaky_relu", SLOPE)
            layer.weight.normal_(0, gain / math.sqrt(_inputs(layer)))
            if layer.bias is not None:
                layer.bias.zero_()


def _inputs(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> int:
    """Return how many values each output of a layer is a sum of."""
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.weight[:, 0].numel() // math.prod(layer.stride)
    return layer.weight[0].numel()


def residual_mlp(width: int, depth: int) -> nn.Sequential:
    """Return `depth` residual blocks on vectors (n, width)."""
    blocks = [Residual(nn.Linear(width, width), nn.Linear(width, width)) for _ in range(depth)]
    return nn.Sequential(*blocks, nn.LeakyReLU(SLOPE))


def residual_conv(channels: int, depth: int) -> nn.Sequential:
    """Return `depth` residual blocks of 3x3 convolutions on maps (n, channels, h, w)."""
    blocks = [
        Residual(
            nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        )
        for _ in range(depth)
    ]
    return nn.Sequential(*blocks, nn.LeakyReLU(SLOPE))


def stretches(space: Cells) -> list[tuple[int, bool]]:
    """Return how wide the pieces of a row are: a wide column, or narrow neighbours together."""
    parts: list[tuple[int, bool]] = []
    for size in space.sizes:
        if size <= WIDE and parts and not parts[-1][1]:
            parts[-1] = (parts[-1][0] + size, False)
        else:
            parts.append((size, size > WIDE))
    return parts


class ReadCells(nn.Module):
    """The first layer for a table with wide columns, whose categories have embeddings.

    W x of a one-hot row x is the sum of its categories' embeddings; of a column with thousands of
    them these have few dimensions, and are then carried to the width.
    """

    def __init__(self, space: Cells, width: int) -> None:
        super().__init__()
        self.sizes = [size for size, _ in stretches(space)]
        self.layers = nn.ModuleList(_embedded(n, width, wide) for n, wide in stretches(space))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the first hidden layer (n, width) of rows (n, cells)."""
        parts = zip(self.layers, x.split(self.sizes, 1), strict=True)
        return cast(Tensor, sum((layer(part) for layer, part in parts), self.bias))


def _embedded(size: int, width: int, wide: bool) -> nn.Module:
    """Return a linear map of one-hot rows; by way of an embedding where there are many cells."""
    if not wide:
        return nn.Linear(size, width, bias=False)
    embedding = nn.Linear(size, EMBEDDING, bias=False)
    nn.init.normal_(embedding.weight, std=EMBEDDING**-0.5)  # one entry a row, so no fan-in
    return nn.Sequential(embedding, nn.Linear(EMBEDDING, width, bias=False))


class WriteCells(nn.Module):
    """The last layer for a table with wide columns: their logits are factorised.

    logits = E (P h), with as many dimensions between as an embedding has.
    """

    def __init__(self, space: Cells, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, EMBEDDING, bias=False), nn.Linear(EMBEDDING, size))
            if wide
            else nn.Linear(width, size)
            for size, wide in stretches(space)
        )

    def forward(self, h: Tensor) -> Tensor:
        """Return the logits (n, cells) of features (n, width)."""
        return torch.cat([layer(h) for layer in self.layers], 1)


def _has_wide(space: Space) -> TypeGuard[Cells]:
    return isinstance(space, Cells) and max(space.sizes) > WIDE


class ClassEmbedding(nn.Module):
    """Adds an embedding of c to the first hidden layer; without classes it adds nothing."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(classes, width, bias=False) if classes else None

    def forward(self, h: Tensor, c: Tensor | None) -> Tensor:
        """Return h (n, width, ...) moved by the embedding of c (n, classes)."""
        if self.embedding is None:
            return h
        if c is None:
            msg = "this model was built with a condition: pass c (n, classes)"
            raise ModelError(msg)
        shift = cast(Tensor, self.embedding(c))
        return h + shift.reshape(*shift.shape, *(1,) * (h.dim() - 2))


class MapReader(nn.Module):
    """Carries images x (n, channels, height, width) to maps of features (n, width, h, w).

    h and w are the last of `pyramid`.
    """

    def __init__(self, space: Image, classes: int, width: int, depth: int) -> None:
        super().__init__()
        channels = widths(len(pyramid(space)) - 1, width)
        self.first = nn.Conv2d(space.channels, channels[0], 3, stride=2, padding=1)
        strided: list[nn.Module] = []
        for wide, wider in pairwise(channels):
            strided += [nn.LeakyReLU(SLOPE), nn.Conv2d(wide, wider, 3, stride=2, padding=1)]
        self.rest = nn.Sequential(*strided, residual_conv(width, depth))
        self.condition = ClassEmbedding(classes, channels[0])
        keep_variance(self)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the map of features (n, width, h, w)."""
        return cast(Tensor, self.rest(self.condition(self.first(x), c)))


class VectorReader(nn.Module):
    """Carries rows x (n, size) of vectors or cells to features (n, width)."""

    def __init__(self, space: Vector | Cells, classes: int, width: int, depth: int) -> None:
        super().__init__()
        self.first = ReadCells(space, width) if _has_wide(space) else _linear(space, width)
        self.rest = residual_mlp(width, depth)
        self.condition = ClassEmbedding(classes, width)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the features (n, width)."""
        return cast(Tensor, self.rest(self.condition(self.first(x), c)))


class ImageReader(nn.Module):
    """Carries images x to features (n, width): a map, flattened and joined by a linear layer."""

    def __init__(self, space: Image, classes: int, width: int, depth: int) -> None:
        super().__init__()
        height, wide = pyramid(space)[-1]
        self.map = MapReader(space, classes, width, depth)
        self.join = nn.Sequential(
            nn.Flatten(), nn.Linear(width * height * wide, width), nn.LeakyReLU(SLOPE)
        )
        keep_variance(self.join)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the features (n, width)."""
        return cast(Tensor, self.join(self.map(x, c)))


class Double(nn.Module):
    """Doubles a map's sides by a transposed convolution and crops it to `size`."""

    def __init__(self, channels: int, out: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)
        self.size = size

    def forward(self, h: Tensor) -> Tensor:
        """Return the map (n, out, *size)."""
        return cast(Tensor, self.up(h))[..., : self.size[0], : self.size[1]]


class VectorWriter(nn.Module):
    """Carries codes z (n, latent) to `outputs` numbers for each value of a vector or a cell."""

    def __init__(
        self,
        space: Vector | Cells,
        latent: int,
        outputs: int,
        classes: int,
        width: int,
        depth: int,
    ) -> None:
        super().__init__()
        self.first = nn.Linear(latent, width)
        self.condition = ClassEmbedding(classes, width)
        self.rest = nn.Sequential(residual_mlp(width, depth), _last(space, outputs, width))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the outputs (n, outputs * size)."""
        return cast(Tensor, self.rest(self.condition(self.first(z), c))).float()


class MapWriter(nn.Module):
    """Carries maps of codes z (n, latent, h, w) to images (n, outputs * channels, height, width).

    h and w are the last of `pyramid`.
    """

    def __init__(
        self, space: Image, latent: int, outputs: int, classes: int, width: int, depth: int
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(latent, width, 1)
        self.condition = ClassEmbedding(classes, width)
        self.rest = _doubled(space, outputs, width, depth)
        keep_variance(self)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the images of outputs."""
        return cast(Tensor, self.rest(self.condition(self.first(z), c))).float()


class ImageWriter(nn.Module):
    """Carries codes z (n, latent) to images (n, outputs * channels, height, width)."""

    def __init__(
        self, space: Image, latent: int, outputs: int, classes: int, width: int, depth: int
    ) -> None:
        super().__init__()
        height, wide = pyramid(space)[-1]
        hidden = HIDDEN * width
        self.first = nn.Linear(latent, hidden)
        self.condition = ClassEmbedding(classes, hidden)
        self.rest = nn.Sequential(
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, width * height * wide),
            nn.Unflatten(1, (width, height, wide)),
            _doubled(space, outputs, width, depth),
        )
        keep_variance(self)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the images of outputs."""
        return cast(Tensor, self.rest(self.condition(self.first(z), c))).float()


def _linear(space: Vector | Cells, width: int) -> nn.Module:
    return nn.Linear(values(space), width)


def _last(space: Vector | Cells, outputs: int, width: int) -> nn.Module:
    """Return the last layer of a writer of vectors or cells."""
    if _has_wide(space):
        return WriteCells(space, width)
    return nn.Linear(width, outputs * values(space))


def _doubled(space: Image, outputs: int, width: int, depth: int) -> nn.Sequential:
    """Return the strided part of `MapReader`, the other way round."""
    sizes = pyramid(space)
    channels = [outputs * space.channels, *widths(len(sizes) - 1, width)]
    doubled: list[nn.Module] = []
    for level in range(len(sizes) - 2, -1, -1):
        doubled += [Double(channels[level + 1], channels[level], sizes[level]), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(residual_conv(width, depth), *doubled[:-1])


class Networks(Protocol):
    """What builds the trunks of a model's players: the library's own, or a user's.

    A class is called with `(width, depth)`; conditions c are one-hot rows (n, classes), or None.
    """

    @property
    def width(self) -> int:
        """The width of the features."""

    def reader(self, space: Space, classes: int) -> nn.Module:
        """Return a module that carries (x, c) to features (n, width)."""

    def writer(self, space: Space, latent: int, outputs: int, classes: int) -> nn.Module:
        """Return a module that carries (z, c), z (n, latent), to outputs for each value of a row.

        Their shape is (n, outputs * size) for vectors and cells, and (n, outputs * channels,
        height, width) for images.
        """

    def map_reader(self, space: Image, classes: int) -> nn.Module:
        """Return a module that carries images to maps (n, width, h, w), for codes that are maps."""

    def map_writer(self, space: Image, latent: int, outputs: int, classes: int) -> nn.Module:
        """Return a module that carries maps (n, latent, h, w) to outputs for each value."""


@dataclass(frozen=True)
class Trunks:
    """The library's own networks: residual MLPs, and strided convolutions for images."""

    width: int
    depth: int

    def reader(self, space: Space, classes: int) -> nn.Module:
        """Return what carries rows x, and their condition c, to features (n, width)."""
        if isinstance(space, Image):
            return ImageReader(space, classes, self.width, self.depth)
        return VectorReader(space, classes, self.width, self.depth)

    def writer(self, space: Space, latent: int, outputs: int, classes: int) -> nn.Module:
        """Return what carries codes z (n, latent), and a condition c, to outputs."""
        if isinstance(space, Image):
            return ImageWriter(space, latent, outputs, classes, self.width, self.depth)
        return VectorWriter(space, latent, outputs, classes, self.width, self.depth)

    def map_reader(self, space: Image, classes: int) -> nn.Module:
        """Return what carries images x, and their condition c, to maps (n, width, h, w)."""
        return MapReader(space, classes, self.width, self.depth)

    def map_writer(self, space: Image, latent: int, outputs: int, classes: int) -> nn.Module:
        """Return what carries maps z (n, latent, h, w), and a condition c, to outputs."""
        return MapWriter(space, latent, outputs, classes, self.width, self.depth)
