"""Tables: exact round trips, cells, identifiers that are never stored."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pushforward.data import read, schema_from_json
from pushforward.data.tables.columns import column_from_json
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.errors import DataError
from read_tables import positions, quantised_rows, read_table

GENTLE = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# --- round trips

DTYPES: dict[str, tuple[pl.DataType, st.SearchStrategy[Any]]] = {
    "i8": (pl.Int8(), st.integers(-128, 127)),
    "u64": (pl.UInt64(), st.integers(2**64 - 2**53, 2**64 - 1)),
    "big": (pl.Int64(), st.integers(-(2**53), 2**53)),
    "few": (pl.Int16(), st.sampled_from([0, 0, 0, 7, -3])),
    "f32": (pl.Float32(), st.floats(-(2.0**99), 2.0**99, width=32)),
    "f64": (pl.Float64(), st.floats(-1e149, 1e149)),
    "cents": (pl.Float64(), st.integers(-(10**9), 10**9).map(lambda i: i / 100)),
    "exact": (pl.Decimal(12, 3), st.integers(-(10**9), 10**9).map(lambda i: Decimal(i) / 1000)),
    "flag": (pl.Boolean(), st.booleans()),
    "text": (pl.String(), st.sampled_from(["", " a", "A", "007", "é", "naïve\n"])),
    "enum": (pl.Enum(["z", "a", "never"]), st.sampled_from(["z", "a"])),
    "level": (pl.Categorical(), st.sampled_from(["low", "high"])),
    "date": (pl.Date(), st.dates()),
    "clock": (pl.Time(), st.times()),
    "stamp": (pl.Datetime("us"), st.datetimes(datetime(1900, 1, 1), datetime(2180, 1, 1))),
    "second": (
        pl.Datetime("ms", "UTC"),
        st.integers(0, 2**31).map(lambda s: datetime.fromtimestamp(s, UTC)),
    ),
    "lapse": (pl.Duration("us"), st.timedeltas(timedelta(-9999), timedelta(9999))),
    "void": (pl.Null(), st.none()),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.integers(10, 40))
    names = draw(st.lists(st.sampled_from(sorted(DTYPES)), min_size=1, max_size=5, unique=True))
    columns = []
    for name in names:
        dtype, values = DTYPES[name]
        values = draw(st.sampled_from([values, st.none() | values]))
        drawn = draw(st.lists(values, min_size=rows, max_size=rows))
        columns.append(pl.Series(name, drawn, dtype=dtype))
    return pl.DataFrame(columns)


@GENTLE
@given(frames())
def test_every_row_comes_back_exactly(frame: pl.DataFrame) -> None:
    schema, dataset = read_table(
        frame, overrides=dict.fromkeys(set(frame.columns) & {"text"}, "categorical")
    )
    assert_frame_equal(schema.decode(dataset.rows), frame, check_exact=True)
    restored = schema_from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False)))
    assert_frame_equal(restored.decode(restored.encode(frame)), frame, check_exact=True)
    assert restored.to_json() == schema.to_json()


@GENTLE
@given(frames(), st.integers(0, 9))
def test_redrawn_rows_stay_in_their_cells_and_ranges(frame: pl.DataFrame, seed: int) -> None:
    schema, dataset = read_table(
        frame, overrides=dict.fromkeys(set(frame.columns) & {"text"}, "categorical")
    )
    x = schema.expand(dataset.rows)
    ones = torch.split(x, list(schema.space.sizes), dim=1)
    assert all(bool((part.sum(1) == 1).all()) for part in ones)
    restored = quantised_rows(dataset, seed)
    assert restored.schema == frame.schema
    train = frame[dataset.splits["train"].tolist()]
    for name in [c.name for c in train.iter_columns() if c.null_count() < len(c)]:
        assert restored[name].is_null().equals(frame[name].is_null())
        if frame[name].dtype.is_numeric():
            assert restored[name].min() >= train[name].min()
            assert restored[name].max() <= train[name].max()


@GENTLE
@given(
    st.lists(st.tuples(*[st.integers(-(10**6), 10**6)] * 2), min_size=40, max_size=60),
    st.lists(st.floats(-(2.0**40), 2.0**40), max_size=2),
    st.booleans(),
)
def test_odd_values_and_float_noise_come_back_exactly(
    cents: list[tuple[int, int]], odd: list[float], missing: bool
) -> None:
    sums = [a / 100 + b / 100 for a, b in cents] + odd + [None] * missing
    frame = pl.DataFrame({"v": pl.Series(sums, dtype=pl.Float64)})
    schema, dataset = read_table(frame)
    assert_frame_equal(schema.decode(dataset.rows), frame, check_exact=True)
    restored = schema_from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False)))
    assert_frame_equal(restored.decode(restored.encode(frame)), frame, check_exact=True)
    assert restored.to_json() == schema.to_json()


def test_only_a_column_with_exceptions_says_so() -> None:
    """A schema of before there were any is the same as one without."""
    whole = np.random.default_rng(0).integers(0, 500, 400) / 1.0
    odd = np.where(np.arange(400) == 7, 100 + 1 / 3, np.random.default_rng(1).permutation(whole))
    schema, _ = read_table(pl.DataFrame({"whole": whole, "odd": odd}))
    ordinary, column = schema.columns
    assert isinstance(column, NumericCodec)
    assert "has_exceptions" not in ordinary.to_json()
    assert (column.decimals, column.to_json()["has_exceptions"]) == (0, True)
    assert not replace(column, decimals=None).has_exceptions  # as when it is learned in private
    read_again = column_from_json(ordinary.to_json())
    assert read_again.to_json() == ordinary.to_json()


# --- pandas


def test_pandas_comes_back_as_pandas_with_its_dtypes() -> None:
    n = 40
    stamps = pd.date_range("2024-01-01", periods=n, freq="h")
    frame = pd.DataFrame(
        {
            "plain": np.arange(n) % 7,
            "small": (np.arange(n) % 5).astype(np.uint8),
            "nullable": pd.array([None, *range(n - 1)], dtype="Int32"),
            "real": np.where(np.arange(n) % 9 == 0, np.nan, np.arange(n) / 8).astype(np.float32),
            "bool": np.arange(n) % 2 == 0,
            "maybe": pd.array([None, True, False, True] * (n // 4), dtype="boolean"),
            "text": ["a", "b", None, "007"] * (n // 4),
            "object": pd.Series(["u", None, "v", "w"] * (n // 4), dtype=object),
            "category": pd.Categorical(
                ["lo", "hi", None, "hi"] * (n // 4), ["lo", "hi", "mid"], ordered=True
            ),
            "number": pd.Categorical([3, 1, 1, 2] * (n // 4)),
            "stamp": stamps,
            "coarse": pd.Series(stamps)
            .dt.floor("s")
            .astype("datetime64[s]")
            .where(pd.Series(np.arange(n) != 3)),
            "zone": stamps.tz_localize("Europe/Berlin"),
            "lapse": pd.to_timedelta(np.arange(n), unit="s"),
            7: np.arange(n) % 3,
            "wide": pd.array(np.arange(n) % 4, dtype="Int64"),
        }
    )
    schema, dataset = read_table(frame)
    pd.testing.assert_frame_equal(schema.decode(dataset.rows), frame)
    assert list(quantised_rows(dataset).dtypes) == list(frame.dtypes)
    restored = schema_from_json(json.loads(json.dumps(schema.to_json())))
    pd.testing.assert_frame_equal(restored.decode(restored.encode(frame)), frame)
    assert torch.equal(restored.encode(frame).nan_to_num(-1), dataset.rows.nan_to_num(-1))


def test_pandas_objects_of_mixed_types_keep_them() -> None:
    frame = pd.DataFrame({"m": pd.Series([1, "a", 2.5, None] * 5, dtype=object), "x": range(20)})
    schema, dataset = read_table(frame)
    assert any("'m' mixes types" in note for note in dataset.notes)
    pd.testing.assert_frame_equal(schema.decode(dataset.rows), frame)


# --- kinds of columns


def test_odd_tables_are_kept() -> None:
    frame = pl.DataFrame(
        {
            "": [1] * 30,
            'a "quoted" name, with comma': [None] * 30,
            "ünïcödé": ["only"] * 30,
            "maybe": [True, False, None] * 10,
            "nan": [float("nan"), 1.0, 2.5] * 10,
        }
    )
    schema, dataset = read_table(frame)
    assert_frame_equal(schema.decode(dataset.rows), frame)
    assert_frame_equal(quantised_rows(dataset), frame)
    cells = dict(zip(positions(schema), schema.space.sizes, strict=True))
    assert cells == dict(zip(frame.columns, (1, 1, 1, 3, 3), strict=True))
    assert any("all missing" in note for note in dataset.notes)


def test_times_keep_their_resolution() -> None:
    days = [date(2020, 1, 1) + timedelta(days=i * i) for i in range(200)]
    seconds = [datetime(2020, 1, 1) + timedelta(seconds=i * 977) for i in range(200)]
    half = [time(i % 24, 30 * (i % 2)) for i in range(200)]
    _, dataset = read_table(pl.DataFrame({"day": days, "second": seconds, "half": half}))
    restored = quantised_rows(dataset)
    assert restored["day"].dtype == pl.Date
    assert all(stamp.microsecond == 0 for stamp in restored["second"])
    assert any(stamp.second % 60 for stamp in restored["second"])
    assert all(clock.second == 0 for clock in restored["half"])


def test_a_year_9999_that_means_never_costs_only_the_last_digits() -> None:
    stamps = [datetime(2024, 1, 1, microsecond=i * 123_457 % 10**6) for i in range(30)]
    frame = pl.DataFrame({"t": [*stamps, datetime(9999, 12, 31)]})
    schema, dataset = read_table(frame)
    back = schema.decode(dataset.rows)["t"]
    assert (frame["t"] - back).dt.total_microseconds().abs().max() < 1000
    assert back[-1] == datetime(9999, 12, 31)
    assert any("rounded down to fewer digits" in note for note in dataset.notes)


def test_a_thousand_categories_share_their_rare_cell() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{int(i)}" for i in np.minimum(rng.zipf(1.2, 40_000), 3000)]
    schema, dataset = read_table(pl.DataFrame({"w": words}))
    assert schema.space.sizes == (256,)
    assert schema.decode(dataset.rows)["w"].to_list() == words
    assert any("share cells" in note for note in dataset.notes)
    fake = quantised_rows(dataset)["w"]
    assert (fake == "w1").sum() == words.count("w1")
    assert fake.n_unique() > 1000


def test_overrides_say_what_a_column_is() -> None:
    frame = pl.DataFrame(
        {
            "zip": [10_000 + i % 7 for i in range(50)],
            "amount": [str(i / 4) for i in range(50)],
            "when": [f"2020-01-{1 + i % 28:02d}" for i in range(50)],
            "id": list(range(50_000, 50_050)),
            "bit": [i % 2 for i in range(50)],
        }
    )
    kinds = {
        "zip": "categorical",
        "amount": "numeric",
        "when": "datetime",
        "id": "identifier",
        "bit": "boolean",
    }
    schema, dataset = read_table(frame, overrides=kinds)
    modelled = {"amount": "numeric", "when": "numeric", "bit": "categorical", "zip": "categorical"}
    assert {c.name: c.kind for c in schema.columns} == modelled
    assert schema.space.sizes[positions(schema)["zip"]] == 7
    back = schema.decode(dataset.rows)
    assert back["amount"].cast(pl.Float64).to_list() == [i / 4 for i in range(50)]
    assert back["when"].to_list() == frame["when"].to_list()
    assert back["id"].dtype == pl.Int64
    assert back.columns == frame.columns


def test_columns_are_modelled_in_the_order_of_their_kinds() -> None:
    """Categories, times, numbers, with what belongs to them; generated frames are the user's."""
    rng, n, monday = np.random.default_rng(0), 2000, datetime(2020, 1, 6)
    week, day, minute = (rng.integers(*ends, n) for ends in ((0, 100), (0, 5), (540, 960)))
    minutes = minute + 24 * 60 * (7 * week + day)
    bill, other = rng.integers(10_000, 1_000_000, (2, n))
    frame = pl.DataFrame(
        {
            "bill": bill,
            "kind": rng.choice(["a", "b"], n),
            "stamp": [monday + timedelta(minutes=int(m)) for m in minutes],
            "paid": np.where(rng.random(n) < 0.3, bill, other),
            "lapse": [timedelta(seconds=int(s)) for s in rng.integers(0, 100_000, n)],
            "flag": rng.random(n) < 0.5,
        }
    )
    schema, dataset = read_table(frame)
    categories, numbers = ["kind", "flag"], ["bill", "paid is", "paid"]
    times = ["stamp (week)", "stamp (weekday)", "stamp (time)", "lapse"]
    assert [column.name for column in schema.columns] == categories + times + numbers
    assert_frame_equal(schema.decode(dataset.rows), frame)
    assert quantised_rows(dataset).schema == frame.schema


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"amont": "numeric"}, "did you mean 'amount'"),
        ({"amount": "numerical"}, "did you mean 'numeric'"),
        ({"word": "numeric"}, "row 1 is 'w0'"),
        ({"amount": "integer"}, "cannot be read as integer"),
        ({"word": "boolean"}, "cannot be read as boolean"),
        ({"word": "datetime"}, "cannot be read as datetime"),
        ({"amount": "identifier"}, "must be text or integers"),
    ],
)
def test_overrides_that_do_not_fit(overrides: dict[str, str], message: str) -> None:
    frame = pl.DataFrame(
        {"amount": [i / 3 for i in range(30)], "word": [f"w{i % 4}" for i in range(30)]}
    )
    with pytest.raises(DataError, match=message):
        read(frame, overrides=overrides)


