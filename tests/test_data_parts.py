"""Columns by their parts: exact, on the comb of the data, in its proportions, seen by measures."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from polars import selectors
from polars.testing import assert_frame_equal
from sklearn.metrics import mutual_info_score

import pushforward as pf
from pushforward.data import Dataset, TableSchema, read, schema_from_json, sources
from pushforward.data.tables.constraints.days import LAYOUTS
from pushforward.data.tables.infer import fit_table
from pushforward.data.tables.information import coarse_codes, information
from pushforward.data.tables.where import restrict
from pushforward.errors import DataError
from read_tables import positions

SHARED = Path(__file__).parents[2] / "shared" / "data"
N = 4000
SIGMAS = 4.5
DAY = 86_400
ZONES = (None, "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def stamps(seconds: NDArray[Any], unit: Any = "us", zone: str | None = None) -> pl.Series:
    """Local times, by their seconds since 1970."""
    local = pl.Series("v", seconds.astype(np.int64) * 1000).cast(pl.Datetime("ms"))
    local = local.cast(pl.Datetime(unit))
    return local.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")


def workdays(n: int, years: int = 2) -> NDArray[Any]:
    days = 18_000 + rng(1).integers(0, 365 * years, 3 * n)
    return np.asarray(days[(days + 3) % 7 < 5][:n])


def office(n: int = N) -> NDArray[Any]:
    """Minutes from 9 to 16 h on workdays, in seconds."""
    return np.asarray(workdays(n) * DAY + rng(2).integers(9 * 60, 16 * 60 + 1, n) * 60)


def endings(n: int = N) -> NDArray[Any]:
    ends = rng(3).choice([0.99, 0.95, 0.0], n, p=[0.6, 0.25, 0.15])
    return np.asarray(np.round(rng(4).lognormal(3, 1, n).astype(int) + ends, 2))


def mostly(step: int, n: int = N) -> NDArray[Any]:
    amounts = rng(5).lognormal(8, 1, n).astype(int)
    return np.where(rng(6).random(n) < 0.7, amounts // step * step, amounts)


def firsts(n: int = N) -> NDArray[Any]:
    """Days of fifty years, most of them the first of a month."""
    month = np.datetime64("1970-01", "M") + rng(7).integers(0, 600, n)
    first = month.astype("M8[D]").astype(np.int64)
    return np.asarray(np.where(rng(8).random(n) < 0.9, first, first + rng(9).integers(0, 28, n)))


def summers(n: int = N) -> NDArray[Any]:
    """Days of July in forty years."""
    july = (np.datetime64("1980-07", "M") + 12 * rng(10).integers(0, 40, n)).astype("M8[D]")
    return july.astype(np.int64) + rng(11).integers(0, 31, n)


def independent(data: Dataset, seed: int = 0) -> pl.DataFrame:
    """Rows of the crudest generator: each modelled column's cells shuffled on its own."""
    generator = torch.Generator().manual_seed(seed)
    schema = data.schema
    assert isinstance(schema, TableSchema)
    cells = schema.cells(data.rows)
    order = torch.rand(cells.shape, generator=generator).argsort(0)
    rows = schema.draw_in_cells(cells.gather(0, order), generator)
    frame = schema.decode(rows)
    assert isinstance(frame, pl.DataFrame)
    return frame


# --- days


@pytest.mark.parametrize("name", LAYOUTS)
@given(day=st.integers(-700_000, 2_900_000))
@settings(max_examples=60, deadline=None)
def test_a_day_is_the_sum_of_its_parts(name: str, day: int) -> None:
    layout = LAYOUTS[name]
    days = np.array([day, day + 1])
    parts = layout.split(days)
    assert layout.join(*parts).tolist() == days.tolist()
    assert parts[0][0] <= parts[0][1]
    assert len(parts) == len(layout.names)


@given(day=st.dates())
@settings(max_examples=100, deadline=None)
def test_parts_of_days_are_those_of_the_calendar(day: date) -> None:
    days = np.array([(day - date(1970, 1, 1)).days])
    year, week, weekday = (int(part[0]) for part in LAYOUTS["year and week"].split(days))
    assert (year, week, weekday + 1) == tuple(day.isocalendar())
    parts = LAYOUTS["year and month"].split(days)
    assert [int(part[0]) for part in parts] == [day.year, day.month, day.day]


