"""Statistics of an image and its differences; `ImageStatistics` has their formulas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

FLOOR = (8 / 255) ** 2  # the square of a difference of 4 of 255 grey levels, in [-1, 1]
SMALLEST = 8  # pixels a side of an image, and of a level that is halved
LAYOUT_CELLS, CONTENT_CELLS = 4, 8  # a side


def statistics(x: Tensor) -> list[Tensor]:
    """Return content, layout, strength, sparsity with clustering, and what is joint, each (n, d).

    Args:
        x: images (n, colours, height, width).
    """
    levels = pyramid(x)
    bands = [differences(level) for level in levels]
    sizes = [w.flatten(1, 2).abs() for w in bands]
    large = sum(_is_large(level) for level in levels)
    return [
        cells(x, CONTENT_CELLS).flatten(1),
        torch.cat([layout(w) for w in bands[:large]], 1),
        torch.cat([x.mean((2, 3)), log(x.var((2, 3))), *(log(_power(a)) for a in sizes)], 1),
        torch.cat([*map(sparsity, sizes), *map(clustering, sizes[:large])], 1),
        torch.cat([*map(joint, sizes), *map(joint_levels, sizes, sizes[1:])], 1),
    ]


def pyramid(x: Tensor) -> list[Tensor]:
    """Return images, and all halves of them down to less than 8 pixels a side."""
    levels = [x]
    while _is_large(levels[-1]):
        levels.append(halved(levels[-1]))
    return levels


def halved(x: Tensor) -> Tensor:
    """Return the means of 2 x 2 pixels; of fewer, at an odd border."""
    return avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def cells(x: Tensor, side: int) -> Tensor:
    """Return the means in side x side cells; no more cells than pixels."""
    return adaptive_avg_pool2d(x, (min(side, x.shape[2]), min(side, x.shape[3])))


def differences(x: Tensor) -> Tensor:
    """Return the five bands (n, colours, 5, height - 1, width - 1)."""
    a, b = x[..., :-1, :-1], x[..., :-1, 1:]
    c, d = x[..., 1:, :-1], x[..., 1:, 1:]
    falling, rising = d - a, c - b
    across, down = (falling - rising) / 2, (falling + rising) / 2
    return torch.stack([across, down, falling, rising, (a + d - b - c) / 2], 2)


def layout(w: Tensor) -> Tensor:
    """Return the roots of the bands' shares in each cell's squares, of all colours, (n, d)."""
    squares = cells(w.square().sum(1), LAYOUT_CELLS)
    return (squares / (squares.sum(1, keepdim=True) + 10 * FLOOR)).sqrt().flatten(1)


def sparsity(a: Tensor) -> Tensor:
    """Return log((E|w|)^2) - log(E w^2) of sizes a = |w| (n, bands, ...)."""
    return log(a.mean((2, 3)).square()) - log(_power(a))


def clustering(a: Tensor) -> Tensor:
    """Return log(E |grad |w||^2) - log(E w^2), the gradient that of |w| halved."""
    across, down = differences(halved(a)).unbind(2)[:2]
    return log(_power(across) + _power(down)) - log(_power(a))


def joint(a: Tensor) -> Tensor:
    """Return the correlations of sizes a = |w| (n, bands, ...) in each two bands."""
    z = _standardised(a)
    first, second = torch.triu_indices(z.shape[1], z.shape[1], 1).unbind()
    return (z @ z.mT)[:, first, second]


def joint_levels(fine: Tensor, coarse: Tensor) -> Tensor:
    """Return the correlations of each band's sizes in a level and the next."""
    small = halved(fine)
    h, w = (min(sides) for sides in zip(small.shape[2:], coarse.shape[2:], strict=True))
    x, y = (_standardised(a[..., :h, :w]) for a in (small, coarse))
    return (x * y).sum(2)


def log(squares: Tensor) -> Tensor:
    """Return the logarithm of squares, those below the floor near its own."""
    return (squares + FLOOR).log()


def _is_large(x: Tensor) -> bool:
    return min(x.shape[2:]) >= SMALLEST


def _power(a: Tensor) -> Tensor:
    return a.square().mean((2, 3))


def _standardised(a: Tensor) -> Tensor:
    """Return centred maps (n, bands, pixels) whose squares sum to 1, or less near the floor."""
    z = a.flatten(2)
    z = z - z.mean(2, keepdim=True)
    return z / (z.square().sum(2, keepdim=True) + z.shape[2] * FLOOR).sqrt()
