"""Images side by side, as one PNG that is enlarged so that every pixel is seen."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

GAP = 2  # pixels between images
LONGER, SHORTER = 56, 28  # pixels that the sides of an image have on the page, at least
Bytes = NDArray[np.uint8]
Places = Sequence[Sequence[int | None]]  # which image goes where, row by row


def enlarged(x: Tensor) -> Bytes:
    """Return images (n, c, h, w) in [-1, 1] as RGBA (n, height, width, 4), whole times larger."""
    images = _rgba(x)
    height, width = images.shape[1:3]
    factor = max(math.ceil(LONGER / max(height, width)), math.ceil(SHORTER / min(height, width)), 1)
    return images.repeat(factor, 1).repeat(factor, 2)


def _rgba(x: Tensor) -> Bytes:
    """Return images as RGBA: grey ones, RGB and RGBA whole, of bands the first three (or one)."""
    scaled = x.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    images: Bytes = scaled.movedim(1, -1).contiguous().numpy()
    channels = images.shape[3]
    if channels == 4:
        return images
    colours = images[..., :3] if channels >= 3 else images[..., :1].repeat(3, 3)
    opaque = np.full((*colours.shape[:3], 1), 255, np.uint8)
    return np.concatenate([colours, opaque], 3)


def tile(images: Bytes, places: Places) -> Bytes:
    """Return images (n, h, w, 4) in rows as one (height, width, 4), transparent between them."""
    height, width = images.shape[1] + GAP, images.shape[2] + GAP
    canvas = np.zeros((len(places) * height, len(places[0]) * width, 4), np.uint8)
    for r, row in enumerate(places):
        for c, i in enumerate(row):
            if i is not None:
                top, left = r * height, c * width
                canvas[top : top + height - GAP, left : left + width - GAP] = images[i]
    return canvas[:-GAP, :-GAP]


def url(pixels: Bytes) -> str:
    """Return an image (height, width, 4) as a data URL; without the fourth where all is opaque."""
    opaque = bool((pixels[..., 3] == 255).all())
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., :3] if opaque else pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