def test_a_day_that_a_month_or_a_year_lacks_becomes_its_last() -> None:
    ones = np.array([1])
    join = LAYOUTS["year and month"].join
    assert join(2023 * ones, 2 * ones, 31 * ones)[0] == (date(2023, 2, 28) - date(1970, 1, 1)).days
    join = LAYOUTS["year and week"].join  # 2021 has 52 weeks
    last = join(2021 * ones, 53 * ones, 6 * ones)[0]
    assert last == (date(2022, 1, 2) - date(1970, 1, 1)).days


# --- exact, whatever the dtype

COLUMNS: dict[str, Callable[[], pl.Series]] = {
    **{
        f"{unit} {zone}": lambda unit=unit, zone=zone: stamps(office(), unit, zone)  # type: ignore[misc]  # mypy cannot type defaults of a lambda
        for unit in ("ms", "us", "ns")
        for zone in ZONES
    },
    # every hour of a year: those that summer time skips are missing, the doubled one is the later
    "changes": lambda: stamps(
        18_262 * DAY + rng(1).integers(0, 366 * 24, N) * 3600, zone="Europe/Berlin"
    ),
    "date": lambda: pl.Series("v", workdays(N)).cast(pl.Date),
    "firsts": lambda: pl.Series("v", firsts()).cast(pl.Date),
    "midnights": lambda: stamps(workdays(N) * DAY),
    "prices": lambda: pl.Series("v", endings()),
    "single": lambda: pl.Series("v", endings().astype(np.float32)),
    "decimal": lambda: pl.Series("v", endings()).cast(pl.Decimal(12, 2)),
    "negative": lambda: pl.Series("v", -mostly(100) + 500),
    "narrow": lambda: pl.Series("v", mostly(100).clip(0, 30_000)).cast(pl.Int16),
}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_back_from_its_parts_exactly(name: str, missing: bool) -> None:
    values = COLUMNS[name]()
    if missing:
        values = values.set(pl.Series(rng(20).random(N) < 0.2), None)
    frame = pl.DataFrame({"v": values, "other": rng(21).normal(size=N)})
    data = read(frame)
    assert isinstance(data.schema, TableSchema)
    assert any("by its parts" in note for note in data.notes) or name == "changes"
    assert_frame_equal(data.schema.decode(data.rows), frame, check_exact=True)
    restored = schema_from_json(json.loads(json.dumps(data.schema.to_json(), allow_nan=False)))
    assert restored.to_json() == data.schema.to_json()
    assert torch.equal(restored.encode(frame).nan_to_num(-1.5), data.rows.nan_to_num(-1.5))
    fake = independent(data)
    assert fake.schema == frame.schema
    # as many are missing, within the extent of the column
    assert fake["v"].null_count() == values.null_count()
    low, high = fake["v"].min(), fake["v"].max()
    assert values.min() <= low  # type: ignore[operator]  # of one dtype
    assert high <= values.max()  # type: ignore[operator]  # of one dtype


def test_a_column_without_structure_is_no_sum_of_parts() -> None:
    """Over twenty samples of each kind, and sizes from small to large."""
    for seed, n in [(s, n) for s in range(5) for n in (120, 300, 1000, 8000)]:
        random = rng(100 * seed + n)
        frame = pl.DataFrame(
            {
                "time": pl.Series(random.integers(0, 10**16, n)).cast(pl.Datetime("us")),
                "day": pl.Series(random.integers(10_000, 20_000, n)).cast(pl.Date),
                "days": pl.Series(random.integers(18_000, 18_050, n)).cast(pl.Date),
                "uniform": random.integers(0, 10**6, n),
                "thousand": random.integers(0, 1000, n),
                "normal": random.normal(0, 100, n).round(2),
                "skewed": random.lognormal(3, 2, n).round(2),
                "real": random.normal(size=n),
            }
        )
        schema, notes = fit_table(frame, np.arange(n))
        assert [column.name for column in schema.columns] == frame.columns
        assert {column.partition.comb for column in schema.columns} == {(1, 0)}
        assert not any("parts" in note for note in notes)


