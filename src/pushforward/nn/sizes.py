"""How large networks are, how long their codes, and how many rows a step sees: one dial.

A wide network learns more from each row, and sees fewer rows in the same time. So for images the
width follows from what the budget affords: it is the largest of `WIDTHS` that still sees
`ROWS_A_UNIT` training rows for each unit of its width. What a row costs is counted (multiplications
of the trunks), and how many of them a device does in a second is a round number: the dial gives the
same networks on every machine. `size` multiplies the width. What was chosen is recorded in a run's
config, as if it had been given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pushforward.space import Cells, Image, Space, Vector, values

WIDTHS = (16, 32, 64, 128, 256)
ROWS_A_UNIT = 4000
EPOCHS = 300  # times that a row can teach something
REFERENCE_WIDTH = {"loss": 320, "distance": 96}  # where a turn's own learning rate suits images
GAMES_ON_TABLES = 2.0  # a longer step of players against each other; the game ends at 6 times
NARROW = {"loss": 32, "distance": 16}  # narrower networks of images have the rate of this width
BETAS, BETAS_ON_IMAGES = (0.9, 0.999), (0.8, 0.95)
FEW_ROWS, LONGEST = 5000, 3.0  # a table of so many has the turn's own; of more, up to 3 times that
SPEED = {"cpu": 2e10, "cuda": 5e12}  # multiplications a second
WORK_A_THREAD = 2e8  # multiplications of a network's step that keep a thread busy
PASSES = 6  # forwards that a training step costs: a VAE's 3, a GAN's with R1 about 8
BOTTOM = 4  # images are halved until the shorter side is at most this
NARROWEST = 16  # channels of the finest level


@dataclass(frozen=True)
class Size:
    """What the dial sets.

    Args:
        width: of the networks: units of a hidden layer, channels of the coarsest map.
        depth: residual blocks of each network.
        latent: dimension of z.
        batch_size: rows a step.
    """

    width: int
    depth: int
    latent: int
    batch_size: int


DEFAULT = {
    Vector: Size(width=256, depth=2, latent=32, batch_size=256),
    Cells: Size(width=256, depth=2, latent=64, batch_size=256),
    Image: Size(width=32, depth=1, latent=32, batch_size=64),
}


@dataclass(frozen=True)
class Means:
    """What there is to learn from, and what a budget affords; None is no limit.

    Args:
        distinct: training rows.
        rows: that the budget lets a model see, each time counted.
        seconds: that it lasts.
        device: the type of the device.
    """

    distinct: int | None = None
    rows: float | None = None
    seconds: float | None = None
    device: str = "cpu"


def size_of(space: Space, means: Means | None = None) -> Size:
    """Return the size for data of this space; without means, a middling one."""
    default = DEFAULT[type(space)]
    if not isinstance(space, Image):
        return default
    width = default.width if means is None else _affordable(space, means)
    return Size(width, default.depth, _latent(space), default.batch_size)


def pace(space: Space, width: int, selection: Literal["loss", "distance"], rows: int) -> float:
    """Return the factor of the learning rates that suits networks of a width, and training rows.

    A weight of a wide layer is one of many that move together: Adam's steps must be smaller, as
    1 / width (Yang et al. 2021, "Tensor programs V"), but for networks narrower than `NARROW`.
    Players that lower one loss (`selection`) may take longer steps than players against each other,
    who must follow what the others do. On a table the steps of a loss are the longer the more rows
    there are, since long ones learn few rows by heart; those of players against each other are
    twice the turn's own.
    """
    if isinstance(space, Cells):
        longer = min(max(math.sqrt(rows / FEW_ROWS), 1.0), LONGEST)
        return longer if selection == "loss" else GAMES_ON_TABLES
    if not isinstance(space, Image):
        return 1.0
    return REFERENCE_WIDTH[selection] / max(width, NARROW[selection])


def adam_betas(space: Space) -> tuple[float, float]:
    """Return Adam's averaging of gradient and squared gradient, for turns without their own.

    torch's own but for images, where a shorter memory measured better (docs/images-measured.md):
    steps are long (`pace`), runs short, and gradients grow tenfold while a likelihood becomes
    sharp.
    """
    return BETAS_ON_IMAGES if isinstance(space, Image) else BETAS


def _affordable(space: Image, means: Means) -> int:
    """Return the largest width that sees enough rows."""
    return max((w for w in WIDTHS if _rows(space, w, means) >= ROWS_A_UNIT * w), default=WIDTHS[0])


def _rows(space: Image, width: int, means: Means) -> float:
    """Return the rows that networks of a width see and learn from."""
    limits = [means.rows, means.distinct and EPOCHS * means.distinct]
    if means.seconds is not None:
        cost = PASSES * multiplications(space, width)
        limits.append(means.seconds * SPEED.get(means.device, SPEED["cuda"]) / cost)
    return min((limit for limit in limits if limit is not None), default=math.inf)


def busy_threads(space: Space, width: int, rows: int) -> int:
    """Return how many threads the steps of networks of a width keep busy, on so many rows.

    The threads of a step meet at each of its hundreds of operations. What a second one saves in
    those of a small network is less than what it takes to wake it (`benchmarks/threads.py`).
    """
    return max(1, int(multiplications(space, width) * rows / WORK_A_THREAD))


def multiplications(space: Space, width: int) -> int:
    """Return those of a reader of a row of this space, of a width and the default depth.

    A writer has about as many.
    """
    depth = DEFAULT[type(space)].depth
    if not isinstance(space, Image):
        return values(space) * width + 2 * depth * width**2
    sizes = [height * wide for height, wide in pyramid(space)]
    channels = [space.channels, *widths(len(sizes) - 1, width)]
    strided = sum(9 * m * a * b for m, (a, b) in zip(sizes[1:], pairwise(channels), strict=True))
    return strided + (2 * depth * 9 + 1) * sizes[-1] * width**2


def _latent(space: Image) -> int:
    """Return a power of 2, about the square root of an image's values."""
    return min(128, max(32, 1 << round(math.log2(values(space)) / 2)))


def pyramid(space: Image) -> list[tuple[int, int]]:
    """Return the sizes of an image halved (rounded up) until its shorter side is at most BOTTOM."""
    sizes = [(space.height, space.width)]
    while min(sizes[-1]) > BOTTOM:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def widths(levels: int, top: int) -> list[int]:
    """Return the channels of each level, finest first: halved upwards from `top`."""
    least = min(NARROWEST, top)
    return [max(least, top >> (levels - 1 - level)) for level in range(levels)]
