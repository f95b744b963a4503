"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pushforward.comparison.contrasts import mean_interval
from pushforward.comparison.losses import Losses

MINUS = "\N{MINUS SIGN}"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def decimals_for(values: Iterable[float], digits: int = 3) -> int:
    """Return how many decimals show the largest of the values with so many significant digits."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return 0 if largest == 0 else max(0, digits - 1 - math.floor(math.log10(largest)))


def fixed(value: float, decimals: int) -> str:
    """Return a number with so many decimals; one that would vanish keeps its first digit."""
    if not math.isfinite(value):
        return "not finite"
    text = f"{value:,.{decimals}f}" if value else "0"
    if value and float(text.replace(",", "")) == 0:
        text = f"{value:.1g}"
    return _typeset(text)


def significant(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits."""
    if not math.isfinite(value):
        return "not finite"
    if value and not 1e-4 <= abs(value) < 10**15:
        return _typeset(f"{value:.{digits - 1}e}")
    return fixed(value, decimals_for([value], digits))


def _typeset(text: str) -> str:
    """Return a number with a true minus sign and a raised exponent."""
    mantissa, e, exponent = text.partition("e")
    power = f"·10{str(int(exponent)).translate(SUPERSCRIPT)}" if e else ""
    return mantissa.replace("-", MINUS) + power


def share(value: float) -> str:
    """Return a share as a percentage."""
    percent = 100 * value
    return "<1 %" if 0 < percent < 0.5 else f"{percent:.0f} %"


def duration(seconds: float) -> str:
    """Return a time in seconds or minutes."""
    if seconds < 120:
        return f"{significant(seconds, 2 if seconds < 10 else 3)} s"
    return f"{seconds / 60:.1f} min"


def memory(size: float) -> str:
    """Return bytes as MiB or GiB."""
    mebi = size / 2**20
    return f"{mebi:,.0f} MiB" if mebi < 1024 else f"{mebi / 1024:.1f} GiB"


def quantity(value: float) -> str:
    """Return a count with its thousands apart; a large one rounded."""
    return f"{value:,.0f}" if value < 1e6 else f"{value / 1e6:,.2f} million"


def percent(value: float, low: float, high: float) -> float:
    """Return how far a value is on the way from low to high, from 0 to 100; never outside."""
    return 100 * min(max((value - low) / (high - low), 0.0), 1.0)


def p_value(value: float) -> str:
    """Return a p-value with two digits, or that it is tiny."""
    return "< 0.001" if value < 0.001 else significant(value, 2)


def half_interval(values: Sequence[float]) -> float | None:
    """Return half of Student's 95 % interval of the mean; None for fewer than two values."""
    ends = mean_interval(Losses(tuple(values)))
    return None if ends is None else (ends[1] - ends[0]) / 2
