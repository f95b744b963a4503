"""Images: arrays of pixels in any usual layout, and folders of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Array, from_numpy, library_of, to_numpy
from pushforward.data.schema import ClassCondition, DataKind, Schema
from pushforward.errors import DataError
from pushforward.space import Image

MIN_SIDE = 8  # pixels
FLOAT_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))  # the first that contains all pixels
LAYOUTS = "(N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1, 3 or 4 and H, W >= 8"


class ImageSchema(Schema):
    """Images of one size.

    Encoded: (n, C, H, W), integers as uint8, floats as float32 in [-1, 1].
    Expanded: float32 in [-1, 1].

    Args:
        space: channels, height and width.
        layout: `"NHW"`, `"NHWC"` or `"NCHW"`.
        dtype: the NumPy name of the raw dtype.
        low: the value of black pixels.
        high: the value of white pixels.
        library: of the raw array, `"numpy"` or `"torch"`.
        condition: the classes of the labels, or None.
    """

    kind: ClassVar[DataKind] = "image"

    def __init__(
        self,
        space: Image,
        layout: str,
        dtype: str = "uint8",
        low: float = 0.0,
        high: float = 255.0,
        library: str = "numpy",
        condition: ClassCondition | None = None,
    ) -> None:
        self._space, self.layout, self.dtype = space, layout, dtype
        self.low, self.high = low, high
        self.library, self.condition = library, condition

    @classmethod
    def fit(cls, raw: Any, condition: ClassCondition | None = None) -> ImageSchema:
        """Recognise layout and range of an array of images."""
        array = to_numpy(raw)
        layout, space = _layout(array.shape)
        low, high = _range(array)
        return cls(space, layout, str(array.dtype), low, high, library_of(raw), condition)

    @property
    def space(self) -> Image:
        """Channels, height and width."""
        return self._space

    @property
    def integers(self) -> bool:
        """Whether pixels are integers."""
        return np.dtype(self.dtype).kind != "f"

    def encode(self, raw: Any) -> Tensor:
        """Return (n, C, H, W), uint8 or float32; DataError when shape or range differ."""
        array = to_numpy(raw)
        if _layout(array.shape) != (self.layout, self.space):
            msg = f"images must be {self.layout} with {self.space}, got shape {array.shape}"
            raise DataError(msg)
        if (array.dtype.kind == "f") == self.integers:
            msg = f"images must be of dtype {self.dtype}, got {array.dtype}"
            raise DataError(msg)
        if array.size and not (array.min() >= self.low and array.max() <= self.high):
            msg = (
                f"pixels must lie in [{self.low:g}, {self.high:g}], "
                f"got [{array.min():g}, {array.max():g}]"
            )
            raise DataError(msg)
        rows = torch.from_numpy(_channels_first(array, self.layout))
        return rows.byte() if self.integers else self._centred(rows.double())

    def _centred(self, pixels: Tensor) -> Tensor:
        """Return pixels, scaled from the user's range to [-1, 1]."""
        scale = 2 / (self.high - self.low)
        return (pixels * scale).sub_(1 + self.low * scale).float()

    def _pixels(self, x: Tensor) -> Tensor:
        """Return pixels in the user's range, rounded where they are integers."""
        pixels = (x.double() + 1) * ((self.high - self.low) / 2) + self.low
        pixels = pixels.clamp(self.low, self.high)
        return pixels.round().byte() if self.integers else pixels

    def expand(self, rows: Tensor) -> Tensor:
        """Return float32 in [-1, 1]."""
        return self._centred(rows) if self.integers else rows

    def quantise(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002  # nothing is drawn
        """Return images clipped to [-1, 1], and rounded where pixels are integers."""
        return self._pixels(x) if self.integers else x.clamp(-1, 1)

    def decode(
        self,
        rows: Tensor,
        labels: Tensor | None = None,  # noqa: ARG002  # labels are not part of the images
        generator: torch.Generator | None = None,  # noqa: ARG002  # nothing is drawn
    ) -> Any:
        """Return images with the library, the layout and the dtype of the raw ones."""
        pixels = rows.detach().cpu() if self.integers else self._pixels(rows.detach().cpu())
        array = pixels.numpy()
        if self.layout == "NHW":
            array = array[:, 0]
        elif self.layout == "NHWC":
            array = array.transpose(0, 2, 3, 1)
        return from_numpy(np.ascontiguousarray(array).astype(self.dtype), self.library)

    def features(self, rows: Tensor) -> Tensor:
        """Return the pixels in [-1, 1], one row per image."""
        return self.expand(rows).flatten(1)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "space": asdict(self.space),
            "layout": self.layout,
            "dtype": self.dtype,
            "low": self.low,
            "high": self.high,
            "library": self.library,
            "condition": self.condition and self.condition.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImageSchema:
        """Rebuild a schema from `to_json`."""
        condition = ClassCondition.from_json(data["condition"])
        keys = ("layout", "dtype", "low", "high", "library")
        return cls(Image(**data["space"]), **{key: data[key] for key in keys}, condition=condition)


def _layout(shape: tuple[int, ...]) -> tuple[str, Image]:
    """Return the layout of a shape; it is unique, because sides have at least 8 pixels."""
    match shape:
        case (_, height, width) if min(height, width) >= MIN_SIDE:
            return "NHW", Image(1, height, width)
        case (_, height, width, 1 | 3 | 4 as channels) if min(height, width) >= MIN_SIDE:
            return "NHWC", Image(channels, height, width)
        case (_, 1 | 3 | 4 as channels, height, width) if min(height, width) >= MIN_SIDE:
            return "NCHW", Image(channels, height, width)
        case _:
            raise DataError(f"images must have shape {LAYOUTS}, got shape {shape}")


def _range(array: Array) -> tuple[float, float]:
    """Return the values of black and white; DataError for integers beyond 8 bits."""
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    if array.dtype.kind == "b":
        return 0.0, 1.0
    if array.dtype.kind == "f":
        return next(((a, b) for a, b in FLOAT_RANGES if a <= low and high <= b), (low, high))
    if low < 0 or high > 255:
        msg = f"integer pixels must lie in 0..255, got {low:g}..{high:g}"
        raise DataError(f"{msg}; divide them, or give floats in [0, 1]")
    return 0.0, 255.0


def _channels_first(array: Array, layout: str) -> Array:
    """Return a contiguous copy (n, C, H, W)."""
    if layout == "NHW":
        array = array[:, None]
    elif layout == "NHWC":
        array = array.transpose(0, 3, 1, 2)
    return np.array(array, order="C")
