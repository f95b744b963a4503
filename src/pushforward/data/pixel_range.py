"""Which values of pixels are black and white: one decision, from the values of the whole set.

Files and arrays do not say it: pixels of 0 to 4095 are 12-bit pictures in 16-bit numbers, masks of
0 and 1 are 8-bit numbers, and floats may lie in [0, 1], in [-1, 1], or a rounding error beyond.
The range is never narrower than the values, so that nothing is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pushforward.data.numeric import MAX_MAGNITUDE, Array
from pushforward.errors import DataError

FLOAT_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
BIT_DEPTHS = (8, 10, 12, 14, 16)
BEYOND = 0.05  # values may leave a usual range by this share of its span (resampling does it)
ROUNDING = 1e-3  # ... and by this share without a note to check
FILLED = 0.25  # the share of a usual range that values must reach: else the picture is near black
SAMPLED = 2**18  # pixels, drawn at random, from which levels and quantiles are taken
MAX_LEVELS = 256  # distinct values that are counted
GRID_ROUNDING = 1e-6  # of floats on a grid, in units of the range: that of single precision
FEW_LEVELS = 32  # distinct values that may be labels
OUTLYING = 0.05  # 99 % of the pixels in less than this share of the range: a few are outliers
MAX_CLIPPED = 0.1  # the share of pixels that may lie outside of a range that the user gives


@dataclass(frozen=True)
class PixelValues:
    """What is known of the values of all pixels.

    Args:
        dtype: NumPy's name of their type.
        low: the smallest.
        high: the largest.
        whole: whether all are whole numbers.
        levels: how many distinct ones there are, at most MAX_LEVELS + 1.
        bulk: between which values 99 % of them lie; None for low and high.
    """

    dtype: str
    low: float
    high: float
    whole: bool
    levels: int
    bulk: tuple[float, float] | None = None

    @classmethod
    def of(cls, array: Array) -> PixelValues:
        """Look at all values of an array; levels and quantiles are those of a sample."""
        if array.size == 0:
            return cls(str(array.dtype), 0.0, 0.0, whole=True, levels=0)
        low, high = float(array.min()), float(array.max())
        if max(-low, high) > MAX_MAGNITUDE:
            msg = f"pixels must be numbers up to {MAX_MAGNITUDE:g}, got {low:g} to {high:g}"
            raise DataError(f"{msg}; rescale them")
        some = array.reshape(-1)
        if array.size > SAMPLED:
            some = some[np.random.default_rng(0).integers(array.size, size=SAMPLED)]
        whole = array.dtype.kind != "f" or (_is_whole(some) and _is_whole(array))
        a, b = np.quantile(some.astype(np.float64), [0.005, 0.995])
        levels = min(len(np.unique(some)), MAX_LEVELS + 1)
        return cls(str(array.dtype), low, high, whole, levels, (float(a), float(b)))

    @property
    def is_float(self) -> bool:
        """Whether the type is one of floats."""
        return np.dtype(self.dtype).kind == "f"

    def __str__(self) -> str:
        more = self.levels > MAX_LEVELS
        levels = f"more than {MAX_LEVELS}" if more else str(self.levels)
        return (
            f"{self.dtype} from {number(self.low)} to {number(self.high)} "
            f"({levels} distinct value{'s' * (self.levels != 1)})"
        )


@dataclass(frozen=True)
class PixelRange:
    """The values of black and white.

    Args:
        low: black.
        high: white.
        usual: whether it is a range that pictures usually have (perhaps a little widened), and not
            just that of the values.
        note: what was seen and chosen, for the user; empty where there was no choice.
    """

    CHANGE: ClassVar[str] = "change it by range=(low, high) or --range low..high"

    low: float
    high: float
    usual: bool
    note: str = ""


def choose_range(values: PixelValues) -> PixelRange:
    """Return black and white for pixels of these values.

    The first of these that contains the values, and of which they reach a quarter: 0 and 1 for two
    levels, [0, 1], [-1, 1], 8, 10, 12, 14 or 16 bits; else the range of the values themselves.
    """
    if values.dtype == "bool":
        return PixelRange(0.0, 1.0, usual=True)
    usual = _usual_range(values)
    low, high = usual or _own_range(values)
    wide = PixelRange(min(low, values.low), max(high, values.high), usual is not None)
    if values.dtype == "uint8" and (low, high) == (0.0, 255.0):
        return wide
    beyond = max(low - values.low, values.high - high) > ROUNDING * (high - low)
    doubts = [_outliers(values, wide), "" if wide.usual else _labels(values)]
    doubt = "".join(f"; {text}" for text in doubts if text)
    check = "check: " if not wide.usual or beyond or doubt else ""
    chosen = f"black is {number(wide.low)}, white {number(wide.high)}"
    note = f"{check}pixels are {values}: {chosen}; {PixelRange.CHANGE}{doubt}"
    return replace(wide, note=note)


def _usual_range(values: PixelValues) -> tuple[float, float] | None:
    """Return the usual range that the values fill, or None."""
    if values.high == values.low == 0:
        return (0.0, 1.0) if values.is_float else (0.0, _tops(values)[0])
    if values.whole and (values.low, values.high) in {(0, 1), (1, 1)}:
        return 0.0, 1.0
    if values.is_float and not (values.whole and values.high > 1):
        return next((r for r in FLOAT_RANGES if _fits(values, *r)), None)
    top = next((top for top in _tops(values) if values.high <= top), None)
    return None if top is None or not _fits(values, 0.0, top) else (0.0, top)


def _tops(values: PixelValues) -> list[float]:
    """Return the largest values of the usual bit depths that the type can hold."""
    dtype = np.dtype(values.dtype)
    limit = float(np.finfo(dtype).max if values.is_float else np.iinfo(dtype).max)
    tops = {2.0**bits - 1 for bits in BIT_DEPTHS} | {min(limit, 2.0**16 - 1)}
    return sorted(top for top in tops if top <= limit)


def _fits(values: PixelValues, low: float, high: float) -> bool:
    """Whether values lie in a range, or nearly, and fill a good part of it."""
    # Whole numbers are not resampled: a value beyond the range belongs to another one.
    slack = 0 if values.whole else BEYOND * (high - low)
    inside = low - slack <= values.low and values.high <= high + slack
    reach = values.high - low if low == 0 else values.high - values.low
    return inside and reach >= FILLED * (high - low)


def _own_range(values: PixelValues) -> tuple[float, float]:
    """Return the range of the values themselves; black stays 0 where they come near it."""
    low = 0.0 if 0 <= values.low <= values.high / 2 else values.low
    return low, values.high if values.high > low else low + max(1.0, abs(low))


def _outliers(values: PixelValues, chosen: PixelRange) -> str:
    """Return a remark on a range that is wide because of a few pixels."""
    low, high = values.bulk or (chosen.low, chosen.high)
    if values.levels <= 2 or high - low >= OUTLYING * (chosen.high - chosen.low):
        return ""
    return f"99 % of the pixels lie between {number(low)} and {number(high)}, so most look alike"


def _labels(values: PixelValues) -> str:
    """Return a remark on pixels that may be labels of classes."""
    if not values.whole or not 2 < values.levels <= FEW_LEVELS:
        return ""
    return (
        f"there are only {values.levels} distinct values: if they are labels of classes, give each "
        "class a channel of its own, since generated pixels may lie between two labels"
    )


def count_levels(array: Array, low: float, high: float) -> int | None:
    """Return how many evenly spaced levels from black to white hold all pixels; None if unknown.

    Whole numbers may be rounded from the levels. Half of the levels must occur: a few values lie on
    some grid by chance.
    """
    some = array.reshape(-1)
    if array.size > SAMPLED:
        some = some[np.random.default_rng(0).integers(array.size, size=SAMPLED)]
    found = np.unique(some)
    whole = array.dtype.kind != "f"
    most = min(MAX_LEVELS, round(high - low) + 1) if whole else MAX_LEVELS
    for levels in range(max(2, len(found)), min(2 * len(found), most) + 1):
        if _on_grid(found, low, high, levels) and _on_grid(array, low, high, levels):
            return levels
    return None


def _on_grid(array: Array, low: float, high: float, levels: int) -> bool:
    steps = levels - 1  # in the order of `ImageSchema.pixels`, so that halves are rounded alike
    nearest = np.rint((array - low) / (high - low) * steps) / steps * (high - low) + low
    if array.dtype.kind != "f":
        return bool((np.rint(nearest) == array).all())
    return bool((np.abs(nearest - array) <= GRID_ROUNDING * (high - low)).all())


def given_range(limits: str | Sequence[float]) -> tuple[float, float]:
    """Return black and white as a user gives them: (low, high), or "low..high"."""
    parts = limits.split("..") if isinstance(limits, str) else list(limits)
    try:
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError):
        low = high = 0.0
    if not -MAX_MAGNITUDE <= low < high <= MAX_MAGNITUDE:
        msg = f"range must be two numbers, the values of black and white, got {limits!r}"
        raise DataError(f"{msg}; write (0, 1), or --range 0..1")
    return low, high


def clip_to(array: Array, low: float, high: float) -> tuple[Array, str]:
    """Return pixels within a range that the user gave, and a note that counts those outside.

    Raises DataError where they are too many: then the range is in other units than the pixels.
    """
    outside = int(((array < low) | (array > high)).sum())
    if outside == 0:
        return array, ""
    share = outside / array.size
    limits = f"{number(low)}..{number(high)}"
    if share > MAX_CLIPPED:
        msg = f"pixels must lie in the range {limits} that was given, got {PixelValues.of(array)}"
        raise DataError(f"{msg}, of which {share:.0%} lie outside; give it in the pixels' units")
    clipped = np.clip(array, low, high).astype(array.dtype)
    return clipped, (
        f"check: {outside:,} of {array.size:,} pixels lay outside of the range {limits} and were "
        "moved to its ends"
    )


def number(value: float) -> str:
    """Return a number with as many digits as tell it from a round one."""
    return f"{value:.8g}"


def _is_whole(array: Array) -> bool:
    return bool((array == np.rint(array)).all())
