"""Checks of measures against known truths.

A check holds when the truth lies within the measure's own interval, widened from 95 % to 99.9 %:
with about seventy checks, one false alarm in twenty would be too many. An exact value has no
interval and holds up to rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from pushforward import measures
from pushforward.measures import Measurement

Samples = Callable[[], Sequence[Any]]
WIDENED = 3.290527 / 1.959964  # the normal's 99.95 % quantile by its 97.5 %
ROUNDING = 1e-9  # as a share of the truth


@dataclass(frozen=True)
class Estimate:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Check:
    """A measure on samples for which the truth is known.

    Args:
        measure: its name in `pushforward.measures`.
        case: the two distributions, in words.
        truth: the correct value.
        estimate: draws the samples and measures them.
        short: how far a lower bound may lie below the truth, as a share of it.
        exact: if set, only the value counts, and may differ by this share of the truth.
    """

    measure: str
    case: str
    truth: float
    estimate: Callable[[], Estimate]
    short: float = 0.0
    exact: float | None = None


def on(
    measure: str,
    case: str,
    truth: float,
    samples: Samples,
    *,
    part: str = "",
    short: float = 0.0,
    exact: float | None = None,
    **options: Any,
) -> Check:
    """Return a check of a measure, or of a part of its `extra`."""

    def estimate() -> Estimate:
        return as_estimate(getattr(measures, measure)(*samples(), **options), part)

    return Check(measure, case, truth, estimate, short, exact)


@dataclass(frozen=True)
class Result:
    """The result of a check; `holds` is the verdict, `seconds` the time it took."""

    measure: str
    case: str
    truth: float
    short: float
    value: float
    low: float
    high: float
    holds: bool
    seconds: float


def run(checks: Sequence[Check], progress: Callable[[str], None] = lambda _: None) -> list[Result]:
    """Run checks and return their results, in order.

    Args:
        checks: which.
        progress: called with the measure and case of each check before it runs.
    """
    results = []
    for check in checks:
        progress(f"{check.measure}: {check.case}")
        results.append(judge(check))
    return results


def judge(check: Check) -> Result:
    """Run one check and return its result."""
    start = time.perf_counter()
    estimate = check.estimate()
    seconds = time.perf_counter() - start
    value, low, high = estimate.value, estimate.low, estimate.high
    if check.exact is not None:
        low = high = value
    verdict = holds(check, estimate)
    return Result(
        check.measure, check.case, check.truth, check.short, value, low, high, verdict, seconds
    )


def holds(check: Check, estimate: Estimate) -> bool:
    """Return whether an estimate agrees with the truth of a check."""
    size = abs(check.truth)
    if check.exact is not None:
        return abs(estimate.value - check.truth) <= check.exact * size
    centre, half = (estimate.low + estimate.high) / 2, (estimate.high - estimate.low) / 2
    slack = WIDENED * half + ROUNDING * max(1.0, size)
    return centre - slack <= check.truth <= centre + slack + check.short * size


def as_estimate(measurement: Measurement, part: str = "") -> Estimate:
    """Return a measurement's value and interval, or those of a part of its `extra`."""
    if part:
        return Estimate(
            *(measurement.extra[name] for name in (part, f"{part}_low", f"{part}_high"))
        )
    low, high = measurement.interval or (measurement.value, measurement.value)
    return Estimate(measurement.value, low, high)


def averaged(values: Iterable[float]) -> Estimate:
    """Return the mean of independent values, with the normal interval of a mean."""
    drawn = list(values)
    half = 1.959964 * stdev(drawn) / math.sqrt(len(drawn))
    mean = fmean(drawn)
    return Estimate(mean, mean - half, mean + half)
