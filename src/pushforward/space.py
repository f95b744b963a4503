"""The sample space: what one row looks like to a network, in plain numbers.

The data floor derives it from a schema, the networks and likelihoods are built from it; neither
has to know the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Vector:
    """A point of R^size; a batch is a float tensor (n, size), roughly standardised."""

    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (self.size,)


@dataclass(frozen=True)
class Image:
    """An image; a batch is a float tensor (n, channels, height, width) in [-1, 1].

    Args:
        channels: of each pixel.
        height: in pixels.
        width: in pixels.
        levels: how many values a pixel can have, evenly spaced over [-1, 1]; None where they are
            not known. Spaces that differ in them alone are equal.
    """

    channels: int
    height: int
    width: int
    levels: int | None = field(default=None, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (self.channels, self.height, self.width)


@dataclass(frozen=True)
class FineDigit:
    """A column of a row of cells that says where within its cell the value before it lies.

    Args:
        at: its position among the columns; that of the cells that it divides is `at - 1`.
        shares: (cells, digits) how the values of each of those cells are spread over its digits.
        ranks: (cells, digits) the share of the column's values below the middle of each of them;
            None for a missing value.
        places: (cells, digits) the mean of their values, the column's standardised; likewise.
        logs: (cells, digits) that of their logarithms, likewise; None where they have none.
    """

    at: int
    shares: tuple[tuple[float, ...], ...]
    ranks: tuple[tuple[float | None, ...], ...]
    places: tuple[tuple[float | None, ...], ...]
    logs: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Cells:
    """A table's row: one categorical a column, column j with `sizes[j]` cells.

    A batch is a float tensor (n, sum(sizes)) of rows of concatenated one-hot vectors, or of their
    relaxation: in each column's segment the entries are >= 0 and sum to 1.

    Args:
        sizes: the cells of each column.
        ranks: for each cell of all columns, the share of the column's values below its middle; None
            where cells have no order, or () where none have.
        places: for each of them, the mean of its values, the column's standardised; likewise.
        logs: for each of them, the mean logarithm of its values, the column's standardised;
            likewise, and None in columns that are not of positive numbers.
        fine: the columns that are fine digits of the column before them.
    """

    sizes: tuple[int, ...]
    ranks: tuple[float | None, ...] = ()
    places: tuple[float | None, ...] = field(default=(), repr=False)
    logs: tuple[float | None, ...] = field(default=(), repr=False)
    fine: tuple[FineDigit, ...] = field(default=(), repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (sum(self.sizes),)


Space = Vector | Image | Cells


def values(space: Space) -> int:
    """Return how many numbers one row holds."""
    return math.prod(space.shape)


def total_variance(space: Space) -> float:
    """Return the total variance that data have in this space, as the library scales them.

    Vectors are z-scored (1 a column), and a one-hot column has at most 1. A pixel in [-1, 1] has
    about 1/4, of which a quarter is counted, since neighbours vary together.
    """
    if isinstance(space, Cells):
        return float(len(space.sizes))
    return values(space) * (1 / 16 if isinstance(space, Image) else 1.0)


def slope_scale(space: Space) -> float:
    """Return what makes a penalty on slopes in x, such as |grad_x D(x)|^2, dimensionless.

    It is the variance of data along a slope: that of all values together, as far as each is
    informative alone. Those of images vary together, and a critic's slopes are along what many
    pixels share: a twentieth is counted (measured by `benchmarks/image_defaults.py`). With the
    usual weight, 0.2, R1 of 32x32 images in colour then weighs 2; Huang et al. 2024 let it fall
    from 1 or less for such.
    """
    return total_variance(space) * (1 / 20 if isinstance(space, Image) else 1.0)
