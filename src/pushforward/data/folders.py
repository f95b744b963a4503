"""Folders of images, with or without a sub-folder for each class."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pushforward.data.numeric import Array
from pushforward.errors import DataError

IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"})


def read_folder(folder: Path) -> tuple[Array, list[str] | None]:
    """Return the images (n, H, W, C) of a folder in the order of their paths, and their classes.

    The classes are the names of the sub-folders, None when the images lie in the folder itself.
    Images of different modes are all converted to the richest one (grey, RGB, RGBA).
    """
    files = sorted(
        f for f in folder.rglob("*") if f.suffix.lower() in IMAGE_ENDINGS and _is_visible_file(f)
    )
    if not files:
        msg = f"{folder} holds no images ({', '.join(sorted(IMAGE_ENDINGS))})"
        raise DataError(msg)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        images = list(pool.map(_open_image, files))
    _refuse_different_sizes(files, images)
    channels = max(image.shape[2] for image in images)
    stacked = np.stack([_with_channels(image, channels) for image in images])
    paths = [f.relative_to(folder).parts for f in files]
    nested = all(len(names) > 1 for names in paths)
    return stacked, [names[0] for names in paths] if nested else None


def _is_visible_file(file: Path) -> bool:
    """Whether a path is a file, and not hidden."""
    return file.is_file() and not file.name.startswith(".")


def _open_image(file: Path) -> Array:
    """Return an image as (H, W, C) with C = 1, 3 or 4; DataError names a broken file."""
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            return _pixels(
                upright.convert(_richest_mode(upright)) if upright.mode[0] != "I" else upright
            )
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        msg = f"{file} cannot be read as an image ({reason}); repair or remove it"
        raise DataError(msg) from None


def _richest_mode(image: Image.Image) -> str:
    """Return the mode, L, RGB or RGBA, that loses nothing of the image."""
    if image.has_transparency_data:
        return "RGBA"
    return "L" if image.mode in ("1", "L", "F") else "RGB"


def _pixels(image: Image.Image) -> Array:
    """Return uint8 pixels (H, W, C); 16 bits are reduced to 8."""
    array = np.asarray(image)
    array = (array >> 8).astype(np.uint8) if image.mode[0] == "I" else array
    return array if array.ndim == 3 else array[..., None]


def _with_channels(image: Array, channels: int) -> Array:
    """Return an image with more channels: grey becomes RGB, alpha is opaque."""
    if channels >= 3 and image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    if channels == 4 and image.shape[2] == 3:
        image = np.concatenate([image, np.full_like(image[..., :1], 255)], axis=2)
    return image


def _refuse_different_sizes(files: list[Path], images: list[Array]) -> None:
    """Raise DataError, which names two files, unless all images have one size."""
    for file, image in zip(files, images, strict=True):
        if image.shape[:2] != images[0].shape[:2]:
            (h, w), (height, width) = images[0].shape[:2], image.shape[:2]
            msg = (
                f"all images must have one size: {files[0]} is {w}x{h} and {file} is "
                f"{width}x{height}; resize or crop them first"
            )
            raise DataError(msg)
