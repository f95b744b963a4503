"""What an image looks like, in numbers that need no training: statistics of its differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures.features._statistics import SMALLEST, statistics
from pushforward.measures.features.maps import PCA, Features, Standardised

COLOURS = 4  # axes of colour that are kept, at most
COMPONENTS = 12  # of each group of statistics, at most
ROWS_A_COMPONENT = 8  # reference images, at least: with fewer, axes fit these images alone
ROWS, PIXELS = 2000, 1 << 22  # of the reference that are looked at, at most
FEWEST_ROWS = 200  # where images are so large that these have more pixels
COLOUR_PIXELS = 20_000  # from which the axes of colour are taken
WEIGHTS = (0.5, 0.5, 1.0, 1.0, 1.0)  # of content, layout, strength, sparsity, what is joint
FAINT = 0.03  # of the mean variance of a group's statistics: with less, none is widened
SMALLEST_SPREAD = 0.01  # of a component that is widened
PIXELS_AT_ONCE = 1 << 16  # they fit a CPU's cache


@dataclass(frozen=True)
class Group:
    """Principal components of statistics, widened and narrowed towards each other.

    Args:
        standardise: brings the statistics to about the same spread.
        compress: takes the principal components.
        scale: what they are multiplied by.
    """

    standardise: Standardised
    compress: PCA
    scale: Tensor

    @classmethod
    def fit(cls, x: Tensor, weight: float) -> Group:
        """Fit to the reference's statistics x (n, d); the features have a total variance `weight`.

        A statistic that hardly varies in the reference, such as the colour of grey images, is not
        widened to the spread of the others: what is seen of it would be noise. A component of
        standard deviation s is given sqrt(s) instead, times a constant: with s the first would
        drown the others, with 1 the last would be noise that drowns the first.
        """
        variance = x.double().var(0)
        scale = (variance + FAINT * variance.mean()).sqrt()
        standardise = Standardised(x.double().mean(0), torch.where(scale > 0, scale, 1.0))
        known = standardise(x)
        compress = PCA.fit(known, max(1, min(COMPONENTS, len(x) // ROWS_A_COMPONENT)))
        spread = compress(known).std(0).clamp(min=SMALLEST_SPREAD)
        return cls(standardise, compress, (weight / spread.sum() / spread).sqrt())

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features (n, components) of statistics (n, d)."""
        components = self.compress(self.standardise(x))
        return components * self.scale.to(components)

    def tensors(self) -> list[Tensor]:
        """Return all fitted tensors."""
        return [*self.standardise.tensors(), *self.compress.tensors(), self.scale]


class ImageStatistics(Features):
    r"""Up to 60 numbers that say what an image looks like. Nothing is trained.

    The image x, in the reference's axes of colour, is halved again and again by the means of 2 x 2
    pixels, down to less than 8 a side. In each block of 2 x 2 pixels a, b over c, d of each of
    these levels, five differences are taken of every colour: (b + d - a - c) / 2 and
    (c + d - a - b) / 2, d - a, c - b, and (a + d - b - c) / 2. These are the bands w: edges of four
    orientations, and a checkerboard. With means E over the image, and f = (8/255)^2, the square of
    4 grey levels, below which a difference is hardly seen, the statistics are

    - content: the image in 8 x 8 cells;
    - layout: in each of 4 x 4 cells, the root of each band's share in the squares of all;
    - strength: log(E w^2 + f); the mean, and the log variance, of each colour;
    - sparsity: log((E|w|)^2 + f) - log(E w^2 + f), as edges are rare and strong, and noise is
      everywhere; log(E |grad |w||^2 + f) - log(E w^2 + f), as edges lie beside each other;
    - what is joint: the correlations of |w| in two bands of a level, and of a band in two levels.

    (306 numbers for a grey image of 28 x 28 pixels, 1,068 for one of 32 x 32 in colours.) A
    Gaussian fit has the content and the strength of the images, but its differences are neither
    sparse nor joint. Each statistic is divided by the root of its variance plus 0.03 of its group's
    mean variance in the reference, and of each group the principal components are kept, at most 12.
    A component z of standard deviation s becomes

    $$z \sqrt{w / (s \sum_i s_i)}$$

    with w = 1/2 for content and layout, and 1 for the other groups, which is the total variance of
    the group then: no group drowns another in a Euclidean distance, nor do the first components the
    others.

    Args:
        colours: the axes of colour, at most 4 (axes, channels).
        groups: what is made of each group of statistics.

    Reference:
        Portilla & Simoncelli 2000, "A parametric texture model based on joint statistics of complex
        wavelet coefficients"; Bruna & Mallat 2013, "Invariant scattering convolution networks";
        Dalal & Triggs 2005, "Histograms of oriented gradients for human detection".
    """

    def __init__(self, colours: PCA, groups: list[Group]) -> None:
        self.colours, self.groups = colours, groups

    @classmethod
    def fit(cls, reference: Tensor, *, seed: int = 0) -> Self:
        """Take means, spreads and axes from the reference (n, channels, height, width) in [-1, 1].

        At most 2,000 of its images are looked at, fewer of large ones, drawn by the seed. The
        reference may be one of the samples that are compared afterwards: a component is kept for at
        least 8 images.

        Raises:
            MeasureError: for what is not a batch of images, fewer than 2, and less than 8 pixels a
                side.
        """
        if reference.ndim != 4 or len(reference) < 2 or min(reference.shape[2:]) < SMALLEST:
            raise MeasureError(
                "features of images need images (n, channels, height, width), at least 2 and "
                f"{SMALLEST} pixels a side; given {tuple(reference.shape)}"
            )
        generator = torch.Generator().manual_seed(seed)
        known = reference[torch.randperm(len(reference), generator=generator)[: _rows(reference)]]
        pixels = known.movedim(1, -1).flatten(0, 2)
        drawn = torch.randperm(len(pixels), generator=generator)[:COLOUR_PIXELS]
        colours = PCA.fit(pixels[drawn], COLOURS)
        return cls(colours, [*map(Group.fit, _statistics(known, colours), WEIGHTS)])

    @property
    def name(self) -> str:
        """Always the same."""
        return "image-statistics"

    def __call__(self, x: Any) -> Tensor:
        """Return the features (n, d), float32, of images (n, channels, height, width)."""
        found = _statistics(torch.as_tensor(x), self.colours)
        return torch.cat([of(s) for of, s in zip(self.groups, found, strict=True)], 1).float()

    def tensors(self) -> list[Tensor]:
        """Return all fitted tensors."""
        return [*self.colours.tensors(), *(t for group in self.groups for t in group.tensors())]


def _rows(images: Tensor) -> int:
    return min(ROWS, max(FEWEST_ROWS, PIXELS // images[0, 0].numel()))


def _statistics(images: Tensor, colours: PCA) -> list[Tensor]:
    """Return the groups of statistics (n, d) of images, a few images at a time."""
    axes = colours.axes.to(images.device, torch.float32)
    size = max(1, PIXELS_AT_ONCE // images[0, 0].numel())
    with torch.no_grad():
        parts = [
            statistics(torch.einsum("nchw,kc->nkhw", part.float(), axes))
            for part in torch.split(images, size)
        ]
    return [torch.cat(group) for group in zip(*parts, strict=True)]