# --- identifiers


def test_identifiers_are_generated_fresh_and_none_is_stored() -> None:
    names = [f"EMP-{i * 7919 % 100_000:05d}-x{i % 10}" for i in range(500)]
    frame = pl.DataFrame({"id": names, "v": np.random.default_rng(0).normal(size=500)})
    schema, dataset = read_table(frame)
    text = json.dumps(schema.to_json())
    assert not any(name in text for name in names)
    assert any("'id' holds identifiers" in note for note in dataset.notes)
    fresh = schema.decode(dataset.rows, generator=torch.Generator().manual_seed(1))["id"]
    assert fresh.n_unique() == 500
    assert fresh.str.contains(r"^EMP-\d{5}-x\d$").all()
    same = schema.decode(dataset.rows, generator=torch.Generator().manual_seed(1))["id"]
    other = schema.decode(dataset.rows, generator=torch.Generator().manual_seed(2))["id"]
    assert fresh.equals(same)
    assert not fresh.equals(other)


def test_identifiers_stay_distinct_beyond_their_pattern() -> None:
    frame = pl.DataFrame({"id": [f"a{i}" for i in range(10, 40)], "v": range(30)})
    schema, _ = read_table(frame)
    many = schema.decode(schema.encode(frame)[:1].expand(5000, 1))["id"]
    assert many.n_unique() == 5000
    assert many.str.starts_with("a").all()


