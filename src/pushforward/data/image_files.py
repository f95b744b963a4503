"""Files of images as arrays: every frame of each, in one mode, one type and one size."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pushforward.data.numeric import Array, Ints
from pushforward.data.pixel_range import BIT_DEPTHS
from pushforward.errors import DataError

IMAGE_ENDINGS = frozenset(
    [
        ".apng",
        ".avif",
        ".bmp",
        ".gif",
        ".j2k",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
MODES = {1: "grey", 3: "RGB", 4: "RGBA"}
PLAIN_MODES = re.compile("1|L|RGBA?|I.*|F")
MODE_NAMES = {"P": "a palette", "LA": "grey and alpha"}
FILTER = Image.Resampling.LANCZOS  # antialiased
SAME_SHAPE = 0.05  # a change of proportions that hardly shows


class Resizing(NamedTuple):
    """What makes images of many sizes one size.

    Args:
        size: width and height of the result, or None for the smallest of each.
        crop: cut what does not fit the proportions, instead of distorting.
    """

    size: tuple[int, int] | None
    crop: bool

    @classmethod
    def parse(cls, resize: str | int | Sequence[int] | None, crop: bool) -> Resizing | None:
        """Read "32x32" (width x height), 32 or (32, 32); DataError for anything else."""
        if resize is None:
            return cls(None, crop) if crop else None
        parts = resize.lower().split("x") if isinstance(resize, str) else np.atleast_1d(resize)
        try:
            sides = [int(part) for part in parts]
        except (TypeError, ValueError):
            sides = []
        width, height = sides * 2 if len(sides) == 1 else sides if len(sides) == 2 else (0, 0)
        if min(width, height) < 1:
            msg = f"resize must be a width and a height in pixels, such as 32x32, got {resize!r}"
            raise DataError(msg)
        return cls((width, height), crop)


@dataclass(frozen=True)
class Frame:
    """One image of a file.

    Args:
        file: that it is from.
        pixels: (H, W, C).
        size: width and height in the file, before any change.
        mode: of its pixels in the file, as Pillow has it (CMYK, P, ...).
        wide_colour: whether its colours had 16 bits, of which the reader keeps 8.
    """

    file: Path
    pixels: Array
    size: tuple[int, int]
    mode: str
    wide_colour: bool


class ImageSet(NamedTuple):
    """The images of many files (n, H, W, C), how many each file gave, and notes."""

    images: Array
    counts: list[int]
    notes: tuple[str, ...]

    @property
    def groups(self) -> Ints | None:
        """The file (n,) of each image, by its number; None where no file has several."""
        numbers = np.arange(len(self.counts))
        return np.repeat(numbers, self.counts) if max(self.counts) > 1 else None


def read_images(files: Sequence[Path], resizing: Resizing | None = None) -> ImageSet:
    """Return all images of files.

    Raises:
        DataError: a file is broken (it is named), or images differ in size (without `resizing`) or
            in the type of their numbers.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        read = list(pool.map(lambda file: _read_file(file, resizing), files))
    frames = [frame for own, _ in read for frame in own]
    notes = [_frames_note(read), _wide_colour_note(frames), _modes_note(frames)]
    if resizing is not None:
        frames = [replace(f, pixels=p) for f, p in zip(frames, _cut_alike(frames), strict=True)]
        notes.append(_resizing_note(frames, resizing))
    _refuse_different_sizes(frames)
    for step in (_one_type, _one_alpha, _one_colour):
        frames, note = step(frames)
        notes.append(note)
    images = np.stack([frame.pixels for frame in frames])
    return ImageSet(images, [len(own) for own, _ in read], tuple(filter(None, notes)))


# --- one file


def _read_file(file: Path, resizing: Resizing | None) -> tuple[list[Frame], int]:
    """Return the images of a file, and how many are left out; DataError names a broken file."""
    try:
        with Image.open(file) as image:
            frames = [_frame(file, frame) for frame in _pages(image)]
            left_out = getattr(image, "n_frames", 1) - len(frames)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        msg = f"{file} cannot be read as an image ({reason}); repair or remove it"
        raise DataError(msg) from None
    alike = [frame for frame in frames if frame.size == frames[0].size]
    left_out += len(frames) - len(alike)
    if resizing is None or resizing.size is None:
        return alike, left_out
    size, crop = resizing.size, resizing.crop
    return [replace(f, pixels=_resized(f.pixels, size, crop)) for f in alike], left_out


def _pages(image: Image.Image) -> Iterator[Image.Image]:
    """Yield the pages of a file, or its frames; of a camera's picture not its previews."""
    for page in range(1 if image.format == "MPO" else getattr(image, "n_frames", 1)):
        image.seek(page)
        yield image


