"""Days as parts: week and weekday, month and day of the month, with or without the year apart.

A day is counted from 1970-01-01, a Thursday. Each layout splits it into numbers, coarsest first,
and joins them again; a day that a month or a year lacks becomes its last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pushforward.data.numeric import Ints

THURSDAY = 3  # counted from Monday


@dataclass(frozen=True)
class Layout:
    """How days are split.

    Args:
        names: of the parts, coarsest first; the coarsest never decreases with the day.
        split: days to parts.
        join: parts to days.
    """

    names: tuple[str, ...]
    split: Callable[[Ints], tuple[Ints, ...]]
    join: Callable[..., Ints]


def weekdays(days: Ints) -> Ints:
    """Return the weekdays: Monday is 0."""
    return (days + THURSDAY) % 7


def months(days: Ints) -> Ints:
    """Return the months since the year 0."""
    return days.astype("M8[D]").astype("M8[M]").astype(np.int64) + 1970 * 12


def days_of_month(days: Ints) -> Ints:
    """Return the days of the month, from 1."""
    return days - first_days(months(days)) + 1


def first_days(month: Ints) -> Ints:
    """Return the first day of each month."""
    return (month - 1970 * 12).astype("M8[M]").astype("M8[D]").astype(np.int64)


def _day_of_month(month: Ints, day: Ints) -> Ints:
    last = first_days(month + 1) - 1
    days: Ints = np.minimum(first_days(month) + day - 1, last)
    return days


def _first_weeks(year: Ints) -> Ints:
    """Return the first week of each year, by ISO 8601 that of its first Thursday."""
    return -(-first_days(year * 12) // 7)


def _year_and_week(days: Ints) -> tuple[Ints, Ints, Ints]:
    week = (days + THURSDAY) // 7
    year = months(week * 7) // 12  # of its Thursday
    return year, week - _first_weeks(year) + 1, weekdays(days)


def _day_of_year(year: Ints, week: Ints, weekday: Ints) -> Ints:
    last = _first_weeks(year + 1) - 1
    weeks: Ints = np.minimum(_first_weeks(year) + week - 1, last)
    return weeks * 7 + weekday - THURSDAY


LAYOUTS = {
    "day": Layout(("day",), lambda days: (days,), lambda days: days),
    "week": Layout(
        ("week", "weekday"),
        lambda days: ((days + THURSDAY) // 7, weekdays(days)),
        lambda week, weekday: week * 7 + weekday - THURSDAY,
    ),
    "month": Layout(
        ("month", "day of the month"),
        lambda days: (months(days), days_of_month(days)),
        _day_of_month,
    ),
    "year and month": Layout(
        ("year", "month", "day of the month"),
        lambda days: (months(days) // 12, months(days) % 12 + 1, days_of_month(days)),
        lambda year, month, day: _day_of_month(year * 12 + month - 1, day),
    ),
    "year and week": Layout(("year", "week", "weekday"), _year_and_week, _day_of_year),
}
