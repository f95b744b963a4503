"""One column as several: a date-time as week, weekday and time of day, a price as whole and ending.

A quantile bin says nothing about what is finer than itself: hours, weekdays, prices that end in
.99. Where the values of the training rows and values redrawn within their bins differ in such a
part, or (of times) in what it tells of another column, the column is modelled by its parts, each
with atoms and bins of its own, and put together exactly. The coarsest part is missing where the
value is; the others then repeat the row before, so that they need no cell of missing values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.column_summary import (
    MAX_GRID_STEPS,
    TICKS_PER_SECOND,
    ColumnSummary,
    is_real,
)
from pushforward.data.tables.columns import column_from_json
from pushforward.data.tables.constraints.clock import (
    SECONDS_PER_DAY,
    minutes,
    numbers_of_minutes,
)
from pushforward.data.tables.constraints.days import LAYOUTS, days_of_month, months, weekdays
from pushforward.data.tables.constraints.redrawn import (
    Redrawn,
    find_periods,
    nearest_integers,
    redrawn_integers,
)
from pushforward.data.tables.interval_set import IntervalSet
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.recurring import are_names, recur
from pushforward.errors import DataError

TESTED_ROWS = 5000  # from which it is told whether a part carries information
MIN_ROWS = 100
DECIMAL_PERIODS = tuple(10**k for k in range(1, 8))
CLOCK_PERIODS, CLOCK_NAMES = (5, 10, 15, 30, 60), {60: "hour"}  # of a clock number, in minutes
COUNTS_A_DAY = {"second": SECONDS_PER_DAY, "minute": 1440, "hour": 24}


@dataclass(frozen=True, eq=False)
class PartsStep:
    """A column that is modelled by its parts.

    Args:
        column: the codec of its values.
        layout: how days are split, of `LAYOUTS`; None for numbers.
        periods: what remains (of a day, or the number itself, in steps of the column's grid) is
            divided by each of these in turn, which descend.
        names: of the modelled columns, coarsest first.
        extent: the smallest and the largest number of all rows: what is generated stays within.
        zone: by whose clock times are split; None for the clock that they are written by.
        is_clock: whether the numbers spell a time of day, such as 1530: steps are minutes.
    """

    kind: ClassVar[str] = "parts"

    column: NumericCodec
    layout: str | None
    periods: tuple[int, ...]
    names: tuple[str, ...]
    extent: tuple[float, float]
    zone: str | None = None
    is_clock: bool = False

    @classmethod
    def fit(
        cls,
        column: NumericCodec,
        summary: ColumnSummary,
        numbers: Floats,
        taken: frozenset[str],
        *,
        beside: Sequence[Ints] = (),
        zone: str | None = None,
        is_clock: bool = False,
    ) -> PartsStep | None:
        """Return the step of a column, by its training rows; None if it needs none.

        Args:
            column: its codec.
            summary: of all its rows.
            numbers: of its training rows, NaN where missing.
            taken: the names that the parts must not have.
            beside: codes of the other modelled columns, of every k-th of these rows that
                `tested_rows` chooses.
            zone: by whose clock times are read, if another column shows it.
            is_clock: whether the numbers spell a time of day.
        """
        if not (column.partition.has_bins and _can_be_split(column)):
            return None
        every, numbers = numbers, numbers[tested_rows(len(numbers))]
        present = ~np.isnan(numbers)
        numbers, beside = numbers[present], [codes[present] for codes in beside]
        if len(numbers) < MIN_ROWS:
            return None
        zone = None if column.offset_ticks else zone
        whole = cls(column, None, (), (), _extent(column, summary), zone, is_clock)
        is_time = column.dtype.is_temporal()
        fitted = whole._fit_days(numbers, beside, every) if is_time else whole._fit(numbers)
        return None if fitted is None else replace(fitted, names=_names(fitted, taken))

    def _fit_days(self, numbers: Floats, beside: Sequence[Ints], every: Floats) -> PartsStep | None:
        """Return the step of times, with the layout of their days and the periods of a day.

        `every` is all training rows, of which the others are some.
        """
        by_day = replace(self, layout="day")
        redrawn = Redrawn.of(self.column, numbers, self._steps, beside)
        days = redrawn.map(by_day._days)
        layout, named = "day", by_day._has_named_days(numbers, beside, every)
        if not named:
            layout = _layout(
                weekly=days.excess(weekdays, 7, days.real),
                monthly=days.excess(lambda day: days_of_month(day) - 1, 31, days.real),
                seasonal=days.excess(lambda day: months(day) % 12, 12, days.real),
            )
        if by_day._is_whole_day:
            return None if layout == "day" else replace(self, layout=layout)
        times = redrawn.map(by_day._times)
        periods = (*self._clock_periods.values(), self._units_per_day)
        if layout == "day" and not named and not any(map(times.excess_of_period, periods)):
            return None
        finer = find_periods(redrawn_integers(times.real), periods[:-1])
        return replace(self, layout=layout, periods=finer)

    def _has_named_days(self, numbers: Floats, beside: Sequence[Ints], every: Floats) -> bool:
        """Whether days recur, and tell of other columns what no bin of days does."""
        if not (beside and recur(self.coarsest_numbers(every))):
            return False
        days = self.coarsest_numbers(numbers)
        column = NumericCodec.of_integers("", days, missing=False)
        return column.partition.has_bins and are_names(column, days, beside)

    def _fit(self, numbers: Floats) -> PartsStep | None:
        """Return the step of numbers; those of a clock always need one."""
        if self.is_clock:
            real = redrawn_integers(self._steps(numbers))
            return replace(self, periods=find_periods(real, CLOCK_PERIODS))
        periods = find_periods(Redrawn.of(self.column, numbers, self._steps), DECIMAL_PERIODS)
        return replace(self, periods=periods) if periods else None

    @property
    def replaced(self) -> tuple[str, ...]:
        """The column that is not modelled itself."""
        return (self.column.name,)

    @property
    def descriptions(self) -> tuple[str, ...]:
        """What the parts are, coarsest first."""
        if self.is_clock:
            named = [CLOCK_NAMES.get(p, f"in {p} minutes") for p in self.periods]
            return (*named, "rest" if self.periods else "time of day")
        if self.layout is None:
            units = [f"{period / self._scale:g}" for period in self.periods]
            return (f"in {units[0]}", *(f"below {unit}" for unit in units))
        days = LAYOUTS[self.layout].names
        if self._is_whole_day:
            return days
        names = {period: name for name, period in self._clock_periods.items()}
        return (*days, *(names[p] for p in self.periods), "rest" if self.periods else "time")

    @property
    def note(self) -> str:
        """What the user is told."""
        *parts, last = self.descriptions
        listed = f"{', '.join(parts)} and {last}" if parts else last
        where = "" if self.zone is None else f", on the clock of {self.zone}"
        return f"column {self.column.name!r} is modelled by its parts: {listed}{where}"

    def columns(self, numbers: Floats) -> list[NumericCodec]:
        """Return the codecs of the modelled columns, by the numbers of all training rows."""
        present = ~np.isnan(numbers)
        finer = self.split(numbers[present])[1:]
        whole = self.coarsest_numbers(numbers)
        missing = self.column.partition.missing is not None
        codecs = [NumericCodec.of_integers(self.names[0], whole, missing=missing)]
        return codecs + [
            NumericCodec.of_integers(name, part.astype(np.float64), missing=False)
            for name, part in zip(self.names[1:], finer, strict=True)
        ]

    def coarsest_numbers(self, numbers: Floats) -> Floats:
        """Return the coarsest part of numbers (n,), NaN where missing."""
        present = ~np.isnan(numbers)
        whole = np.full(len(numbers), np.nan)
        whole[present] = self.split(numbers[present])[0]
        return whole

    def split(self, numbers: Floats) -> list[Ints]:
        """Return the parts of numbers (n,), none of them missing, coarsest first."""
        rest, parts = self._steps(numbers), list[Ints]()
        if self.layout is not None:
            days = self._days(rest)
            parts += LAYOUTS[self.layout].split(days)
            rest = rest - self._midnights(days)
        for period in self.periods:
            parts.append(rest // period)
            rest = rest % period
        return parts if self._is_whole_day else [*parts, rest]

    def join(self, parts: Sequence[Ints]) -> Floats:
        """Return the numbers of these parts, within the extent of the column."""
        n_days = 0 if self.layout is None else len(LAYOUTS[self.layout].names)
        factors = (*self.periods, *(() if self._is_whole_day else (1,)))
        steps = sum(
            (part * factor for part, factor in zip(parts[n_days:], factors, strict=True)),
            np.zeros_like(parts[0]),
        )
        if self.layout is not None:
            steps = steps + self._midnights(LAYOUTS[self.layout].join(*parts[:n_days]))
        numbers = (
            numbers_of_minutes(steps.astype(np.float64)) if self.is_clock else steps / self._scale
        )
        return numbers.clip(*self.extent)

    def span(self, low: int, high: int, finer: Sequence[tuple[int, int]]) -> Floats:
        """Return the smallest and the largest number (2,) whose coarsest part is low to high.

        Args:
            low: of the coarsest part.
            high: likewise.
            finer: the smallest and the largest value of each other part.
        """
        smallest, largest = ([ends[side] for ends in finer] for side in (0, 1))
        rows = [(low, *smallest), (high, *largest), (high + 1, *smallest)]
        first, last, after = self.join([np.array(part) for part in zip(*rows, strict=True)])
        if after < self.extent[1]:
            last = min(last, after - 1 / self._scale)  # not all months have 31 days
        return np.array([first, last])

    def coarsest(self, allowed: IntervalSet) -> IntervalSet:
        """Return the values of the coarsest part that rows within these intervals can have."""
        ends = [self._coarsest(ends) for ends in (allowed.low, allowed.high)]
        return IntervalSet(ends[0] - 0.5, ends[1] + 0.5, allowed.missing)

    def _coarsest(self, ends: Floats) -> Floats:
        finite = np.isfinite(ends)
        part = self.split(np.where(finite, ends, self.extent[0]))[0]
        return np.where(finite, part, ends)

    def transform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame with the parts instead of the column."""
        if self.column.name not in frame.columns:
            raise DataError(f"the table lacks the column(s) {self.column.name!r}")
        numbers = self.column.encode(frame[self.column.name])
        missing = pl.Series(np.isnan(numbers))
        parts = self.split(np.nan_to_num(numbers, nan=self.extent[0]))
        coarsest, *finer = (
            pl.Series(name, part, pl.Int64).set(missing, None)
            for name, part in zip(self.names, parts, strict=True)
        )
        filled = [part.forward_fill().backward_fill().fill_null(0) for part in finer]
        return frame.drop(self.column.name).with_columns(coarsest, *filled)

    def inverse_transform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame with the column instead of its parts."""
        missing = frame[self.names[0]].is_null().to_numpy()
        first = self.split(np.array(self.extent[:1]))
        parts = [
            frame[name].fill_null(int(part[0])).to_numpy()
            for name, part in zip(self.names, first, strict=True)
        ]
        numbers = self.join(parts)
        values = self.column.decode(np.where(missing, np.nan, numbers))
        return frame.drop(self.names).with_columns(values)

    # --- the grid of the column, and its days

    @property
    def _scale(self) -> float:
        return 10.0 ** (self.column.decimals or 0)

    def _steps(self, numbers: Floats) -> Ints:
        """Return numbers in steps of the column's grid; of a clock, in minutes."""
        if self.is_clock:
            return nearest_integers(minutes(numbers))
        return nearest_integers(numbers * self._scale)

    @property
    def _ticks_per_day(self) -> int:
        unit = getattr(self.column.dtype, "time_unit", None)
        return SECONDS_PER_DAY * TICKS_PER_SECOND[unit] if unit else 1

    @property
    def _units_per_day(self) -> int:
        return self._ticks_per_day // self.column.unit

    @property
    def _is_whole_day(self) -> bool:
        return self.layout is not None and self._units_per_day == 1

    @property
    def _clock_periods(self) -> dict[str, int]:
        """A second, a minute and an hour in units of the column, as far as it has finer ones."""
        periods = {name: self._units_per_day // count for name, count in COUNTS_A_DAY.items()}
        return {name: period for name, period in periods.items() if period > 1}

    @property
    def _zone(self) -> str | None:
        zone = self.zone or getattr(self.column.dtype, "time_zone", None)
        return None if zone == "UTC" else zone

    def _days(self, steps: Ints) -> Ints:
        """Return the local days."""
        if self._zone:
            times = self.column.decode(steps.astype(np.float64))
            dates = times.dt.convert_time_zone(self._zone).dt.date()
            return dates.to_physical().to_numpy().astype(np.int64)
        ticks = steps * self.column.unit + self.column.origin
        return (ticks + self.column.offset_ticks) // self._ticks_per_day

    def _times(self, steps: Ints) -> Ints:
        """Return the times of day."""
        return steps - self._midnights(self._days(steps))

    def _midnights(self, days: Ints) -> Ints:
        """Return the steps at which local days begin: twelve hours before noon."""
        ticks = days * self._ticks_per_day - self.column.offset_ticks
        if self._zone:
            half, unit = self._ticks_per_day // 2, getattr(self.column.dtype, "time_unit", None)
            noon = pl.Series(ticks + half).cast(pl.Datetime(unit or "us"))
            local = noon.dt.replace_time_zone(
                self._zone, ambiguous="earliest", non_existent="null"
            ).to_physical()  # zones that moved across the date line have skipped a day
            ticks = local.fill_null(noon.to_physical()).to_numpy() - half
        return (ticks - self.column.origin) // self.column.unit

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        zone = {} if self.zone is None else {"zone": self.zone}
        clock = {"is_clock": True} if self.is_clock else {}
        return {
            **zone,
            **clock,
            "kind": self.kind,
            "column": self.column.to_json(),
            "layout": self.layout,
            "periods": list(self.periods),
            "names": list(self.names),
            "extent": list(self.extent),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PartsStep:
        """Rebuild from `to_json`."""
        column = column_from_json(data["column"])
        assert isinstance(column, NumericCodec)
        low, high = data["extent"]
        return cls(
            column,
            data["layout"],
            tuple(data["periods"]),
            tuple(data["names"]),
            (low, high),
            data.get("zone"),
            data.get("is_clock", False),
        )


def tested_rows(n: int) -> slice:
    """Return which of n training rows tell whether parts carry information."""
    return slice(None, None, max(1, n // TESTED_ROWS))


def _layout(weekly: float, monthly: float, seasonal: float) -> str:
    """Return how days are split, by what weekday, day of the month and month tell."""
    if weekly and weekly >= monthly:
        return "year and week" if seasonal else "week"
    if seasonal:
        return "year and month"
    return "month" if monthly else "day"


def _names(step: PartsStep, taken: frozenset[str]) -> tuple[str, ...]:
    """Return names of the modelled columns, none of them taken."""
    names: list[str] = []
    for part in step.descriptions:
        name = f"{step.column.name} ({part})"
        while name in taken or name in names:
            name += "'"
        names.append(name)
    return tuple(names)


def _extent(column: NumericCodec, summary: ColumnSummary) -> tuple[float, float]:
    """Return the smallest and the largest number of all rows."""
    if is_real(column.dtype):
        low, high = summary.reals.low, summary.reals.high
        return round(low, column.decimals), round(high, column.decimals)
    low, high = summary.integers.low or 0, summary.integers.high or 0
    return (low - column.origin) // column.unit, (high - column.origin) // column.unit


def _can_be_split(column: NumericCodec) -> bool:
    """Whether a column holds numbers on a grid, dates, or date-times in units that make up days."""
    dtype = column.dtype
    if dtype in (pl.Time, pl.Duration) or column.decimals is None or column.has_exceptions:
        return False
    if isinstance(dtype, pl.Datetime):
        return SECONDS_PER_DAY * TICKS_PER_SECOND[dtype.time_unit] % column.unit == 0
    return max(map(abs, column.partition.extent)) * 10.0**column.decimals < MAX_GRID_STEPS
