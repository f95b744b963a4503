"""The shapes that a curve of values should have, and by how much it has them.

A shape turns a curve (place on the axis -> value, in ascending order) into needs, all of which have
to hold. The tolerances are those of the authors of the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

TOLERANCE = 0.05  # how far a value may be from its target, and a flat curve from itself
MAX_EXCESS = 0.1  # how far an end may be from the extreme that it should be
MIN_CHANGE = 0.2  # how much a curve has to fall or rise from one end to the other


@dataclass(frozen=True)
class Need:
    """One inequality that a curve has to meet.

    Args:
        expected: what has to be, in words.
        seen: what is.
        slack: by how much it is met; negative: by how much it is not.
    """

    expected: str
    seen: float
    slack: float


Curve = Mapping[float, float]
Shape = Callable[[Curve], list[Need]]


def near(target: float, at: float) -> Shape:
    """Return the shape of a curve that has a target's value at a place."""

    def shape(curve: Curve) -> list[Need]:
        seen = curve[at]
        return [Need(f"{target:g} ± {TOLERANCE} at {at:g}", seen, TOLERANCE - abs(seen - target))]

    return shape


def flat(since: float = float("-inf")) -> Shape:
    """Return the shape of a curve that does not change, or no longer since a place."""
    where = "" if since == float("-inf") else f" from {since:g} on"

    def shape(curve: Curve) -> list[Need]:
        values = [value for place, value in curve.items() if place >= since]
        return [_most(TOLERANCE, f"range{where}", max(values) - min(values))]

    return shape


def falls(already: float | None = None) -> Shape:
    """Return the shape of a curve that falls from end to end, and that has fallen `already`."""

    def shape(curve: Curve) -> list[Need]:
        first, last = _ends(curve)
        needs = [
            _least(MIN_CHANGE, "fall from the first value to the last", first - last),
            _most(MAX_EXCESS, "highest value above the first", max(curve.values()) - first),
            _most(MAX_EXCESS, "last value above the lowest", last - min(curve.values())),
        ]
        if already is not None:
            needs.append(
                _least(MAX_EXCESS, f"fall from the first to {already:g}", first - curve[already])
            )
        return needs

    return shape


def rises() -> Shape:
    """Return the shape of a curve that rises from end to end."""

    def shape(curve: Curve) -> list[Need]:
        first, last = _ends(curve)
        return [
            _least(MIN_CHANGE, "rise from the first value to the last", last - first),
            _most(MAX_EXCESS, "first value above the lowest", first - min(curve.values())),
            _most(MAX_EXCESS, "highest value above the last", max(curve.values()) - last),
        ]

    return shape


def bell(middle: float) -> Shape:
    """Return the shape of a curve that is highest in the middle, and lowest at one end or both."""

    def shape(curve: Curve) -> list[Need]:
        first, last = _ends(curve)
        peak, top, bottom = curve[middle], max(curve.values()), min(curve.values())
        return [
            _least(MIN_CHANGE, f"rise from the first value to {middle:g}", peak - first),
            _least(MIN_CHANGE, f"fall from {middle:g} to the last value", peak - last),
            _most(MAX_EXCESS, f"highest value above that at {middle:g}", top - peak),
            _most(MAX_EXCESS, "lower end above the lowest value", min(first, last) - bottom),
        ]

    return shape


def _ends(curve: Curve) -> tuple[float, float]:
    values = list(curve.values())
    return values[0], values[-1]


def _least(bound: float, what: str, seen: float) -> Need:
    return Need(f"{what}: at least {bound}", seen, seen - bound)


def _most(bound: float, what: str, seen: float) -> Need:
    return Need(f"{what}: at most {bound}", seen, bound - seen)
