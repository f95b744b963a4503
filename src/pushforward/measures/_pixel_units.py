"""Whether two samples of images are in the same units, and how to bring one into the other's."""

from __future__ import annotations

from pushforward.data.pixel_range import PixelRange, PixelValues, choose_range, number

WIDER = 2.0  # a sample that needs so many times the range is in other units
NARROWER = 0.01  # ... and one that fills so little of it, unless it is one value alone


def other_units(
    name: str, known: PixelValues, own: PixelRange, other_name: str, other: PixelValues
) -> str | None:
    """Return what tells two samples' units apart, and the cure; None where they are the same.

    Args:
        name: of the sample that the others are compared with.
        known: its pixels.
        own: its black and white.
        other_name: of the other sample.
        other: its pixels.
    """
    if _same(known, own, other):
        return None
    cure = _cure(known, own, other_name, other)
    return (
        f"the images are in different units: {name} has {known}, {other_name} has {other}; bring "
        f"them into one range and type, e.g. {cure}"
    )


def _same(known: PixelValues, own: PixelRange, other: PixelValues) -> bool:
    if known.is_float != other.is_float:
        return False
    span = own.high - own.low
    if max(own.high, other.high) - min(own.low, other.low) >= WIDER * span:
        return False
    if other.low == other.high:
        return True
    chosen = choose_range(other)
    if known.is_float and own.usual and chosen.usual and own.low < 0 <= other.low:
        return False  # [-1, 1] and [0, 1]
    if known.dtype != other.dtype and not known.is_float and chosen.usual:
        return WIDER * (chosen.high - chosen.low) > span
    return other.high - other.low > NARROWER * span


def _cure(known: PixelValues, own: PixelRange, name: str, other: PixelValues) -> str:
    """Return the expression that carries one sample into the units of another."""
    chosen = choose_range(other)
    scale = (own.high - own.low) / (chosen.high - chosen.low)
    shift = own.low - chosen.low * scale
    moved = name if abs(scale - 1) < 1e-3 else f"{name} * {scale:.6g}"
    moved = moved if abs(shift) < 1e-3 * (own.high - own.low) else f"{moved} + {number(shift)}"
    if known.dtype == other.dtype and (known.is_float or scale % 1 == shift % 1 == 0):
        return moved
    rounded = f"({moved})" if moved != name else moved
    rounded = rounded if known.is_float else f"{rounded}.round()"
    return f"{rounded}.astype({known.dtype!r})"