def _frame(file: Path, image: Image.Image) -> Frame:
    # The reader says how it unpacks pixels before it does: "RGB;16B" becomes RGB with 8 bits.
    unpacked = [str(tile[3]) for tile in getattr(image, "tile", [])]
    wide = image.mode[0] not in "IF" and any(";16" in text for text in unpacked)
    upright = ImageOps.exif_transpose(image)
    kept = upright.mode[0] in "IF"
    array = np.asarray(upright if kept else upright.convert(_richest_mode(upright)))
    native = array.astype(array.dtype.newbyteorder("="))
    if native.dtype.kind == "f" and not np.isfinite(native).all():
        msg = f"{int((~np.isfinite(native)).sum()):,} of its pixels are NaN or infinite"
        raise ValueError(msg)
    pixels = native if native.ndim == 3 else native[..., None]
    return Frame(file, pixels, upright.size, upright.mode, wide)


def _richest_mode(image: Image.Image) -> str:
    """Return the mode, L, RGB or RGBA, that loses nothing of the image."""
    if image.has_transparency_data:
        return "RGBA"
    return "L" if image.mode in ("1", "L") else "RGB"


# --- one size


def _resized(pixels: Array, size: tuple[int, int], crop: bool) -> Array:
    """Return an image of another size, without values that it did not have the range of."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    low, high = pixels.min(), pixels.max()
    plain = pixels if pixels.shape[2] > 1 else pixels[..., 0].astype(np.float32)
    image = Image.fromarray(plain)
    scaled = ImageOps.fit(image, size, FILTER) if crop else image.resize(size, FILTER)
    array = np.asarray(scaled)
    if array.ndim == 3:
        return array
    if ((pixels == low) | (pixels == high)).all():  # a mask stays one
        array = np.where(array >= (float(low) + float(high)) / 2, high, low)
    exact = array if pixels.dtype.kind == "f" else np.rint(array)
    return exact.clip(low, high).astype(pixels.dtype)[..., None]


def _cut_alike(frames: Sequence[Frame]) -> list[Array]:
    """Return images cut around their middle to the smallest height and width of all."""
    height = min(frame.pixels.shape[0] for frame in frames)
    width = min(frame.pixels.shape[1] for frame in frames)
    return [_middle(frame.pixels, height, width) for frame in frames]


def _middle(pixels: Array, height: int, width: int) -> Array:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _resizing_note(frames: Sequence[Frame], resizing: Resizing) -> str:
    """Return how many images were changed, and how."""
    height, width = frames[0].pixels.shape[:2]
    changed = [frame for frame in frames if frame.size != (width, height)]
    if not changed:
        return ""
    how = "cut" if resizing.size is None else "resized"
    note = f"{_of(len(changed), len(frames))} images are {how} to {width}x{height}"
    bent = sum(_is_bent(frame.size, (width, height)) for frame in changed)
    if resizing.size is None or not bent:
        return note
    if resizing.crop:
        return f"{note}, and {bent:,} of them cut to these proportions"
    note = f"check: {note}, and {bent:,} of them distorted, since their proportions are others"
    return f"{note}; crop=True (--crop) cuts instead"


def _is_bent(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """Whether two sizes, width and height, differ in their proportions."""
    return abs(math.log(old[0] * new[1] / (old[1] * new[0]))) > SAME_SHAPE


def _refuse_different_sizes(frames: Sequence[Frame]) -> None:
    """Raise DataError, which counts the sizes and names a file of each, unless there is one."""
    sizes = Counter(frame.pixels.shape[:2] for frame in frames).most_common()
    if len(sizes) == 1:
        return
    first = {frame.pixels.shape[:2]: frame.file for frame in reversed(frames)}
    listed = ", ".join(f"{n:,} of {w}x{h} ({first[h, w]})" for (h, w), n in sizes[:3])
    more = f" and {len(sizes) - 3} sizes more" if len(sizes) > 3 else ""
    (h, w), _ = sizes[0]
    msg = (
        f"all images must have one size, got {listed}{more}; resize them: --resize {w}x{h} "
        f'(resize="{w}x{h}"), with --crop (crop=True) to cut them instead of distorting them'
    )
    raise DataError(msg)


# --- one type and one mode

Step = tuple[list[Frame], str]


def _mapped(frames: Sequence[Frame], change: Callable[[Array], Array]) -> list[Frame]:
    return [replace(frame, pixels=change(frame.pixels)) for frame in frames]


def _one_type(frames: list[Frame]) -> Step:
    """Reduce 16-bit images to 8 bits where others have 8; DataError for other mixtures."""
    types = Counter(frame.pixels.dtype.name for frame in frames)
    if len(types) == 1:
        return frames, ""
    if set(types) != {"uint8", "uint16"}:
        first = {frame.pixels.dtype.name: frame.file for frame in reversed(frames)}
        listed = ", ".join(f"{n:,} of {name} ({first[name]})" for name, n in types.items())
        msg = f"all images must hold one type of numbers, got {listed}"
        raise DataError(f"{msg}; convert them, or keep them in folders of their own")
    top = max(int(f.pixels.max()) for f in frames if f.pixels.dtype == np.uint16)
    bits = next(bits for bits in BIT_DEPTHS if top < 2**bits)
    note = f"check: {_of(types['uint16'], len(frames))} images have {bits} bits, the others 8"

    def reduced(pixels: Array) -> Array:
        return pixels if pixels.dtype == np.uint8 else (pixels >> (bits - 8)).astype(np.uint8)

    return _mapped(frames, reduced), f"{note}: they are reduced to 8"


def _one_alpha(frames: list[Frame]) -> Step:
    """Give all images an alpha channel, or none, as most of them are."""
    with_alpha = [frame.pixels.shape[2] == 4 for frame in frames]
    if all(with_alpha) or not any(with_alpha):
        return frames, ""
    clear = sum(bool((f.pixels[..., 3] < 255).any()) for f in frames if f.pixels.shape[2] == 4)
    some = f"{_of(sum(with_alpha), len(frames))} images have an alpha channel"
    if 2 * clear >= len(frames):
        return _mapped(frames, _opaque), f"{some}: the others are opaque"
    note = f"check: {some}, {clear:,} of them with transparency, which is laid on white"
    return _mapped(frames, _on_white), note if clear else f"{some} that is opaque: it is left out"


def _opaque(pixels: Array) -> Array:
    if pixels.shape[2] == 4:
        return pixels
    colours = pixels if pixels.shape[2] == 3 else pixels.repeat(3, 2)
    return np.concatenate([colours, np.full_like(pixels[..., :1], 255)], 2)


def _on_white(pixels: Array) -> Array:
    if pixels.shape[2] != 4:
        return pixels
    share = pixels[..., 3:] / 255
    return np.rint(pixels[..., :3] * share + 255 * (1 - share)).astype(np.uint8)


def _one_colour(frames: list[Frame]) -> Step:
    """Give all images colours, unless those that have them show grey alone."""
    channels = Counter(frame.pixels.shape[2] for frame in frames)
    if len(channels) == 1:
        return frames, ""
    listed = " and ".join(f"{n:,} {MODES[c]}" for c, n in sorted(channels.items()))
    if all(_is_grey(frame.pixels) for frame in frames):
        note = f"the images are {listed}, which show grey alone: all are read as grey"
        return _mapped(frames, lambda pixels: pixels[..., :1]), note
    note = f"check: the images are {listed}: all are read as RGB"
    return _mapped(frames, lambda p: p.repeat(3, 2) if p.shape[2] == 1 else p), note


def _is_grey(pixels: Array) -> bool:
    pairs = pairwise(np.moveaxis(pixels, 2, 0))
    return all(np.array_equal(a, b) for a, b in pairs)


# --- notes


def _of(some: int, total: int) -> str:
    return f"{some:,} of {total:,}"


def _frames_note(read: Sequence[tuple[list[Frame], int]]) -> str:
    """Return how many images come from files with several, and how many are left out."""
    several = [len(own) for own, _ in read if len(own) > 1]
    left_out = sum(missing for _, missing in read)
    notes = []
    if several:
        text = f"{len(several):,} files hold {sum(several):,} pages or frames, each of which is"
        notes.append(f"{text} read as an image of its own")
    if left_out:
        notes.append(f"{left_out:,} pages of another size (previews) are left out")
    return f"check: {'; '.join(notes)}" if notes else ""


def _wide_colour_note(frames: Sequence[Frame]) -> str:
    wide = sum(frame.wide_colour for frame in frames)
    if not wide:
        return ""
    note = f"check: {_of(wide, len(frames))} images have colours of 16 bits, of which 8 are read"
    return f"{note}; give an array (.npy) to keep them"


def _modes_note(frames: Sequence[Frame]) -> str:
    """Return how many images are of modes that arrays do not have, and what they become."""
    modes = Counter(
        (f.mode, f.pixels.shape[2]) for f in frames if not PLAIN_MODES.fullmatch(f.mode)
    )
    listed = [
        f"{_of(n, len(frames))} images have {MODE_NAMES.get(mode, mode)} and are read as {MODES[c]}"
        for (mode, c), n in sorted(modes.items())
    ]
    return "; ".join(listed)
