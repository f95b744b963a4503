"""Parts of times on any clock, numbers that spell a time of day, and sums with round numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pushforward as pf
from pushforward.data import Dataset, TableSchema, schema_from_json
from pushforward.data.tables.constraints import PartsStep, is_clock
from pushforward.data.tables.constraints.clock import PARTS, clock, minutes, part_of_time
from pushforward.data.tables.constraints.derived import DerivedStep
from pushforward.data.tables.where import restrict

N = 3000
NEW_YORK = ZoneInfo("America/New_York")
SECONDS_1970_2037 = st.integers(0, 2_114_380_800)


def flights(seed: int = 0) -> pl.DataFrame:
    """Scheduled and real times as on a board: some are cancelled, a few have no delay on record."""
    rng = np.random.default_rng(seed)
    days = [
        datetime(2013, 1, 1, tzinfo=NEW_YORK) + timedelta(int(d)) for d in rng.integers(0, 365, N)
    ]
    local = [d.replace(hour=int(h)) for d, h in zip(days, rng.integers(5, 24, N), strict=True)]
    hours = [time.astimezone(UTC) for time in local]
    minute = rng.integers(0, 12, N) * 5
    scheduled = np.array([t.hour * 60 for t in local]) + minute
    delay = np.round(rng.gamma(1, 25, N) - 10)
    delay[100:104] = 1440 - scheduled[100:104]  # these leave at midnight
    gone = (scheduled + delay) % 1440
    real = np.where(gone == 0, 2400, gone // 60 * 100 + gone % 60)
    lands = (scheduled + rng.integers(40, 400, N)) % 1440
    real[::50] = delay[::50] = np.nan
    delay[7::300] = np.nan
    return pl.DataFrame(
        {
            "month": [t.month for t in local],
            "day": [t.day for t in local],
            "left": pl.Series(real).fill_nan(None),
            "scheduled": scheduled // 60 * 100 + scheduled % 60,
            "delay": pl.Series(delay).fill_nan(None),
            "hour": [t.hour for t in local],
            "minute": minute,
            "arrives": lands // 60 * 100 + lands % 60,
            "time_hour": hours,
        }
    ).with_columns(pl.col("time_hour").dt.replace_time_zone("UTC"))


RELATIONS = [
    'month = month(time_hour, "America/New_York")',
    'day = day(time_hour, "America/New_York")',
    "left = clock(minutes(scheduled) + delay, 2400)",
    "scheduled = 100 * hour + minute",
    'hour = hour(time_hour, "America/New_York")',
]


def stated(data: Dataset) -> list[str]:
    assert isinstance(data.schema, TableSchema)
    return [str(constraint) for constraint in data.schema.constraint_set.constraints]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return pf.read(flights())


def worst(data: Dataset, n: int = 1000) -> pl.DataFrame:
    """Rows of a model that has learned nothing."""
    schema, generator = data.schema, torch.Generator().manual_seed(0)
    rows = schema.quantise(torch.rand((n, *schema.space.shape), generator=generator), generator)
    frame = schema.decode(rows, None, generator)
    assert isinstance(frame, pl.DataFrame)
    return frame


# --- found, said, kept


def test_each_relation_of_a_board_is_found_and_said(data: Dataset) -> None:
    assert stated(data) == RELATIONS
    assert next(note for note in data.notes if "in every row" in note).startswith(RELATIONS[0])
    assert stated(pf.read(flights(), relations=False)) == []


def test_what_the_worst_of_models_generates_keeps_them(data: Dataset) -> None:
    fake = worst(data)
    assert fake.schema == flights().schema
    for time, row in zip(fake["time_hour"], fake.iter_rows(named=True), strict=True):
        local = time.astimezone(NEW_YORK)
        assert (row["month"], row["day"], row["hour"]) == (local.month, local.day, local.hour)
        assert row["scheduled"] == 100 * row["hour"] + row["minute"]
        if row["delay"] is not None and row["left"] is not None:
            passed = row["hour"] * 60 + row["minute"] + row["delay"]
            left = row["left"] // 100 * 60 + row["left"] % 100
            assert (left - passed) % 1440 == 0
            assert 0 < row["left"] <= 2400
    assert fake["left"].is_null().any()


def test_tables_come_back_exactly_also_by_json(data: Dataset) -> None:
    restored = schema_from_json(data.schema.to_json())
    for schema in (data.schema, restored):
        assert schema.decode(schema.encode(flights())).equals(flights())


def test_a_value_without_a_formula_is_modelled(data: Dataset) -> None:
    assert isinstance(data.schema, TableSchema)
    steps = {s.replaced[0]: s for s in data.schema.constraint_set.steps}
    step = steps["left"]
    assert isinstance(step, DerivedStep)
    assert (step.rest, step.flag) == ("left not computed", None)
    frame = flights()
    only_left = frame.filter(frame["delay"].is_null() & frame["left"].is_not_null())
    assert len(only_left) >= 9  # 7::300, but for those that are cancelled
    assert step.rest is not None
    assert data.schema.constraint_set.transform(frame)[step.rest].count() == len(only_left)
    many = frame.with_columns(
        pl.when(pl.int_range(N) % 20 == 3).then(None).otherwise(pl.col("delay")).alias("delay")
    )
    assert not any("minutes" in text for text in stated(pf.read(many)))


@pytest.mark.parametrize("seed", range(3))
def test_chance_finds_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = flights()
    shuffled = frame.with_columns(
        pl.Series(name, rng.permutation(frame[name].to_numpy())) for name in frame.columns[:-1]
    )
    assert stated(pf.read(shuffled)) == []
    counts = {name: rng.integers(0, high, N) for name, high in {"a": 12, "b": 24, "c": 60}.items()}
    assert stated(pf.read(frame.select("time_hour").with_columns(**counts))) == []


def test_one_row_off_is_no_relation() -> None:
    frame = flights()
    for name in ("hour", "month", "scheduled", "left"):
        off = frame.with_columns((pl.col(name) + (pl.int_range(N) == 1234)).alias(name))
        assert not any(text.startswith(f"{name} =") for text in stated(pf.read(off)))


def test_round_coefficients_and_own_clocks_are_found() -> None:
    rng = np.random.default_rng(0)
    days = [datetime(2020, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 1400, 900)]
    a, b, c = rng.integers(0, 40, 900), rng.integers(0, 90, 900), rng.normal(size=900).round(2)
    frame = pl.DataFrame(
        {
            "points": 3 * a + 2 * b,
            "a": a,
            "b": b,
            "mixed": (0.25 * a - 1.5 * c).round(4),
            "c": c,
            "week": [d.isocalendar().week for d in days],
            "weekday": [d.isoweekday() for d in days],
            "day of the year": [d.timetuple().tm_yday for d in days],
            "date": [d.date() for d in days],
        }
    )
    assert stated(pf.read(frame)) == [
        "points = 3 * a + 2 * b",
        "mixed = 0.25 * a - 1.5 * c",
        "week = week(date)",
        "weekday = weekday(date) + 1",
        "`day of the year` = day_of_year(date)",
    ]


# --- parts of times, against Python's


@settings(max_examples=200, deadline=None)
@given(SECONDS_1970_2037, st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "America/New_York"]))
def test_parts_are_those_of_python(seconds: int, zone: str) -> None:
    for name, tz in ((None, UTC), (zone, ZoneInfo(zone))):
        time = datetime.fromtimestamp(seconds, tz)
        expected = {
            **{p: getattr(time, p) for p in ("year", "month", "day", "hour", "minute", "second")},
            "quarter": (time.month + 2) // 3,
            "week": time.isocalendar().week,
            "weekday": time.weekday(),
            "day_of_year": time.timetuple().tm_yday,
        }
        values = np.array([float(seconds), np.nan])
        found = {part: part_of_time(part, values, name) for part in PARTS}
        assert {part: x[0] for part, x in found.items()} == expected
        assert all(np.isnan(x[1]) for x in found.values())


@given(st.integers(-5000, 5000))
def test_clocks_go_round(passed: int) -> None:
    (number,), (late,) = clock(np.array([passed])), clock(np.array([passed]), 2400)
    assert divmod(number, 100) == divmod(passed % 1440, 60)
    assert late == (number or 2400)
    assert (minutes(np.array([late]))[0] - passed) % 1440 == 0


def test_formulas_say_what_is_wrong() -> None:
    for text, reason in {
        "hour = hour(time_hour, 'Mars/Base')": "no time zone 'Mars/Base'",
        "hour = hour(minute)": "must hold times",
        "hour = hour(time_hour, minute, day)": "a time zone",
        "hour = clock(minute, 5)": "the functions",
        "hour = hour(time_hour + 1)": "the functions",
    }.items():
        with pytest.raises(pf.DataError, match=reason):
            pf.read(flights(), constraints=text)
    own = pf.read(flights(), constraints=RELATIONS[-1], relations=False)
    assert stated(own) == RELATIONS[-1:]


# --- numbers of a clock, and times of another clock, by their parts


def parts(data: Dataset) -> dict[str, PartsStep]:
    assert isinstance(data.schema, TableSchema)
    return {step.column.name: step for step in data.schema.constraint_set.parts}


def test_clock_numbers_are_modelled_in_minutes(data: Dataset) -> None:
    step = parts(data)["arrives"]
    assert step.is_clock
    fake = worst(data)["arrives"].to_numpy()
    assert (fake % 100 < 60).all()
    assert (fake < 2400).all()
    assert parts(data)["time_hour"].zone == "America/New_York"


def test_only_what_spells_times_is_a_clock() -> None:
    rng = np.random.default_rng(0)
    assert is_clock(flights()["left"])
    assert is_clock(flights()["arrives"])
    assert not is_clock(pl.Series(rng.integers(0, 2400, 5000)))
    assert not is_clock(pl.Series([*flights()["arrives"], 1260]))
    assert not is_clock(pl.Series(rng.integers(0, 24, 5000) * 100))  # nor full hours: by chance


TIMES = st.lists(st.integers(0, 1440), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(TIMES, st.booleans())
def test_any_clock_numbers_come_back(some: list[int], gaps: bool) -> None:
    passed = [*some, *range(0, 1440, 7)]  # so many that they can be no chance
    numbers = [m // 60 * 100 + m % 60 for m in passed]
    column = pl.Series("t", numbers * 2, pl.Int64)
    frame = column.to_frame().with_columns(
        pl.when(pl.int_range(pl.len()) % 9 == 0).then(None).otherwise(pl.col("t")).alias("t")
        if gaps
        else pl.col("t")
    )
    schema = pf.read(frame).schema
    restored = schema_from_json(schema.to_json())
    for own in (schema, restored):
        assert own.decode(own.encode(frame)).equals(frame)


def test_clock_numbers_can_be_asked_for(data: Dataset) -> None:
    assert isinstance(data.schema, TableSchema)
    asked: dict[str, Any] = {"arrives": (800, 1200), "hour": [7, 8]}
    restricted = restrict(data.schema, asked)
    frame = flights()
    allowed = restricted.allows_frame(frame).numpy()
    expected = frame["arrives"].is_between(800, 1200) & frame["hour"].is_in([7, 8])
    assert allowed.tolist() == expected.to_list()
    possible = restricted.allows(data.schema.encode(frame)).numpy()
    assert possible[allowed].all()  # the coarsest part narrows the draws, and loses no row


def times_and_hours(wrong: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    start = datetime(2024, 1, 1)
    times = [start + timedelta(minutes=int(m)) for m in rng.integers(0, 10**6, 2000)]
    hours = np.array([t.hour for t in times])
    hours[:wrong] = (hours[:wrong] + 5) % 24
    return pl.DataFrame({"t": times, "h": pl.Series(hours, dtype=pl.Float32)})


def test_a_part_of_a_time_in_single_precision_is_exact() -> None:
    """Seconds since 1970 are large, so their rounding error must not count for their parts."""
    with pytest.raises(pf.DataError, match="2000 rows"):
        pf.read(times_and_hours(wrong=2000), constraints=["h = hour(t)"])
    data = pf.read(times_and_hours(wrong=1))
    assert not any("hour(" in note for note in data.notes)
    assert data.schema.decode(data.rows)["h"].equals(times_and_hours(wrong=1)["h"])
