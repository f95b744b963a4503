"""The table of aspects: how each pair of models differs, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pushforward.comparison.differences import Difference
from pushforward.comparison.result import Comparison
from pushforward.report.numbers import fixed, p_value, percent


@dataclass(frozen=True)
class AspectRow:
    """One aspect; where its marks lie is a percentage of the axis's length.

    Args:
        aspect: its name.
        mean: the difference of the mean losses, first minus second.
        interval: 95 %.
        p_value: corrected.
        better: a model, or None.
        left: where the mean lies.
        ends: where the interval begins and ends.
    """

    aspect: str
    mean: str
    interval: str
    p_value: str
    better: str | None
    left: float
    ends: tuple[float, float]


@dataclass(frozen=True)
class ModelPair:
    """Two models, aspect by aspect."""

    first: str
    second: str
    rows: list[AspectRow]


def pairs(comparison: Comparison) -> list[ModelPair]:
    """Return every pair of models, those with the recommended one first."""
    own = comparison.differences
    names = list(dict.fromkeys((d.first, d.second) for d in own))
    names.sort(key=lambda pair: comparison.recommendation.model not in pair)
    reach = _reach(own)
    rows = {pair: [_row(d, reach) for d in own if (d.first, d.second) == pair] for pair in names}
    return [ModelPair(*pair, of_pair) for pair, of_pair in rows.items()]


def _reach(differences: Sequence[Difference]) -> float:
    """Return where the axis ends, so that one wide interval does not flatten all others."""
    largest = max((abs(d.mean) for d in differences), default=0.0)
    ends = max((max(abs(d.low), abs(d.high)) for d in differences), default=0.0)
    return 1.05 * min(ends, 2 * largest) or 1.0


def _row(d: Difference, reach: float) -> AspectRow:
    left, low, high = (percent(value, -reach, reach) for value in (d.mean, d.low, d.high))
    interval = f"{fixed(d.low, 2)} to {fixed(d.high, 2)}"
    return AspectRow(
        d.aspect, fixed(d.mean, 2), interval, p_value(d.p_value), d.better, left, (low, high)
    )
