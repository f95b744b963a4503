"""Formulas of times and clocks that may be those of a column of numbers, by a few rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
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
    clocks_of,
    is_zone,
    local_seconds,
    minutes,
    part_of_time,
)
from pushforward.data.tables.constraints.language import quote_name
from pushforward.data.tables.constraints.relation_candidates import Candidate, Values

HOUR = 3600
EXTREME_OFFSETS = (-12 * HOUR, 0, 14 * HOUR)  # of the clocks of the earth from UTC
PROBING_ROWS = 24  # refute most zones
MOST_ZONES = 20  # whose clocks are compared at more times
MOST_OFFSETS = 6  # that one clock has in a table: summer time, a few changes of the law
USUAL_ZONES = (  # are tried first, so that a relation names the best known of equal clocks
    *("Europe/London", "Europe/Berlin", "Europe/Paris", "Europe/Athens", "Europe/Moscow"),
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"),
    *("America/Toronto", "America/Sao_Paulo", "America/Mexico_City", "America/Bogota"),
    *("Asia/Tokyo", "Asia/Shanghai", "Asia/Kolkata", "Asia/Singapore", "Asia/Dubai"),
    *("Australia/Sydney", "Pacific/Auckland", "Africa/Johannesburg", "Africa/Lagos"),
)


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
        meant = [(part, y) for y in targets.values() for part in PARTS if _may_be(part, seconds, y)]
        for zone in _zones(seconds, meant) if meant else ():
            shown = local_seconds(seconds, zone)
            for part, y in meant:
                values = part_of_time(part, shown)
                if ((values == y) | np.isnan(values) | np.isnan(y)).all():
                    text = f'{part}({quote_name(name)}, "{zone}")'
                    yield Candidate(text, (name,), values[few], 1, False)


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


def _zones(seconds: Floats, meant: Sequence[tuple[str, Floats]]) -> list[str]:
    """Return the zones on whose clocks a part has the values (n,) that are meant, best first.

    Of those whose clocks show the same at all times of the sample, the first is named.
    """
    known = np.flatnonzero(np.isfinite(seconds))
    instants = np.floor(seconds[known]).astype(np.int64)
    few = np.linspace(0, len(known) - 1, PROBING_ROWS).astype(int)
    shown, fits = clocks_of(all_zones(), instants[few]), np.zeros(len(all_zones()), np.int64)
    for part, y in meant:
        given = y[known[few]]
        fits += ((PARTS[part](shown) == given) | np.isnan(given)).all(axis=1)
    most = np.argsort(-fits, kind="stable")[: min(np.count_nonzero(fits), MOST_ZONES)]
    best = [all_zones()[i] for i in most]
    different: dict[bytes, str] = {}
    for zone, clock_shows in zip(best, clocks_of(best, instants), strict=True):
        different.setdefault(clock_shows.tobytes(), zone)
    return [*different.values()]


@cache
def all_zones() -> list[str]:
    """Return the time zones of the earth, the best known ones first."""
    others = sorted(zone for zone in available_timezones() - {*USUAL_ZONES} if "/" in zone)
    return [zone for zone in (*USUAL_ZONES, *others) if is_zone(zone)]


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
