"""Images: arrays or a folder of files, kept as they came until a batch is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Picture
from torch import Tensor

from pushforward.data.schema import Condition, Kind, Schema
from pushforward.errors import DataError
from pushforward.space import Image

SMALLEST = 8
CHANNELS = (1, 3, 4)
ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
MODES = ("L", "RGB", "RGBA")


@dataclass(frozen=True)
class ImageSchema(Schema):
    """Images encoded as (n, channels, height, width): bytes as uint8, floats as float32 in [-1, 1].

    Args:
        channels: 1, 3 or 4.
        height: in pixels, at least 8.
        width: in pixels, at least 8.
        layout: `"HW"`, `"CHW"` or `"HWC"`: the axes of one image as given.
        dtype: the NumPy name of the numbers that were given.
        low: the value of black: 0, or -1 for floats in [-1, 1].
        high: the value of white: 255 for bytes, 1 for floats.
        container: `"numpy"` or `"torch"`, given back.
        condition: the classes of the labels, where the data are conditioned on them.
    """

    kind: ClassVar[Kind] = "image"
    channels: int
    height: int
    width: int
    layout: str
    dtype: str = "uint8"
    low: float = 0.0
    high: float = 255.0
    container: str = "numpy"
    condition: Condition | None = None

    @classmethod
    def infer(cls, raw: Any, condition: Condition | None = None) -> ImageSchema:
        """Read size, layout and range off the images."""
        values, container = _array(raw)
        layout = _layout(values.shape)
        sides = dict(zip(layout, values.shape[1:], strict=True))
        low, high = _range(values)
        channels = sides.get("C", 1)
        if min(sides["H"], sides["W"]) < SMALLEST:
            msg = f"images of at least {SMALLEST}x{SMALLEST} are wanted, got {values.shape[1:]}"
            raise DataError(msg)
        size = channels, sides["H"], sides["W"]
        return cls(*size, layout, str(values.dtype), low, high, container, condition)

    @property
    def space(self) -> Image:
        """Images in [-1, 1]."""
        return Image(self.channels, self.height, self.width)

    def encode(self, raw: Any) -> Tensor:
        """Return the images channels first; DataError when their size or type differs."""
        values, _ = _array(raw)
        wanted = {"C": self.channels, "H": self.height, "W": self.width}
        shape = tuple(wanted[axis] for axis in self.layout)
        if values.shape[1:] != shape or str(values.dtype) != self.dtype:
            msg = (
                f"images of shape {shape} and type {self.dtype} were expected, "
                f"got {values.shape[1:]} and {values.dtype}"
            )
            raise DataError(msg)
        first = {"HW": values[:, None], "CHW": values, "HWC": np.moveaxis(values, -1, 1)}
        rows = torch.from_numpy(np.ascontiguousarray(first[self.layout]))
        return rows if self.dtype == "uint8" else self._scaled(rows)

    def _scaled(self, rows: Tensor) -> Tensor:
        return ((rows.double() - self.low) * (2 / (self.high - self.low)) - 1).float()

    def expand(self, rows: Tensor) -> Tensor:
        """Return the images as float32 in [-1, 1]."""
        return rows.float().mul_(2 / 255).sub_(1) if rows.dtype == torch.uint8 else rows

    def harden(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return images clipped to [-1, 1], and rounded to bytes where bytes were given."""
        del generator
        x = x.detach().clamp(-1, 1)
        return x.add(1).mul_(127.5).round_().to(torch.uint8) if self.dtype == "uint8" else x

    def decode(
        self,
        rows: Tensor,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Any:
        """Return images in the layout, range and type that were given."""
        del labels, generator
        values = rows.detach().cpu()
        if self.dtype != "uint8":
            values = (values.double() + 1) * ((self.high - self.low) / 2) + self.low
        plain = values.numpy()
        laid = {"HW": plain[:, 0], "CHW": plain, "HWC": np.moveaxis(plain, 1, -1)}[self.layout]
        laid = np.ascontiguousarray(laid.astype(self.dtype))
        return torch.from_numpy(laid) if self.container == "torch" else laid

    def features(self, rows: Tensor) -> Tensor:
        """Return the pixels in [-1, 1], flattened."""
        return self.expand(rows).flatten(1)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        return {
            "kind": self.kind,
            "size": [self.channels, self.height, self.width],
            "layout": self.layout,
            "dtype": self.dtype,
            "range": [self.low, self.high],
            "container": self.container,
            "condition": self.condition and self.condition.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImageSchema:
        """Rebuild the schema."""
        condition = Condition.from_json(data["condition"])
        channels, height, width = map(int, data["size"])
        low, high = map(float, data["range"])
        dtype = str(np.dtype(data["dtype"]))
        size = channels, height, width
        return cls(*size, data["layout"], dtype, low, high, data["container"], condition)


def _array(raw: Any) -> tuple[NDArray[Any], str]:
    """Return images as an array, and where they came from; DataError when they are no images."""
    container = "torch" if isinstance(raw, Tensor) else "numpy"
    values = np.asarray(raw.detach().cpu() if isinstance(raw, Tensor) else raw)
    if values.ndim not in {3, 4} or values.dtype.kind not in "fu" or len(values) == 0:
        msg = f"images (n, height, width[, channels]) were expected, got {values.dtype} of shape {values.shape}"
        raise DataError(msg)
    return values, container


def _layout(shape: tuple[int, ...]) -> str:
    """Tell which axis holds the channels."""
    if len(shape) == 3:
        return "HW"
    if shape[-1] in CHANNELS:
        return "HWC"
    if shape[1] in CHANNELS:
        return "CHW"
    msg = f"images have 1, 3 or 4 channels, on the second or the last axis; got shape {shape}"
    raise DataError(msg)


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the values of black and white."""
    if values.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        msg = "the images have values that are NaN or infinite; remove or replace them"
        raise DataError(msg)
    if values.dtype.kind == "u" or low < -1 or high > 1:
        msg = (
            "images of type uint8, or of floats in [0, 1] or [-1, 1], are wanted, got "
            f"{values.dtype} in [{low:g}, {high:g}]"
        )
        raise DataError(msg)
    return (-1.0 if low < 0 else 0.0), 1.0


def read_folder(folder: Path) -> tuple[NDArray[np.uint8], list[str] | None]:
    """Read a folder of images, and the names of their class folders if it has such."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in ENDINGS and f.is_file())
    if not files:
        msg = f"{folder} holds no images ({', '.join(sorted(ENDINGS))})"
        raise DataError(msg)
    with ThreadPoolExecutor() as pool:
        pictures = list(pool.map(_open, files))
    _require_one_size(files, pictures)
    mode = MODES[max(MODES.index(picture.mode) for picture in pictures)]
    values = np.stack([np.asarray(picture.convert(mode)) for picture in pictures])
    nested = all(file.parent != folder for file in files)
    labels = [file.relative_to(folder).parts[0] for file in files] if nested else None
    return values, labels


def _open(file: Path) -> Picture.Image:
    """Open one image whole, as grey, RGB or RGBA."""
    try:
        with Picture.open(file) as picture:
            picture.load()
            if picture.mode in MODES:
                return picture.copy()
            transparent = "transparency" in picture.info or picture.mode in {"LA", "PA"}
            grey = picture.mode in {"1", "I", "I;16", "F"}
            return picture.convert("RGBA" if transparent else "L" if grey else "RGB")
    except (OSError, ValueError, SyntaxError, Picture.DecompressionBombError) as error:
        msg = f"{file} is broken or no image ({error}); mend or remove it"
        raise DataError(msg) from error


def _require_one_size(files: Sequence[Path], pictures: Sequence[Picture.Image]) -> None:
    for file, picture in zip(files, pictures, strict=True):
        if picture.size != pictures[0].size:
            sizes = [f"{p.size[0]}x{p.size[1]}" for p in (pictures[0], picture)]
            msg = (
                f"the images differ in size: {files[0]} has {sizes[0]}, {file} has {sizes[1]}; "
                "bring them to one size first"
            )
            raise DataError(msg)
