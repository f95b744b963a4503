"""The shapes that a curve of values should have, and by what margin it has them.

A shape turns a curve (place on the axis -> value, in ascending order) into needs, all of which must
hold. The tolerances are those of the authors of the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

TOLERANCE = 0.05  # of a value from its target, and range of a flat curve
MAX_EXCESS = 0.1  # of the extreme over the end that should be it; also the least early fall
MIN_CHANGE = 0.2  # from one end of a falling or rising curve to the other


@dataclass(frozen=True)
class Need:
    """One inequality that a curve must satisfy.

    Args:
        expected: the inequality, in words.
        seen: the value of the curve.
        slack: by how much it holds; negative: by how much it does not.
    """

    expected: str
    seen: float
    slack: float


Curve = Mapping[float, float]
Shape = Callable[[Curve], list[Need]]


def near(target: float, at: float) -> Shape:
    """Return the shape of a curve with a target value at a place."""

    def shape(curve: Curve) -> list[Need]:
        seen = curve[at]
        return [Need(f"{target:g} ± {TOLERANCE} at {at:g}", seen, TOLERANCE - abs(seen - target))]

    return shape


def flat(since: float = float("-inf")) -> Shape:
    """Return the shape of a curve that is flat, or flat from a place on."""
    where = "" if since == float("-inf") else f" from {since:g} on"

    def shape(curve: Curve) -> list[Need]:
        values = [value for place, value in curve.items() if place >= since]
        return [_most(TOLERANCE, f"range{where}", max(values) - min(values))]

    return shape


def falls(already: float | None = None) -> Shape:
    """Return the shape of a curve that falls from end to end, part of it before `already`."""

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
