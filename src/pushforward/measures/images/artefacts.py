"""Artefacts that networks leave in images: VIVAT's checklist, in numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._inputs import require_at_least
from pushforward.measures._intervals import (
    normal_interval,
    permutation_masks,
    permutation_test,
)
from pushforward.measures.images import _statistics
from pushforward.measures.measurement import Measurement, Scorecard

ROWS, PIXELS = 1000, 1 << 22  # images a side that are looked at, and their pixels, at most
LARGE = 64  # images where they are so large that these have more pixels
FEWEST = 8  # images a side, at least: the null halves the real ones
HALVINGS = 32  # of the real images
SIDE = 8  # pixels, at least


@dataclass(frozen=True)
class Artefact:
    """What to look for in images.

    Args:
        name: of the measurement.
        what: in words: what generated images have.
        statistic: maps images (n, c, h, w) to numbers (n, k).
        matters: the smallest value that a person would call by this name.
        floor: of the spread by which differences are divided; None where they are logarithms and
            are not divided by any.
        two_sided: whether less is as strange as more.
    """

    name: str
    what: str
    statistic: Callable[[Tensor], Tensor]
    matters: float
    floor: float | None = None
    two_sided: bool = False

    @property
    def unit(self) -> str:
        """Of the value."""
        return "nats" if self.floor is None else "standard deviations"

    def spread(self, numbers: Tensor) -> Tensor:
        """Return what differences are divided by, (k,)."""
        if self.floor is None:
            return numbers.new_ones(numbers.shape[1])
        return (numbers.var(0) + self.floor**2).sqrt()

    def strongest(self, difference: Tensor) -> Tensor:
        """Return the largest of differences (..., k), by size where less is as strange as more."""
        return (difference.abs() if self.two_sided else difference).amax(-1)


LOG_2 = 0.6931
LEVELS = 8 * _statistics.GREY_LEVEL  # a spread below 8 grey levels is hardly seen
ARTEFACTS = (
    Artefact("colour_shift", "another brightness or tint", _statistics.colours, 0.5, LEVELS, True),
    Artefact("grid_pattern", "a pattern that repeats every few pixels", _statistics.grids, LOG_2),
    Artefact("blur", "fewer fine details", _statistics.softness, LOG_2),
    Artefact("corner_spots", "corners that stand out", _statistics.corners, 0.5, LEVELS, True),
    Artefact("droplets", "spots that stand alone", _statistics.spots, 0.5, LEVELS),
)


def artefacts(x: Any, y: Any, *, permutations: int = 199, seed: int = 0) -> Scorecard:
    r"""Artefacts of networks in generated images: shifted colours, grids, blur, corners, droplets.

    Each is a number s of a single image (or several, of which the worst counts), and the value is

    $$\max_k \frac{\bar s_k(y) - \bar s_k(x)}{\sqrt{\mathrm{var}\, s_k(x) + f^2}}$$

    with f of 8 grey levels; of logarithms the difference itself.

    - colour_shift: the mean of all channels, and that of each without it; either way.
    - grid_pattern: the log of the power at periods of 2, 4 and 8 pixels, along rows and columns,
      over that of the frequencies beside (2 and 3 away).
    - blur: the log of the energy of differences of neighbouring pixels at half the size, over that
      at full size.
    - corner_spots: how much brighter each corner (an eighth of a side) is than what lies beside it
      on both edges; either way.
    - droplets: the contrast of the spot that stands out most: 3 x 3 pixels whose mean is beyond
      that of all 3 x 3 pixels on the ring three pixels around, at full size and at each halving.

    Args:
        x: the real images (n, channels, height, width), from -1 to 1.
        y: the generated ones, of the same shape.
        permutations: of the pooled images, for the p-values.
        seed: of permutations, halvings and left-out images.

    Returns:
        A scorecard with these five. A value is worth a finding from 0.5 standard deviations of
        the real images on (Cohen's medium effect), and of logarithms from log 2 on: twice the
        power, half the energy. The interval is for the difference of the means, over both samples.

    Raises:
        MeasureError: for anything but two batches of images of one shape, at least 8 a side and 8
            pixels, and NaN or infinity.

    Sees:
        what the names say, on average over the images. It needs no pairs of an image and its
        reconstruction, so it takes any generator's samples.

    Misses:
        what only a few images have, and artefacts of other shapes: grids of other periods, spots
        that are larger than a fifth of the image. A different mix of kinds of images can look like
        shifted colours; noise hides blur; a grid is known by its spectrum alone, which sharp spots
        and edges that real images do not have also change.

    Null:
        The mean value of one half of the real images against the other half, over 32 random
        halvings, brought to these sizes by the standard error. Above 0 where the worst of several
        counts.

    Cost:
        O((n + m) pixels). At most 1,000 images a side are looked at, fewer of large ones. Measured:
        1.2 s for 1,000 a side of 32 x 32 pixels in colours, on one core.

    Reference:
        Novitskiy et al. 2025, "VIVAT: virtuous improving VAE training through artifact mitigation";
        Odena et al. 2016, "Deconvolution and checkerboard artifacts"; Karras et al. 2020,
        "Analyzing and improving the image quality of StyleGAN" (droplets).
    """
    require_at_least(0, permutations=permutations)
    real, fake = _images(x, "real", seed), _images(y, "generated", seed)
    if real.shape[1:] != fake.shape[1:]:
        raise MeasureError(
            f"both samples need images of one shape: {tuple(real.shape[1:])} and "
            f"{tuple(fake.shape[1:])}"
        )
    generator = torch.Generator().manual_seed(seed)
    is_real = permutation_masks(len(real), len(fake), permutations, generator)
    halves = permutation_masks(len(real) // 2, len(real) - len(real) // 2, HALVINGS, generator)
    return Scorecard(
        {a.name: _measured(a, a.statistic(real), a.statistic(fake), is_real, halves)
         for a in ARTEFACTS}
    )  # fmt: skip


def _images(x: Any, name: str, seed: int) -> Tensor:
    """Return at most so many images as are looked at."""
    images = torch.as_tensor(x)
    if images.ndim != 4 or len(images) < FEWEST or min(images.shape[2:]) < SIDE:
        raise MeasureError(
            f"artefacts needs images (n, channels, height, width), at least {FEWEST} of {SIDE} "
            f"pixels a side; the {name} sample has shape {tuple(images.shape)}"
        )
    size = max(LARGE, min(ROWS, PIXELS // images[0].numel()))
    drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:size]
    images = images[drawn.to(images.device)].float()
    if not bool(images.isfinite().all()):
        raise MeasureError(f"the {name} sample has NaN or infinity; drop such images first")
    return images


def _measured(
    artefact: Artefact, real: Tensor, fake: Tensor, is_real: Tensor, halves: Tensor
) -> Measurement:
    """Return an artefact's measurement from the numbers of single images (n, k) and (m, k)."""
    real, fake = real.double().cpu(), fake.double().cpu()
    n, m, spread = len(real), len(fake), artefact.spread(real)
    difference = (fake.mean(0) - real.mean(0)) / spread
    worst = int((difference.abs() if artefact.two_sided else difference).argmax())
    value = float(artefact.strongest(difference))
    error = float(((real.var(0) / n + fake.var(0) / m).sqrt() / spread)[worst])
    low, high = normal_interval(value, error)
    shrunk = ((1 / n + 1 / m) / (1 / (n // 2) + 1 / (n - n // 2))) ** 0.5
    null = shrunk * float(artefact.strongest(_differences(real, halves) / spread).mean())
    p_value, verdict = _test(artefact, torch.cat([real, fake]), n, is_real)
    return Measurement(
        artefact.name, value, low, high, covers="both samples", null=null, p_value=p_value, n=n,
        m=m, unit=artefact.unit, reading=f"{artefact.what}: {verdict}",
        extra={"matters": artefact.matters},
    )  # fmt: skip


def _differences(numbers: Tensor, first: Tensor) -> Tensor:
    """Return the means of the others minus those of the first, (B, k), for sets (B, n)."""
    chosen = first.to(numbers)
    count = chosen.sum(1, keepdim=True)
    inside = chosen @ numbers
    return (numbers.sum(0) - inside) / (len(numbers) - count) - inside / count


def _test(artefact: Artefact, pooled: Tensor, n: int, is_real: Tensor) -> tuple[float | None, str]:
    """Return the p-value of no difference; spreads are those of the pooled numbers, as it needs."""
    spread = artefact.spread(pooled)
    own = (pooled[n:].mean(0) - pooled[:n].mean(0)) / spread
    permuted = artefact.strongest(_differences(pooled, is_real) / spread)
    return permutation_test(float(artefact.strongest(own)), permuted.numpy())
