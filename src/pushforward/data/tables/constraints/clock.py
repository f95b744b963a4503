"""Functions of formulas: parts of times, and numbers that spell a time of day, such as 1530.

A time counts in seconds since 1970. `hour(t)` reads it on the clock that it is written by (in UTC,
if it has a zone), `hour(t, "America/New_York")` on the clock there, where a time without a zone
counts as UTC. `minutes(1530)` is 930, the minutes since midnight; `clock(930)` is 1530. A clock
goes round: `clock(1500)` is 100, an hour past midnight, which `clock(m)` writes as 0 and
`clock(m, 2400)` as 2400.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
FIRST_ROWS = 100  # show that most columns hold no clock numbers
SHARE_OF_ENDINGS, LOG_CHANCE = 0.6, -69.0  # of 1e-30
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
    return _of_known(PARTS[part], seconds if zone is None else local_seconds(seconds, zone))


def local_seconds(seconds: Floats, zone: str) -> Floats:
    """Return what the clock of a zone shows (n,) in seconds, NaN where missing."""
    return _of_known(lambda known: clocks_of([zone], known)[0], seconds)


def _of_known(function: Callable[[Ints], Ints], seconds: Floats) -> Floats:
    known = np.isfinite(seconds)
    result = np.full(np.shape(seconds), np.nan)
    result[known] = function(np.floor(seconds[known]).astype(np.int64))
    return result


def clocks_of(zones: Sequence[str], seconds: Ints) -> Ints:
    """Return what the clocks of zones show, in seconds (zones, n)."""
    times = pl.from_epoch(pl.Series("t", seconds), "s").dt.replace_time_zone("UTC").to_frame()
    shown = times.select(
        pl.col("t").dt.convert_time_zone(zone).dt.replace_time_zone(None).alias(zone)
        for zone in zones
    )
    return shown.select(pl.all().dt.epoch("s")).to_numpy().T.astype(np.int64)


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        clocks_of([name], np.zeros(1, np.int64))
    except pl.exceptions.PolarsError:
        return False
    return True


def minutes(clock_numbers: Floats) -> Floats:
    """Return minutes since midnight (n,) of numbers such as 1530; 1575 is none: 1600 follows."""
    return clock_numbers // 100 * 60 + np.minimum(clock_numbers % 100, 60)


def numbers_of_minutes(passed: Floats) -> Floats:
    """Return the numbers such as 1530 (n,) of minutes since midnight; 1440 is 2400."""
    return passed // 60 * 100 + passed % 60


def clock(passed: Floats, midnight: int = 0) -> Floats:
    """Return clock numbers (n,) of minutes since midnight, which is written as 0 or as 2400."""
    numbers = numbers_of_minutes(np.round(passed) % MINUTES_PER_DAY)
    return np.where(numbers == 0, float(midnight), numbers)


def is_clock(values: pl.Series) -> bool:
    """Whether all numbers spell a time of day, such as 1530 or 2400, and not by chance.

    Of 100 endings the clock has 60: k different numbers have them by chance with 0.6^k.
    """
    if not all(_spell_times(some) for some in (values.head(FIRST_ROWS), values)):
        return False
    return bool(values.n_unique() * np.log(SHARE_OF_ENDINGS) < LOG_CHANCE)


def _spell_times(values: pl.Series) -> bool:
    """Whether numbers are times of day, from 0 to 2400, or missing."""
    numbers = values.cast(pl.Float64).drop_nulls().to_numpy()
    numbers = numbers[~np.isnan(numbers)]
    if not np.isfinite(numbers).all():
        return False
    spelled = (numbers % 1 == 0) & (numbers % 100 < 60) & (numbers >= 0) & (numbers <= MIDNIGHT)
    return bool(spelled.all())