def by_hour() -> pl.DataFrame:
    """Every hour of 200 days, and a temperature that depends on the hour and, more, on the day."""
    hours = np.arange(200 * 24)
    weather = rng(40).normal(0, 3, 200)[hours // 24]
    warm = 5 * np.sin(hours % 24 / 24 * 2 * np.pi) + weather + rng(41).normal(0, 1, len(hours))
    return pl.DataFrame({"v": stamps(hours * 3600), "warm": warm.round(1)})


def by_weekday() -> pl.DataFrame:
    """Every day of eight years, and how many came: on Sundays nobody."""
    days = np.arange(18_000, 18_000 + 8 * 365)
    came = np.where((days + 3) % 7 == 6, 0, rng(42).poisson(20, len(days)))
    return pl.DataFrame({"v": pl.Series(days).cast(pl.Date), "came": came})


@pytest.mark.parametrize(
    ("frame", "parts"),
    [(by_hour(), ("day", "time")), (by_weekday(), ("week", "weekday"))],
    ids=["hour", "weekday"],
)
def test_a_part_that_tells_of_another_column_is_modelled(
    frame: pl.DataFrame, parts: tuple[str, ...]
) -> None:
    """Though each hour and each weekday is as frequent as another. Days alike are no weekdays."""
    schema, _ = fit_table(frame, np.arange(len(frame)))
    names = [column.name for column in schema.columns if column.name.startswith("v")]
    assert names == [f"v ({part})" for part in parts]
    alone, _ = fit_table(frame.select("v"), np.arange(len(frame)))
    assert [column.name for column in alone.columns] == ["v"]


def test_information_of_coarse_codes_is_that_of_scikit_learn() -> None:
    numbers, words = rng(43).normal(size=500), rng(44).integers(0, 30, 500)
    frame = pl.DataFrame({"x": numbers, "w": [f"w{w // 7}" for w in words]})
    frame = frame.with_columns(pl.when(pl.col("x") > -1).then("x"))
    x, w = map(coarse_codes, frame)
    assert np.array_equal(x == 0, frame["x"].is_null().to_numpy())
    counts = np.bincount(x)[1:]
    assert len(counts) == 10
    assert counts.max() - counts.min() <= 1  # tenths
    assert len(np.unique(w)) == frame["w"].n_unique()
    assert information(x, w) == pytest.approx(mutual_info_score(x, w), rel=1e-9)


def test_a_column_with_exceptions_comes_back_and_is_no_sum_of_parts() -> None:
    """Parts have no place for what lies off their grid."""
    prices = rng().integers(1, 1000, N) + rng(1).choice([0.49, 0.99], N)
    others = rng(2).permutation(prices)
    frame = pl.DataFrame({"v": np.append(prices, 100 + 1 / 3), "w": np.append(others, 100.0)})
    dataset = read(frame)
    schema = dataset.schema
    assert isinstance(schema, TableSchema)
    column = schema.columns[positions(schema)["v"]]
    assert column.decimals == 2
    assert_frame_equal(schema.decode(dataset.rows), frame, check_exact=True)


@pytest.mark.shared("adult-train.csv")
@pytest.mark.parametrize("table", ["adult", "diamonds"])
def test_tables_without_times_and_combs_are_encoded_as_ever(table: str) -> None:
    data = read(SHARED / f"{table}-train.csv", relations=False)
    assert isinstance(data.schema, TableSchema)
    frame, numbers = data.raw("test"), selectors.numeric()
    modelled = frame.select(~numbers, numbers)  # there are no times
    assert [column.name for column in data.schema.columns] == modelled.columns
    text = json.dumps(data.schema.to_json())
    assert '"parts"' not in text
    assert '"comb"' not in text


# --- in proportion

PROPORTIONS: dict[str, tuple[Callable[[], pl.Series], Callable[[pl.Series], pl.Series]]] = {
    "hours": (lambda: stamps(office()), lambda v: v.dt.hour().is_between(9, 16)),
    "zoned hours": (
        lambda: stamps(office(), zone="America/New_York"),
        lambda v: v.dt.hour().is_between(9, 16),
    ),
    "workdays": (lambda: stamps(office()), lambda v: v.dt.weekday() <= 5),
    "workdays of dates": (
        lambda: pl.Series(workdays(N)).cast(pl.Date),
        lambda v: v.dt.weekday() <= 5,
    ),
    "first of a month": (lambda: pl.Series(firsts()).cast(pl.Date), lambda v: v.dt.day() == 1),
    "July": (lambda: pl.Series(summers()).cast(pl.Date), lambda v: v.dt.month() == 7),
    "quarters of an hour": (
        lambda: stamps(np.where(rng(12).random(N) < 0.8, office() // 900 * 900, office())),
        lambda v: v.dt.minute() % 15 == 0,
    ),
    ".99": (lambda: pl.Series(endings()), lambda v: (v * 100).round() % 100 == 99),
    ".95": (lambda: pl.Series(endings()), lambda v: (v * 100).round() % 100 == 95),
    "hundreds": (lambda: pl.Series(mostly(100)), lambda v: v % 100 == 0),
    "fives": (lambda: pl.Series(mostly(5)), lambda v: v % 5 == 0),
    "all fives": (lambda: pl.Series(mostly(5) // 5 * 5 + 2), lambda v: v % 5 == 2),
    "full hours": (
        lambda: stamps(rng(13).integers(0, 10**5, N) * 3600),
        lambda v: (v.dt.minute() == 0) & (v.dt.second() == 0),
    ),
    "whole numbers as floats": (
        lambda: pl.Series(mostly(1).astype(float)).set(pl.Series(rng(14).random(N) < 0.1), None),
        lambda v: v.drop_nulls() % 1 == 0,
    ),
}


@pytest.mark.parametrize("name", PROPORTIONS)
def test_generated_values_keep_the_proportion(name: str) -> None:
    """The shares of cells are those of the rows: only the redrawing within cells is random."""
    make, holds = PROPORTIONS[name]
    values = make().alias("v")
    real, fake = (holds(v) for v in (values, independent(read(pl.DataFrame({"v": values})))["v"]))
    p = float(real.mean())  # type: ignore[arg-type]  # of truth values
    if p == 1.0:
        assert fake.all()
    else:
        error = (p * (1 - p) / N) ** 0.5
        assert abs(float(fake.mean()) - p) <= SIGMAS * error + 0.01  # type: ignore[arg-type]  # of truth values


@pytest.mark.shared("flights-train.csv")
def test_whole_numbers_with_missing_ones_stay_whole() -> None:
    """They are printed as 1721.0, because pandas holds them as floats."""
    fake = independent(read(SHARED / "flights-train.csv"))
    floats = fake.select(pl.col(pl.Float64))
    assert floats.width == 5
    for values in floats.iter_columns():
        assert (values.drop_nulls() % 1 == 0).all()
    assert (fake["time_hour"].dt.minute() == 0).all()


# --- tails

RARE: dict[str, Callable[[NDArray[np.bool_]], pl.Series]] = {
    "text": lambda rare: pl.Series(np.where(rare, "fraud", "fair")),
    "flag": pl.Series,
    "number": lambda rare: pl.Series(rare.astype(np.int64)),
}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("condition", [None, "class"])
@pytest.mark.parametrize("kind", RARE)
def test_a_rare_class_keeps_to_its_end_of_a_tail(
    kind: str, condition: str | None, sign: int
) -> None:
    """Fraud is among the largest 200 of 20,000 amounts, less than the outermost bin holds."""
    amount = sign * rng(50).lognormal(3, 1, 20_000)
    rare = np.zeros(20_000, np.bool_)
    rare[np.argsort(-np.abs(amount))[:150]] = rng(51).random(150) < 0.6
    frame = pl.DataFrame({"amount": amount, "class": RARE[kind](rare)})
    data = read(frame, condition=condition)
    assert isinstance(data.schema, TableSchema)
    column = data.schema.columns[positions(data.schema)["amount"]]
    assert column.partition.n_cells == 64 + 4
    rows = data.schema.draw_in_cells(data.schema.cells(data.rows), torch.Generator().manual_seed(0))
    fake = data.schema.decode(rows, data.labels)["amount"].to_numpy()
    # the standard error of a mean of 90 amounts, plus the width of the cells
    error = amount[rare].std() / rare.sum() ** 0.5
    assert abs(fake[rare].mean() - amount[rare].mean()) < error
    assert_frame_equal(data.schema.decode(data.rows, data.labels), frame)


def test_tails_without_a_rare_class_are_one_bin() -> None:
    amount, chance = rng(52).lognormal(3, 1, 20_000), rng(53).random((20, 20_000)) < 0.01
    frame = pl.DataFrame({"amount": amount} | {str(i): c for i, c in enumerate(chance)})
    schema = read(frame).schema
    assert isinstance(schema, TableSchema)
    assert schema.columns[positions(schema)["amount"]].partition.n_cells == 64


# --- conditions, constraints, streams, runs


def times_table(n: int = N) -> pl.DataFrame:
    start = stamps(office(n))
    lapse = pl.Series(rng(30).integers(5, 200, n) * 60_000_000).cast(pl.Duration("us"))
    busy = start.dt.hour() < 12
    return pl.DataFrame(
        {"start": start, "end": start + lapse, "price": endings(n), "busy": busy}
    ).with_columns(
        pl.when(pl.Series(rng(31).random(n) < 0.1)).then(None).otherwise("start").alias("seen")
    )


@pytest.fixture(scope="module")
def fitted() -> Any:
    data = read(times_table(), constraints=["start <= end"])
    return pf.fit(data, "vae", budget="60 steps", seed=0, width=64)


@pytest.mark.filterwarnings("ignore:where")
def test_rows_under_a_condition_on_a_column_of_parts(fitted: Any) -> None:
    low, high = datetime(2019, 6, 1), datetime(2019, 9, 1)
    rows = fitted.sample(200, where={"start": (low, high), "price": (10, None)}, seed=1)
    assert len(rows) == 200
    assert rows["start"].is_between(low, high).all()
    assert (rows["price"] >= 10).all()
    assert (rows["start"] <= rows["end"]).all()
    assert rows["start"].dt.hour().is_between(9, 16).all()
    assert fitted.sample(20, where={"seen": None}, seed=1)["seen"].null_count() == 20


def test_conditions_that_no_row_can_meet_are_refused(fitted: Any) -> None:
    for where in ({"start": (datetime(2050, 1, 1), None)}, {"price": None}, {"price": "dear"}):
        with pytest.raises(DataError, match="where: column"):
            restrict(fitted.schema, where)
    with pytest.raises(DataError, match="a range of numbers"):
        pf.data.tables.where.observed_values(fitted.schema, "price")


def test_a_condition_narrows_the_coarsest_part(fitted: Any) -> None:
    """So that few draws are wasted: of a week's rows, those of other weeks are never drawn."""
    week = (datetime(2019, 6, 3), datetime(2019, 6, 9))
    restriction = restrict(fitted.schema, {"start": week})
    assert [fitted.schema.columns[i].name for i in restriction.columns] == ["start (week)"]
    codes = np.arange(0.0, 4000.0)
    monday = (date(2019, 6, 3) - date(1970, 1, 1)).days
    assert codes[restriction.allowed[0].contains(codes)].tolist() == [(monday + 3) // 7]


def test_a_saved_model_generates_the_same(fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    assert_frame_equal(pf.load(tmp_path / "run").sample(50, seed=2), fitted.sample(50, seed=2))


@pytest.mark.filterwarnings("ignore")
def test_a_streamed_table_has_the_parts_of_the_one_that_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = times_table()
    frame.write_parquet(tmp_path / "t.parquet")
    held = read(frame, relations=False)  # a streamed table takes none
    monkeypatch.setattr(sources, "MAX_ROWS_IN_MEMORY", 0)
    streamed = read(tmp_path / "t.parquet")
    assert streamed.schema.to_json() == held.schema.to_json()
    assert_frame_equal(streamed.raw("test"), held.raw("test"))


def test_names_of_parts_leave_those_of_the_table_alone() -> None:
    frame = pl.DataFrame(
        {"v": stamps(office()), "v (week)": endings(), "v (time)": ["a", "b"] * (N // 2)}
    )
    data = read(frame)
    assert isinstance(data.schema, TableSchema)
    assert_frame_equal(data.schema.decode(data.rows), frame)
    with pytest.raises(DataError, match=r"lacks the column.* 'v'"):
        data.schema.encode(frame.drop("v"))


# --- zones in text


@given(minutes=st.integers(-14 * 60, 14 * 60), colon=st.booleans(), separator=st.sampled_from("T "))
@settings(max_examples=15, deadline=None)
def test_times_are_written_back_with_their_offset(
    tmp_path_factory: pytest.TempPathFactory, minutes: int, colon: bool, separator: str
) -> None:
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    offset = f"{sign}{hours:02d}{':' * colon}{rest:02d}"
    local = stamps(office(200)).dt.strftime(f"%Y-%m-%d{separator}%H:%M:%S{offset}")
    folder = tmp_path_factory.mktemp("zones")
    frame = pl.DataFrame({"t": local, "x": rng().normal(size=200)})
    frame.write_csv(folder / "t.csv")
    data = read(folder / "t.csv")
    assert isinstance(data.schema, TableSchema)
    back = data.schema.decode(data.rows)
    utc = stamps(office(200)) - timedelta(minutes=minutes)
    assert back["t"].dt.replace_time_zone(None).to_list() == utc.to_list()
    assert data.schema.format_text(back)["t"].to_list() == local.to_list()
    fake = data.schema.format_text(independent(data))["t"]
    assert fake.str.slice(11, 2).cast(pl.Int64).is_between(9, 16).all()


def test_a_condition_without_an_offset_is_in_the_local_time_of_the_file(tmp_path: Path) -> None:
    local = stamps(office())
    pl.DataFrame({"t": local.dt.strftime("%FT%T+05:30")}).write_csv(tmp_path / "t.csv")
    schema = read(tmp_path / "t.csv").schema
    assert isinstance(schema, TableSchema)
    utc = (local - timedelta(hours=5, minutes=30)).dt.replace_time_zone("UTC")
    since = datetime(2020, 1, 15, 12, 0)
    for low in (since, str(since), "2020-01-15T06:30:00+00:00"):
        kept = restrict(schema, {"t": (low, None)}).allows_frame(pl.DataFrame({"t": utc}))
        assert kept.tolist() == (local >= since).to_list()


def test_times_of_several_offsets_are_said_to_come_back_in_utc(tmp_path: Path) -> None:
    times = ["2024-01-31T09:00:00+01:00", "2024-07-31T09:00:00+02:00"] * 20
    pl.DataFrame({"t": times, "x": range(40)}).write_csv(tmp_path / "t.csv")
    data = read(tmp_path / "t.csv")
    assert isinstance(data.schema, TableSchema)
    assert any(n.startswith("check: column 't'") and "UTC" in n for n in data.notes)
    text = data.schema.format_text(data.schema.decode(data.rows))["t"]
    assert text.to_list()[:2] == ["2024-01-31T08:00:00+00:00", "2024-07-31T07:00:00+00:00"]


# --- what measures see

BLIND: dict[str, tuple[Callable[[], pl.Series], Callable[[], pl.Series]]] = {
    "time of day": (
        lambda: stamps(office()),
        lambda: stamps(workdays(N) * DAY + rng(40).integers(0, 1440, N) * 60),
    ),
    "weekday": (
        lambda: pl.Series(workdays(N)).cast(pl.Date),
        lambda: pl.Series(18_000 + rng(41).integers(0, 730, N)).cast(pl.Date),
    ),
    "ending": (
        lambda: pl.Series(endings()),
        lambda: pl.Series((rng(4).lognormal(3, 1, N).astype(int) + rng(42).random(N)).round(2)),
    ),
    "comb": (
        lambda: pl.Series(mostly(5) // 5 * 5),
        lambda: pl.Series(mostly(5) // 5 * 5 + rng(43).integers(-2, 3, N)),
    ),
}


@pytest.mark.parametrize("name", BLIND)
def test_a_generator_that_is_blind_to_a_part_is_found_out(name: str) -> None:
    real, blind = (pl.DataFrame({"v": make(), "x": rng().normal(size=N)}) for make in BLIND[name])
    card = pf.measure(real, blind, measures=["classifier_test", "column_shapes"])
    assert card["classifier_test"].extra["auc"] > 0.65
    p_value = card["column_shapes"].p_value
    assert p_value is not None
    assert p_value < 0.05 or name == "comb"
    again = real.sample(N, with_replacement=True, seed=1)
    assert (
        pf.measure(real, again, measures=["column_shapes"])["column_shapes"].p_value or 0
    ) > 0.05


def test_a_column_may_be_called_as_one_likes_beside_a_time() -> None:
    frame = by_hour().with_columns(count=pl.Series(["a", "b"] * 2400), rows=pl.lit(value=True))
    schema, _ = fit_table(frame, np.arange(len(frame)))
    assert {"count", "rows"} <= {column.name for column in schema.columns}
