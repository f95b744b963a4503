"""A constant, or one for each category, that relates columns which are rounded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats

Factors = dict[str | None, float]  # by category; None for a missing one

MAX_SIGNIFICANT = 17
MAX_DENOMINATOR = 1000


def category_texts(values: pl.Series) -> list[str | None]:
    """Return categories as text, None for a missing one."""
    return values.cast(pl.String).to_list()


def fit_factors(keys: Sequence[str | None], y: Floats, x: Floats, tolerance: Floats) -> Factors:
    """Return the factor f of each category for which y = f x up to a tolerance, if there is one.

    Rows with a missing value, or where x is 0, do not count. A category without other rows has
    the factor 1; where no factor fits, it is the median of the ratios, which then violates some.
    """
    names, codes = np.unique(
        ["" if key is None else f"={key}" for key in keys], return_inverse=True
    )
    counted = np.isfinite(x) & np.isfinite(y) & (x != 0)
    return {
        name[1:] if name else None: _factor(y[rows], x[rows], tolerance[rows])
        for i, name in enumerate(map(str, names))
        for rows in [counted & (codes == i)]
    }


def _factor(y: Floats, x: Floats, tolerance: Floats) -> float:
    if not len(y):
        return 1.0
    low, high = constant_interval(y, x, tolerance)
    return float(Fraction(simplest(low, high))) if low <= high else float(np.median(y / x))


def constant_interval(y: Floats, x: Floats, tolerance: Floats) -> tuple[float, float]:
    """Return the smallest and the largest k with |y - k x| <= tolerance in all rows; no x is 0."""
    low, high = (y - tolerance) / x, (y + tolerance) / x
    return float(np.minimum(low, high).max()), float(np.maximum(low, high).min())


def simplest(low: float, high: float) -> str:
    """Return the number within an interval that is written with the fewest digits.

    It is a decimal or a fraction, "1.19" or "1/3", as `fractions.Fraction` and the language of
    constraints read it.
    """
    texts = [*_decimals(low, high), *_fractions(low, high)]
    return min(texts, key=lambda text: len(text.strip("-0.").replace(".", "")))


def _decimals(low: float, high: float) -> Iterator[str]:
    """Yield the shortest decimal within an interval."""
    middle = (low + high) / 2
    texts = (f"{middle:.{digits}g}" for digits in range(1, MAX_SIGNIFICANT + 1))
    yield next((text for text in texts if low <= float(text) <= high), repr(middle))


def _fractions(low: float, high: float) -> Iterator[str]:
    """Yield the fraction within an interval that has the smallest denominator, up to a largest."""
    for denominator in range(2, MAX_DENOMINATOR + 1):
        numerator = math.ceil(low * denominator)
        if numerator <= high * denominator:
            yield f"{numerator}/{denominator}"
            return
