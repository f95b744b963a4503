"""Formulas of times and clocks that may be those of a column of numbers, by a few rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from zoneinfo import available_timezones

import numpy as np

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.constraints.clock import (
    CLOCK,
    MIDNIGHT,
    MINUTES,
    PARTS,
    clock,
    is_zone,
    local_seconds,
    minutes,
    part_of_time,
)
from pushforward.data.tables.constraints.language import quote_name
from pushforward.data.tables.constraints.relation_candidates import Candidate, Values

HOUR = 3600
EXTREME_OFFSETS = (-12 * HOUR, 0, 14 * HOUR)  # of the clocks of the earth from UTC
MOST_OFFSETS = 6  # that one clock has in a table: summer time, a few changes of the law
USUAL_ZONES = (  # are tried first, so that a relation names the best known of equal clocks
    *("Europe/London", "Europe/Berlin", "Europe/Paris", "Europe/Athens", "Europe/Moscow"),
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"),
    *("America/Toronto", "America/Sao_Paulo", "America/Mexico_City", "America/Bogota"),
    *("Asia/Tokyo", "Asia/Shanghai", "Asia/Kolkata", "Asia/Singapore", "Asia/Dubai"),
    *("Australia/Sydney", "Pacific/Auckland", "Africa/Johannesburg", "Africa/Lagos"),
)
CLOCK_MINUTES = 60  # of an hour; numbers from 0 to 99 would have as many only by chance
LOG_CHANCE = -69.0  # of 1e-30
SHARE_BY_CHANCE = 0.6


def parts_of_times(times: Values, targets: Values, few: Ints) -> Iterator[Candidate]:
    """Yield the parts of times: on their own clocks, and on those of zones that may be meant.

    Args:
        times: in seconds (n,).
        targets: the columns of numbers (n,) that may be parts.
        few: the rows for which candidates have values.
    """
    for name, seconds in times.items():
        for part in PARTS:
            values = part_of_time(part, seconds[few])
            yield Candidate(f"{part}({quote_name(name)})", (name,), values, 0, False)
            yield Candidate(f"{part}({quote_name(name)}) + 1", (name,), values + 1, 1, False)
        meant = [part for part in PARTS if any(_may_be(part, seconds, y) for y in targets.values())]
        for zone in _different_zones(seconds) if meant else ():
            for part in meant:
                text = f'{part}({quote_name(name)}, "{zone}")'
                yield Candidate(text, (name,), part_of_time(part, seconds[few], zone), 1, False)


def _may_be(part: str, seconds: Floats, y: Floats) -> bool:
    """Whether numbers may be a part of times on the clock of some zone, but not on their own.

    A day begins at most 14 hours earlier than in UTC, and at most 12 later; an hour differs by one
    of a few offsets.
    """
    known = np.isfinite(seconds) & np.isfinite(y)
    seconds, y = seconds[known], y[known]
    if not len(y) or (part_of_time(part, seconds) == y).all():
        return False
    if part in ("hour", "minute"):
        period = {"hour": 24, "minute": 60}[part]
        offsets = (y - part_of_time(part, seconds)) % period
        is_whole = ((y % 1 == 0) & (y >= 0) & (y < period)).all()
        return bool(is_whole) and len(np.unique(offsets)) <= MOST_OFFSETS < len(np.unique(y))
    near = [part_of_time(part, seconds + offset) == y for offset in EXTREME_OFFSETS]
    return bool(np.logical_or.reduce(near).all())


def _different_zones(seconds: Floats) -> Iterator[str]:
    """Yield the zones whose clocks differ at these times."""
    instants = np.floor(seconds[np.isfinite(seconds)]).astype(np.int64)
    others = sorted(available_timezones() - {*USUAL_ZONES})
    seen = {local_seconds(instants, None).tobytes()}
    for zone in (*USUAL_ZONES, *others):
        if is_zone(zone) and (shown := local_seconds(instants, zone).tobytes()) not in seen:
            seen.add(shown)
            yield zone


def is_clock(numbers: Floats) -> bool:
    """Whether all numbers spell a time of day, such as 1530 or 2400, and not by chance.

    Of 100 endings the clock has 60: k different numbers have them by chance with 0.6^k.
    """
    distinct = np.unique(numbers[np.isfinite(numbers)])
    spelled = (distinct % 1 == 0) & (distinct % 100 < CLOCK_MINUTES)
    fits = spelled & (distinct >= 0) & (distinct <= MIDNIGHT)
    return bool(fits.all()) and len(distinct) * np.log(SHARE_BY_CHANCE) < LOG_CHANCE


def clock_sums(clocks: Values, numbers: Values) -> Iterator[Candidate]:
    """Yield clock numbers, minutes after or before others, and the minutes between two."""
    for start, name in ((a, b) for a in clocks for b in numbers if b not in clocks):
        for sign, cost in (("+", 2), ("-", 4)):
            text = f"{MINUTES}({quote_name(start)}) {sign} {quote_name(name)}"
            passed = minutes(clocks[start]) + (1 if sign == "+" else -1) * numbers[name]
            yield Candidate(f"{CLOCK}({text})", (start, name), clock(passed), cost, False)
            late = clock(passed, MIDNIGHT)
            text = f"{CLOCK}({text}, {MIDNIGHT})"
            yield Candidate(text, (start, name), late, cost + 1, False)
    for start, end in permutations(clocks, 2):
        text = f"{MINUTES}({quote_name(end)}) - {MINUTES}({quote_name(start)})"
        passed = minutes(clocks[end]) - minutes(clocks[start])
        yield Candidate(text, (end, start), passed, 8, False)
        round_text = f"{MINUTES}({CLOCK}({text}))"
        yield Candidate(round_text, (end, start), minutes(clock(passed)), 9, False)
