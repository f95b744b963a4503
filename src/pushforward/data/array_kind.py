"""Whether an array holds images or vectors: by its shape and its values, or as the user says."""

from __future__ import annotations

from typing import Any, Literal

from pushforward.data.images import COLOURS, LAYOUTS, image_layout, require_layout
from pushforward.data.numeric import to_numpy
from pushforward.data.pixel_range import PixelValues, choose_range
from pushforward.errors import DataError

ArrayKind = Literal["array", "images"]
PIXEL_TYPES = {"bool", "uint8", "uint16"}  # what hardly anything but pictures comes in
READ_AS_ARRAY = "kind='array' (--kind array) reads them as vectors, each value with its own scale"
READ_AS_IMAGES = "kind='images' (--kind images) reads them as pictures with one range of values"


def array_kind(raw: Any, kind: str | None = None) -> tuple[ArrayKind, tuple[str, ...]]:
    """Return what an array holds, and a note where it could be something else.

    Args:
        raw: an array or a tensor (n, ...).
        kind: what the user says, or None.

    Raises:
        DataError: an unknown kind, or images of a shape that is none of theirs.
    """
    if kind not in {None, "array", "images"}:
        raise DataError(f"kind must be array or images, got {kind!r}")
    if kind == "images":
        require_layout(tuple(raw.shape))
    if kind is not None or raw.ndim <= 2:
        return ("images" if kind == "images" else "array"), ()
    return _guessed(raw)


def _guessed(raw: Any) -> tuple[ArrayKind, tuple[str, ...]]:
    """Return what an array of three or more axes holds, by its shape and its values."""
    rows, layout = f"rows of shape {tuple(raw.shape[1:])}", image_layout(tuple(raw.shape))
    if layout is None:
        note = f"{rows} are read as vectors, which come back in that shape"
        return "array", (f"check: {note}; images would have shape {LAYOUTS}",)
    channels = layout[1].channels
    if channels not in COLOURS:
        return "images", (f"check: {rows} are read as images of {channels} bands; {READ_AS_ARRAY}",)
    array = to_numpy(raw)
    if layout[0] != "NHW" or array.dtype.name in PIXEL_TYPES:
        return "images", ()
    values, square = PixelValues.of(array), layout[1].height == layout[1].width
    usual = choose_range(values).usual
    if usual or square:
        check = "" if usual and square else "check: "
        return "images", (f"{check}{rows} are read as grey images; {READ_AS_ARRAY}",)
    note = f"check: {rows} are read as vectors, since pictures seldom hold {values}"
    return "array", (f"{note}; {READ_AS_IMAGES}",)