def test_missing_identifiers_stay_missing_about_as_often() -> None:
    frame = pl.DataFrame(
        {"id": [None if i % 4 == 0 else f"user{i}@x.org" for i in range(400)], "v": range(400)}
    )
    schema, dataset = read_table(frame)
    fresh = schema.decode(dataset.rows, generator=torch.Generator().manual_seed(0))["id"]
    assert 60 < fresh.null_count() < 140
    assert fresh.drop_nulls().is_unique().all()


def test_a_table_of_identifiers_only_cannot_be_modelled() -> None:
    with pytest.raises(DataError, match="at least one column to model"):
        read(pl.DataFrame({"id": [f"user {i}" for i in range(50)]}))


# --- conditions


def test_a_condition_is_taken_out_and_put_back_in_place() -> None:
    frame = pl.DataFrame(
        {
            "a": np.arange(60) / 7,
            "k": (["x"] * 3 + ["y"] * 2 + [None]) * 10,
            "b": ["p", "q"] * 30,
        }
    )
    schema, dataset = read_table(frame, condition="k")
    assert schema.condition is not None
    assert schema.condition.classes == ("x", "y", None)
    _, labels = dataset.subset("train")
    assert labels is not None
    shares = np.bincount(labels, minlength=3) / len(labels)
    assert schema.condition.frequencies == pytest.approx(shares)
    assert len(schema.columns) == 2
    assert_frame_equal(schema.decode(dataset.rows, dataset.labels), frame)
    swapped = schema.decode(dataset.rows, torch.full((60,), 1))
    assert swapped["k"].to_list() == ["y"] * 60
    with pytest.raises(DataError, match="needs their labels"):
        schema.decode(dataset.rows)
    restored = schema_from_json(schema.to_json())
    assert restored.condition == schema.condition


