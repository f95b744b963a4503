"""Functions of formulas: parts of times, and numbers that spell a time of day, such as 1530.

A time counts in seconds since 1970. `hour(t)` reads it on the clock that it is written by (in UTC,
if it has a zone), `hour(t, "America/New_York")` on the clock there, where a time without a zone
counts as UTC. `minutes(1530)` is 930, the minutes since midnight; `clock(930)` is 1530. A clock
goes round: `clock(1500)` is 100, an hour past midnight, which `clock(m)` writes as 0 and
`clock(m, 2400)` as 2400.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.constraints.days import (
    LAYOUTS,
    days_of_month,
    first_days,
    months,
    weekdays,
)

SECONDS_PER_DAY, MINUTES_PER_DAY = 86_400, 1440
MIDNIGHT = 2400  # as the end of a day
MINUTES, CLOCK = "minutes", "clock"


def _of_days(function: Callable[[Ints], Ints]) -> Callable[[Ints], Ints]:
    return lambda seconds: function(seconds // SECONDS_PER_DAY)


PARTS: Mapping[str, Callable[[Ints], Ints]] = {
    "year": _of_days(lambda days: months(days) // 12),
    "quarter": _of_days(lambda days: months(days) % 12 // 3 + 1),
    "month": _of_days(lambda days: months(days) % 12 + 1),
    "week": _of_days(lambda days: LAYOUTS["year and week"].split(days)[1]),  # by ISO 8601
    "day": _of_days(days_of_month),
    "day_of_year": _of_days(lambda days: days - first_days(months(days) // 12 * 12) + 1),
    "weekday": _of_days(weekdays),  # Monday is 0
    "hour": lambda seconds: seconds // 3600 % 24,
    "minute": lambda seconds: seconds // 60 % 60,
    "second": lambda seconds: seconds % 60,
}


def part_of_time(part: str, seconds: Floats, zone: str | None = None) -> Floats:
    """Return a part (n,) of times on the clock of a zone, NaN where missing."""
    known = np.isfinite(seconds)
    parts = np.full(np.shape(seconds), np.nan)
    parts[known] = PARTS[part](local_seconds(np.floor(seconds[known]).astype(np.int64), zone))
    return parts


def local_seconds(seconds: Ints, zone: str | None) -> Ints:
    """Return what the clock of a zone shows, in seconds."""
    if zone in (None, "UTC"):
        return seconds
    times = pl.from_epoch(pl.Series(seconds), "s").cast(pl.Datetime("ms"))
    local = times.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None)
    return local.to_physical().to_numpy() // 1000


@cache
def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        local_seconds(np.zeros(1, np.int64), name)
    except pl.exceptions.PolarsError:
        return False
    return True


def minutes(clock_numbers: Floats) -> Floats:
    """Return minutes since midnight (n,) of numbers such as 1530."""
    return clock_numbers // 100 * 60 + clock_numbers % 100


def clock(passed: Floats, midnight: int = 0) -> Floats:
    """Return clock numbers (n,) of minutes since midnight, which is written as 0 or as 2400."""
    within = np.round(passed) % MINUTES_PER_DAY
    numbers = within // 60 * 100 + within % 60
    return np.where(numbers == 0, float(midnight), numbers)
