"""Images: arrays of pixels in any usual layout, and folders of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Array, from_numpy, library_of, to_numpy
from pushforward.data.pixel_range import PixelRange, PixelValues, choose_range, count_levels, number
from pushforward.data.schema import ClassCondition, DataKind, Schema
from pushforward.errors import DataError
from pushforward.space import Image

MIN_SIDE = 8  # pixels
COLOURS = (1, 3, 4)  # channels: grey, RGB, RGBA; any other number are bands
LAYOUTS = "(N, H, W), (N, H, W, C) or (N, C, H, W) with H, W >= 8, and channels fewer than those"
STORED = {"uint8": torch.uint8, "int16": torch.int16, "int32": torch.int32}  # encoded integers


class ImageSchema(Schema):
    """Images of one size, with any number of channels.

    Encoded: (n, C, H, W), integers as the smallest of uint8, int16 and int32, floats as float32 in
    [-1, 1]. Expanded: float32 in [-1, 1].

    Args:
        space: channels, height and width.
        layout: `"NHW"`, `"NHWC"` or `"NCHW"`.
        dtype: the NumPy name of the raw dtype.
        low: the value of black pixels, one for all channels or one for each.
        high: the value of white pixels, likewise.
        library: of the raw array, `"numpy"` or `"torch"`.
        condition: the classes of the labels, or None.
        from_folder: whether the images were files of their own.
    """

    kind: ClassVar[DataKind] = "image"

    def __init__(
        self,
        space: Image,
        layout: str,
        dtype: str = "uint8",
        low: float | Sequence[float] = 0.0,
        high: float | Sequence[float] = 255.0,
        library: str = "numpy",
        condition: ClassCondition | None = None,
        from_folder: bool = False,
    ) -> None:
        self._space, self.layout, self.dtype = space, layout, dtype
        self.low = tuple(np.atleast_1d(np.asarray(low, np.float64)).tolist())
        self.high = tuple(np.atleast_1d(np.asarray(high, np.float64)).tolist())
        self.library, self.condition, self.from_folder = library, condition, from_folder

    @classmethod
    def fit(
        cls,
        raw: Any,
        condition: ClassCondition | None = None,
        limits: tuple[float, float] | None = None,
        from_folder: bool = False,
    ) -> tuple[ImageSchema, tuple[str, ...]]:
        """Recognise layout and range of an array of images; return notes on the range, too.

        `limits` are black and white where they are known.
        """
        array = to_numpy(raw)
        layout, space = require_layout(array.shape)
        if limits is not None:
            ranges = [PixelRange(*limits, usual=True)]
        else:
            parts = channel_parts(array, layout, separate=space.channels not in COLOURS)
            ranges = [choose_range(PixelValues.of(part)) for part in parts]
        low, high = [r.low for r in ranges], [r.high for r in ranges]
        if len(ranges) == 1 and array.size:
            space = replace(space, levels=count_levels(array, low[0], high[0]))
        dtype, library = str(array.dtype), library_of(raw)
        schema = cls(space, layout, dtype, low, high, library, condition, from_folder)
        return schema, _notes(ranges)

    @property
    def space(self) -> Image:
        """Channels, height and width."""
        return self._space

    @property
    def integers(self) -> bool:
        """Whether pixels are integers."""
        return np.dtype(self.dtype).kind != "f"

    @property
    def stored(self) -> str:
        """The type of encoded integers; DataError where none holds the range."""
        for dtype in STORED:
            if np.iinfo(dtype).min <= min(self.low) and max(self.high) <= np.iinfo(dtype).max:
                return dtype
        msg = f"integer pixels must fit 32 bits, got {number(min(self.low))} to"
        raise DataError(f"{msg} {number(max(self.high))}; give floats")

    def encode(self, raw: Any) -> Tensor:
        """Return (n, C, H, W), integers or float32; DataError when shape or range differ."""
        array = to_numpy(raw)
        _, *expected = _arranged(np.empty((0, *self.space.shape)), self.layout).shape
        if list(array.shape[1:]) != expected:
            msg = f"images must be {self.layout} with {self.space}, got shape {array.shape}"
            raise DataError(msg)
        if (array.dtype.kind == "f") == self.integers:
            msg = f"images must be of dtype {self.dtype}, got {array.dtype}"
            raise DataError(msg)
        pixels = _channels_first(array, self.layout)
        self._refuse_outside(pixels)
        exact = pixels.astype(self.stored if self.integers else np.float64, copy=False)
        rows = torch.from_numpy(exact)
        return rows if self.integers else self._centred(rows)

    def _refuse_outside(self, pixels: Array) -> None:
        """Raise DataError for pixels (n, C, H, W) below black or above white."""
        parts = channel_parts(pixels, "NCHW", separate=len(self.low) > 1)
        for part, low, high in zip(parts, self.low, self.high, strict=True):
            if part.size and not (part.min() >= low and part.max() <= high):
                msg = f"pixels must lie in [{number(low)}, {number(high)}], got"
                msg = f"{msg} [{number(part.min())}, {number(part.max())}]"
                raise DataError(f"{msg}; read all of them together, or rescale them")

    def _limits(self, device: torch.device) -> tuple[Any, Any]:
        """Return black and white: numbers, which need no device, or for bands tensors (C, 1, 1)."""
        if len(self.low) == 1:
            return self.low[0], self.high[0]
        low, high = torch.tensor([self.low, self.high], dtype=torch.float64, device=device)
        return low[:, None, None], high[:, None, None]

    def _centred(self, pixels: Tensor) -> Tensor:
        """Return pixels, scaled from the user's range to [-1, 1]."""
        low, high = self._limits(pixels.device)
        scale = 2 / (high - low)
        exact = pixels if pixels.dtype == torch.uint8 else pixels.double()
        centred: Tensor = (exact * scale).sub_(1 + low * scale)
        return centred.float()

    def pixels(self, x: Tensor) -> Tensor:
        """Return expanded images in the user's range, at the level or integer that is nearest."""
        low, high = self._limits(x.device)
        shares = ((x.double() + 1) / 2).clamp(0, 1)
        if self.space.levels is not None:
            steps = self.space.levels - 1
            shares = (shares * steps).round() / steps
        pixels = torch.clamp(shares * (high - low) + low, low, high)
        return pixels.round().to(STORED[self.stored]) if self.integers else pixels

    def expand(self, rows: Tensor) -> Tensor:
        """Return float32 in [-1, 1]."""
        return self._centred(rows) if self.integers else rows

    def quantise(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002  # nothing is drawn
        """Return images clipped to [-1, 1], at the nearest level, as integers where pixels are."""
        pixels = self.pixels(x)
        return pixels if self.integers else self._centred(pixels)

    def decode(
        self,
        rows: Tensor,
        labels: Tensor | None = None,  # noqa: ARG002  # labels are not part of the images
        generator: torch.Generator | None = None,  # noqa: ARG002  # nothing is drawn
    ) -> Any:
        """Return images with the library, the layout and the dtype of the raw ones."""
        pixels = rows.detach().cpu() if self.integers else self.pixels(rows.detach().cpu())
        array = np.ascontiguousarray(_arranged(pixels.numpy(), self.layout))
        return from_numpy(array.astype(self.dtype), self.library)

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
            "low": list(self.low),
            "high": list(self.high),
            "library": self.library,
            "from_folder": self.from_folder,
            "condition": self.condition and self.condition.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImageSchema:
        """Rebuild a schema from `to_json`."""
        condition = ClassCondition.from_json(data["condition"])
        keys = ("layout", "dtype", "low", "high", "library")
        given = {key: data[key] for key in keys} | {"from_folder": data.get("from_folder", False)}
        return cls(Image(**data["space"]), **given, condition=condition)


def image_layout(shape: tuple[int, ...]) -> tuple[str, Image] | None:
    """Return the layout of a shape, or None where it is not that of images.

    It is unique: channels are fewer than the pixels of the shorter side, which are at least 8.
    """
    match shape:
        case (_, height, width) if min(height, width) >= MIN_SIDE:
            return "NHW", Image(1, height, width)
        case (_, height, width, channels) if _is_image(channels, height, width):
            return "NHWC", Image(channels, height, width)
        case (_, channels, height, width) if _is_image(channels, height, width):
            return "NCHW", Image(channels, height, width)
        case _:
            return None


def require_layout(shape: tuple[int, ...]) -> tuple[str, Image]:
    """Return the layout of a shape; DataError where it is not that of images."""
    layout = image_layout(shape)
    if layout is None:
        raise DataError(f"images must have shape {LAYOUTS}, got shape {shape}")
    return layout


def _is_image(channels: int, height: int, width: int) -> bool:
    return 0 < channels < min(height, width) and min(height, width) >= MIN_SIDE


def channel_parts(array: Array, layout: str, *, separate: bool) -> list[Array]:
    """Return what has a range of its own: all pixels, or (`separate`) those of each channel."""
    return list(np.moveaxis(array, layout.index("C"), 0)) if separate else [array]


def _notes(ranges: Sequence[PixelRange]) -> tuple[str, ...]:
    """Return the notes on the ranges of all channels; those of bands in one line."""
    if len(ranges) == 1:
        return tuple(filter(None, [ranges[0].note]))
    bands = ", ".join(f"{number(r.low)}..{number(r.high)}" for r in ranges)
    note = f"pixels have {len(ranges)} bands, each with a range of its own ({bands})"
    return (f"check: {note}; {PixelRange.CHANGE}, for all bands",)


def _arranged(array: Array, layout: str) -> Array:
    """Return images (n, C, H, W) in a layout."""
    if layout == "NHW":
        return array[:, 0]
    return array.transpose(0, 2, 3, 1) if layout == "NHWC" else array


def _channels_first(array: Array, layout: str) -> Array:
    """Return a contiguous copy (n, C, H, W)."""
    if layout == "NHW":
        array = array[:, None]
    elif layout == "NHWC":
        array = array.transpose(0, 3, 1, 2)
    return np.array(array, order="C")
