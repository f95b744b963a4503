"""Differentiable augmentation: with few images a critic learns them by heart; variants hinder it.

The critic never sees an image x but T(x, u), with u drawn anew for each row at each look: real and
generated images alike, in the critic's turn and in the generator's (Zhao et al. 2020). T is
differentiable in x, so the generator learns through it what x should be. It does not learn to
augment as long as the distribution of T(x, u) still tells that of x, as it does where each image
stays as it is with some probability (Karras et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pushforward.errors import ModelError, nearest
from pushforward.space import Image, Space

SHIFT = 1 / 8  # of a side: the farthest translation
CUT = 1 / 2  # of a side: the square (rectangle) that is cut out
GREY = 0.0  # what stands where nothing is left, as in the paper


def brightness(x: Tensor, u: Tensor) -> Tensor:
    """Return x + b, b uniform on [-1/2, 1/2]: a quarter of the range from black to white."""
    return x + (_across(u[:, 0]) - 0.5)


def saturation(x: Tensor, u: Tensor) -> Tensor:
    """Return m + s (x - m), m a pixel's mean over the channels, s uniform on [0, 2]; RGB only."""
    if x.shape[1] != 3:
        return x
    mean = x.mean(1, keepdim=True)
    return mean + 2 * _across(u[:, 0]) * (x - mean)


def contrast(x: Tensor, u: Tensor) -> Tensor:
    """Return m + s (x - m), m the image's mean, s uniform on [1/2, 3/2]."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (0.5 + _across(u[:, 0])) * (x - mean)


def translation(x: Tensor, u: Tensor) -> Tensor:
    """Return the image moved by whole pixels, at most an eighth of each side; the rest is grey.

    A move of rows is a product with a matrix of zeros and ones, whose gradients of any order exist.
    """
    down, right = (_moves(side, v) for side, v in zip(x.shape[2:], u.unbind(1), strict=True))
    return torch.einsum("nij,ncjk,nlk->ncil", down.to(x), x, right.to(x))


def cutout(x: Tensor, u: Tensor) -> Tensor:
    """Return the image with a rectangle of half its sides made grey; it may stand out (see CUT)."""
    high, wide = (_inside(side, v) for side, v in zip(x.shape[2:], u.unbind(1), strict=True))
    gone = (high[:, :, None] & wide[:, None, :])[:, None]
    return x.masked_fill(gone, GREY)


def flip(x: Tensor, u: Tensor) -> Tensor:
    """Return the image, or its mirror image with probability 1/2.

    That says that both are as likely: of images that are not symmetric so, p must be below 1, or
    mirror images are generated too, since nothing tells them apart.
    """
    return torch.where(_across(u[:, 0]) < 0.5, x.flip(3), x)


class Transformation(NamedTuple):
    """A map of images (n, C, H, W) by uniform draws (n, numbers)."""

    apply: Callable[[Tensor, Tensor], Tensor]
    numbers: int


POLICIES: dict[str, Sequence[Transformation]] = {
    "color": [Transformation(change, 1) for change in (brightness, saturation, contrast)],
    "translation": [Transformation(translation, 2)],
    "cutout": [Transformation(cutout, 2)],
    "flip": [Transformation(flip, 1)],
}


class Augmentation(nn.Module):
    """T(x, u) of images x (n, C, H, W) in [-1, 1], one transformation after the other.

    Args:
        policy: names of `POLICIES`, with commas between.
        p: the probability of each transformation, for each image.
        space: of the images.

    Raises:
        ModelError: a name is unknown, or the space is not one of images.
    """

    def __init__(self, policy: str, p: float, space: Space) -> None:
        super().__init__()
        if not isinstance(space, Image):
            msg = f"augment={policy!r} is for images, and these data are {space}: leave it out"
            raise ModelError(msg)
        names = [name.strip() for name in policy.split(",")]
        for name in names:
            if name not in POLICIES:
                msg = f"augment has no {name!r} (it takes none, or names with commas between)"
                raise ModelError(f"{msg}: {nearest(name, POLICIES)}")
        self.steps = [step for name in dict.fromkeys(names) for step in POLICIES[name]]
        self.p: float | Tensor = p

    def adapt(self) -> None:
        """Make p a buffer, which training can move."""
        p = torch.as_tensor(self.p)
        del self.p
        self.register_buffer("p", p)

    def draw(self, n: int, device: torch.device) -> Tensor:
        """Return draws u (n, numbers), uniform on [0, 1), of torch's random state."""
        return torch.rand(n, sum(1 + step.numbers for step in self.steps), device=device)

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """Return T(x, u) for draws u of `draw`: of each step's the first says whether it is."""
        parts = u.split([1 + step.numbers for step in self.steps], 1)
        for step, own in zip(self.steps, parts, strict=True):
            x = torch.where(_across(own[:, 0]) < self.p, step.apply(x, own[:, 1:]), x)
        return x


def augmentation(policy: str, p: float, space: Space) -> Augmentation | None:
    """Return what `augment=policy` asks for: None for "none"."""
    return None if policy.strip() == "none" else Augmentation(policy, p, space)


def _across(v: Tensor) -> Tensor:
    """Return one value an image (n,) as (n, 1, 1, 1)."""
    return v[:, None, None, None]


def _whole(u: Tensor, choices: int) -> Tensor:
    """Return whole numbers (n,), uniform on 0 .. choices - 1, from u uniform on [0, 1)."""
    return (u * choices).long().clamp(max=choices - 1)


def _moves(side: int, u: Tensor) -> Tensor:
    """Return matrices (n, side, side) that move by -m .. m: entry (i, j) is 1 if i = j + move."""
    farthest = int(SHIFT * side + 0.5)
    move = _whole(u, 2 * farthest + 1) - farthest
    place = torch.arange(side, device=u.device)
    return place[:, None] == place + move[:, None, None]


def _inside(side: int, u: Tensor) -> Tensor:
    """Return which places (n, side) a stretch of CUT of the side covers.

    Its middle is uniform over the whole side, so it may end outside, as in the paper.
    """
    length = int(CUT * side + 0.5)
    start = _whole(u, side + 1 - length % 2)[:, None] - length // 2
    place = torch.arange(side, device=u.device)
    return (place >= start) & (place < start + length)
