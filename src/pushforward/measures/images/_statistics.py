"""Numbers of single images, in each of which an artefact shows; all take (n, c, h, w) in [-1, 1].

A grey level is 2/255. Each returns (n, k), k views of the same thing.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, pad

GREY_LEVEL = 2 / 255
PERIODS = (2, 4, 8)  # pixels: what strides of 2, once to three times, leave behind
BESIDE = (2, 3)  # frequencies to either side with which that of a grid is compared
LOWEST = 2  # frequency that is compared: below is the image's content
PATCHES = 8  # a corner is an eighth of a side
SMALLEST = 8  # pixels a side of what spots are looked for in


def colours(x: Tensor) -> Tensor:
    """Return the mean of all channels, and how far that of each is from it (n, 1 or 1 + c)."""
    means = x.mean((2, 3))
    brightness = means.mean(1, keepdim=True)
    return brightness if x.shape[1] == 1 else torch.cat([brightness, means - brightness], 1)


def grids(x: Tensor) -> Tensor:
    """Return how much power a period has, against frequencies beside it: logs (n, periods x 2).

    Of the grey image's rows and columns, under Hann's window. Periods that do not divide a side, or
    have nothing to be compared with, are left out; a side without any has 0.
    """
    grey = x.mean(1)
    return torch.cat([_peaks(grey), _peaks(grey.mT)], 1)


def _peaks(lines: Tensor) -> Tensor:
    """Return the logs (n, periods) of power at each period along the last axis of (n, h, w)."""
    width = lines.shape[2]
    window = torch.hann_window(width, dtype=lines.dtype, device=lines.device)
    centred = (lines - lines.mean(2, keepdim=True)) * window
    power = torch.fft.rfft(centred).abs().square().mean(1)
    power = (power + window.square().sum() * GREY_LEVEL**2).log()
    found = [_peak(power, width // p) for p in PERIODS if width % p == 0]
    return torch.stack([p for p in found if p is not None] or [power.new_zeros(len(power))], 1)


def _peak(power: Tensor, f: int) -> Tensor | None:
    last = power.shape[1] - 1
    beside = [f + s * d for d in BESIDE for s in (-1, 1) if LOWEST <= f + s * d <= last]
    return power[:, f] - power[:, beside].mean(1) if beside else None


def softness(x: Tensor) -> Tensor:
    """Return -log of the energy of the differences of neighbours over that at half the size."""
    grey = x.mean(1, keepdim=True)
    fine, coarse = (_differences(level) + GREY_LEVEL**2 for level in (grey, avg_pool2d(grey, 2)))
    return (coarse.log() - fine.log())[:, None]


def _differences(x: Tensor) -> Tensor:
    across, down = x.diff(dim=3), x.diff(dim=2)
    return across.square().mean((1, 2, 3)) + down.square().mean((1, 2, 3))


def corners(x: Tensor) -> Tensor:
    """Return how much brighter each corner is than what lies beside it on both edges (n, 4)."""
    grey = x.mean(1)
    s = max(1, min(grey.shape[1:]) // PATCHES)
    turned = (grey, grey.flip(1), grey.flip(2), grey.flip(1, 2))
    return torch.stack([_corner(image, s) for image in turned], 1)


def _corner(image: Tensor, s: int) -> Tensor:
    own, right, below = image[:, :s, :s], image[:, :s, s : 2 * s], image[:, s : 2 * s, :s]
    return own.mean((1, 2)) - (right.mean((1, 2)) + below.mean((1, 2))) / 2


def spots(x: Tensor) -> Tensor:
    """Return the contrast of the spot that stands out most in any channel (n, 1).

    A spot is 3 x 3 pixels whose mean is above, or below, that of all 3 x 3 pixels on the ring three
    pixels away; of the image, and of its halvings down to 8 pixels a side. Means, so that it is not
    noise that hides spots, nor blur that brings them out.
    """
    found = [_spot(x)]
    while min(x.shape[2:]) >= 2 * SMALLEST:
        x = avg_pool2d(x, 2)
        found.append(_spot(x))
    return torch.stack(found).amax(0)[:, None]


def _spot(x: Tensor) -> Tensor:
    means = avg_pool2d(pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.maximum(_bright(means), _bright(-means)).clamp(min=0)


def _bright(means: Tensor) -> Tensor:
    rows, columns = max_pool2d(means, (1, 7), 1), max_pool2d(means, (7, 1), 1)
    sides = (rows[..., :-6, :], rows[..., 6:, :], columns[..., :-6], columns[..., 6:])
    ring = torch.stack(sides).amax(0)
    return (means[..., 3:-3, 3:-3] - ring).flatten(1).amax(1)