def test_conditions_of_other_types() -> None:
    frame = pl.DataFrame({"n": np.arange(40) % 3, "b": [True, False] * 20, "v": np.arange(40) / 3})
    for name, classes in (("n", (0, 1, 2)), ("b", (False, True))):
        schema, dataset = read_table(frame, condition=name)
        assert schema.condition is not None
        assert schema.condition.classes == classes
        assert_frame_equal(schema.decode(dataset.rows, dataset.labels), frame)


@pytest.mark.parametrize(
    ("condition", "message"),
    [("clas", "did you mean 'class'"), ("v", "at most 100 classes, got 150")],
)
def test_conditions_that_do_not_fit(condition: str, message: str) -> None:
    frame = pl.DataFrame({"class": np.arange(150) % 3, "v": np.arange(150) / 3})
    with pytest.raises(DataError, match=message):
        read(frame, condition=condition)


# --- new data for a known schema


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"c": ["a"]}), "lacks the column.* 'v'"),
        (pl.DataFrame({"c": ["d"], "v": [1]}), "unknown category 'd'"),
        (pl.DataFrame({"c": ["a"], "v": ["one"]}), "must hold Int64"),
        (pl.DataFrame({"c": [None], "v": [1]}), "must have no missing values"),
        (pl.DataFrame({"c": ["a"], "v": [float("inf")]}), "must hold Int64"),
    ],
)
def test_rows_that_do_not_fit_the_schema(frame: pl.DataFrame, message: str) -> None:
    schema, _ = read_table(pl.DataFrame({"c": ["a", "b"] * 10, "v": range(20)}))
    with pytest.raises(DataError, match=message):
        schema.encode(frame)


@pytest.mark.parametrize("broken", [{}, {"kind": "tabel"}, {"kind": "table"}, {"kind": []}])
def test_a_broken_schema_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="description is broken"):
        schema_from_json(broken)
