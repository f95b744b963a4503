"""Every dtype of pandas and Polars, with and without missing values, by every way in and out."""

from __future__ import annotations

import ipaddress
import json
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import pushforward as pf
from pushforward.data import TableSchema, schema_from_json
from pushforward.data.tables.boxes import distinct_texts, read_spelling, spell
from pushforward.errors import DataError
from read_tables import quantised_rows, read_table

pytestmark = pytest.mark.usefixtures("few_codes")

N = 24  # rows of a column: each of its values several times

# --- pandas

BERLIN = ZoneInfo("Europe/Berlin")
HALF_PAST = timezone(timedelta(hours=5, minutes=30))
STAMPS = pd.date_range("2024-03-30 09:00", periods=4, freq="D")
DAYS = [date(2024, 1, 31), date(2024, 2, 29), date(1999, 12, 31)]
MOMENTS = [datetime(2024, 1, 1, 9), datetime(2024, 6, 1, 17, 30)]
UUIDS = [uuid.UUID(int=i << 70) for i in range(3)]
ADDRESSES = [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")]
CUT = pd.cut(np.arange(6), [-1, 1, 3, 5])
INTERVALS = pd.arrays.IntervalArray.from_breaks([0.1, 0.25, 1.0, 1e9], closed="left")
DAY_INTERVALS = pd.IntervalIndex.from_breaks(STAMPS.tz_localize("UTC"))

PANDAS: dict[str, Any] = {  # values of one dtype
    **{name: np.array([3, 0, 7], dtype=name) for name in ("int8", "int16", "int32", "int64")},
    **{name: np.array([3, 0, 7], dtype=name) for name in ("uint8", "uint16", "uint32", "uint64")},
    **{name: np.array([0.5, -2.25], dtype=name) for name in ("float16", "float32", "float64")},
    "longdouble": np.array([0.5, -2.25], dtype=np.longdouble),
    "bool": np.array([True, False]),
    **{name: pd.array([3, 0, 7], dtype=name) for name in ("Int8", "Int16", "Int32", "Int64")},
    **{name: pd.array([3, 0, 7], dtype=name) for name in ("UInt8", "UInt16", "UInt32", "UInt64")},
    **{name: pd.array([0.5, -2.25], dtype=name) for name in ("Float32", "Float64")},
    "large": pd.array([2**53 + 1, 2**53 + 7], dtype="Int64"),
    "boolean": pd.array([True, False], dtype="boolean"),
    "str": pd.array(["a", "1", ""], dtype="str"),
    "string": pd.array(["a", "1", ""], dtype="string[python]"),
    "sparse": pd.arrays.SparseArray([0.0, 1.5, np.nan], fill_value=0.0),
    "sparse of 7": pd.arrays.SparseArray([7, 1, 2], fill_value=7),
    "sparse flags": pd.arrays.SparseArray([True, False]),
    **{f"datetime {unit}": pd.array(STAMPS.as_unit(unit)) for unit in ("s", "ms", "us", "ns")},
    "year 9999": np.array(["9999-12-31", "0001-01-01"], dtype="M8[s]"),
    "zone": pd.array(STAMPS.tz_localize(BERLIN)),
    "utc": pd.array(STAMPS.tz_localize("UTC")),
    "offset": pd.array(STAMPS.tz_localize(HALF_PAST)),
    **{f"lapse {unit}": pd.to_timedelta([1, 90], unit="h").as_unit(unit) for unit in ("s", "ns")},
    **{
        f"period {freq}": pd.period_range("2023-11", periods=4, freq=freq).array
        for freq in ("Y", "Q-NOV", "M", "2M", "W-WED", "D", "h", "min", "s", "ns")
    },
    "interval": INTERVALS,
    "interval of integers": pd.arrays.IntervalArray.from_tuples([(0, 5), (5, 9)], closed="both"),
    "interval of days": DAY_INTERVALS.array,
    "interval of lapses": pd.interval_range(pd.Timedelta(0), periods=3, freq="36h").array,
    "categories": pd.Categorical(["lo", "hi", "lo"], ["lo", "hi", "never"], ordered=True),
    "categories of numbers": pd.Categorical([3, 1, 2]),
    "categories of floats": pd.Categorical([0.1, np.inf, 2.0]),
    "categories of flags": pd.Categorical([True, False]),
    "categories of dates": pd.Categorical(DAYS),
    "categories of times": pd.Categorical(STAMPS.tz_localize(BERLIN)[[0, 1, 3]]),
    "categories of periods": pd.Categorical(pd.period_range("2024-01", periods=3, freq="M")),
    "categories of intervals": CUT,
    "categories of mixed types": pd.Categorical([1, "1", 2], [1, "1", 2]),
    "no categories": pd.Categorical([None, None]),
}
OBJECTS: dict[str, list[Any]] = {
    "flags": [True, False],
    "integers": [3, 0, 7],
    "unsigned": [2**64 - 1, 2**64 - 9],
    "enormous": [10**30, 7],
    "floats": [0.5, 2.0],
    "mixed numbers": [1, 2.5],
    "whole numbers": [1, 2.0],
    "money": [Decimal("1.10"), Decimal("-3.25")],
    "money and integers": [Decimal("1.10"), 7],
    "text": ["a", "1", "nan"],
    "mixed": [1, "1", 2.5, "2.5", True, "True", "'quoted'", "it's"],
    "dates": DAYS,
    "times": [time(9), time(17, 30)],
    "date-times": MOMENTS,
    "date-times in a zone": [moment.replace(tzinfo=BERLIN) for moment in MOMENTS],
    "date-times in UTC": [moment.replace(tzinfo=UTC) for moment in MOMENTS],
    "date-times at an offset": [moment.replace(tzinfo=HALF_PAST) for moment in MOMENTS],
    "lapses": [timedelta(hours=1), timedelta(days=2)],
    "stamps": list(STAMPS),
    "stamps in a zone": list(STAMPS.tz_localize(BERLIN)),
    "stamps of nanoseconds": [pd.Timestamp("2024-01-01 00:00:00.123456789"), STAMPS[0]],
    "pandas lapses": list(pd.to_timedelta([1, 90], unit="h")),
    "NumPy's scalars": [np.int64(3), np.int64(0)],
    "NumPy's flags": [np.True_, np.False_],
    "UUIDs": UUIDS,
    "addresses": ADDRESSES,
    "periods": list(pd.period_range("2024-01", periods=3, freq="M")),
    "intervals": list(INTERVALS),
}
MISSING: dict[str, Any] = {"None": None, "nan": float("nan"), "NaT": pd.NaT, "NA": pd.NA}


def repeated(values: Any) -> pd.Series[Any]:
    """N rows of these values, in turns."""
    column = pd.Series(values)
    return column.iloc[np.arange(N) % len(column)].reset_index(drop=True)


def assert_round_trip(frame: pd.DataFrame, exact: Callable[[Any, Any], None]) -> None:
    """The rows of a schema that was read or loaded are the user's; so are those of a sample."""
    schema, dataset = read_table(frame)
    loaded = schema_from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False)))
    assert isinstance(loaded, TableSchema)
    exact(schema.decode(dataset.rows), frame)
    exact(loaded.decode(loaded.encode(frame)), frame)
    sample = quantised_rows(dataset)
    exact(sample[:0], frame[:0])
    present, ours = sample["v"].isna(), frame["v"].isna()
    pd.testing.assert_series_equal(present, ours)
    row = dataset.splits["train"].tolist()
    exact(dataset.raw("train"), frame.iloc[row].reset_index(drop=True))


FULL = {"bool", "interval of integers", "sparse", "sparse of 7", "sparse flags"}
FULL |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


@pytest.mark.parametrize(
    ("name", "gaps"),
    [*((name, False) for name in PANDAS), *((name, True) for name in PANDAS if name not in FULL)],
)
def test_every_dtype_of_pandas_comes_back(name: str, gaps: bool) -> None:
    column = repeated(PANDAS[name])
    if gaps:
        column[column.index % 5 == 1] = None
        assert column.isna().sum() >= N // 5
    frame = pd.DataFrame({"v": column, "other": np.arange(N) % 3})
    assert frame["v"].dtype == pd.Series(PANDAS[name]).dtype
    assert_round_trip(frame, pd.testing.assert_frame_equal)


OBJECT_CASES = [
    *((name, missing) for name in OBJECTS for missing in ("no", "None", "nan")),
    *((name, missing) for name in ("flags", "text", "stamps", "periods") for missing in MISSING),
]


@pytest.mark.parametrize(("name", "missing"), dict.fromkeys(OBJECT_CASES))
def test_objects_of_every_type_come_back(name: str, missing: str) -> None:
    """Their types, too, and which of the values that mean missing it was."""
    cycle = OBJECTS[name] if missing == "no" else [*OBJECTS[name], MISSING[missing]]
    values = pd.Series([cycle[i % len(cycle)] for i in range(N)], dtype=object)
    frame = pd.DataFrame({"v": values, "other": np.arange(N) % 3})

    def exact(restored: Any, given: Any) -> None:
        pd.testing.assert_frame_equal(restored, given)
        for mine, own in zip(restored["v"], given["v"], strict=True):
            assert type(mine) is EQUAL_TYPES.get(name, type(own)) or pd.isna(own)
            assert str(mine) == str(own) if pd.isna(own) else mine == own

    assert_round_trip(frame, exact)


@pytest.mark.parametrize("missing", MISSING)
def test_objects_that_are_all_missing_come_back(missing: str) -> None:
    values = pd.Series([MISSING[missing]] * N, dtype=object)
    frame = pd.DataFrame({"v": values, "other": np.arange(N) % 3})
    assert_round_trip(frame, pd.testing.assert_frame_equal)


EQUAL_TYPES: dict[str, type] = {  # where one type stands for another with equal values
    "whole numbers": float,
    "money and integers": Decimal,
    "NumPy's scalars": int,
    "NumPy's flags": bool,
}


# --- Polars

POOL = {"categories": pl.Categories("pool", "tests", pl.UInt8)} if hasattr(pl, "Categories") else {}
EXTENSIONS = (
    {"extension": pl.Series([600, 601]).ext.to(pl.Extension("tests.month", pl.Int64(), "M"))}
    if hasattr(pl, "Extension")
    else {}
)
POLARS: dict[str, pl.Series] = {
    **{
        name: pl.Series([3, 0, 7], dtype=getattr(pl, name))
        for name in (
            *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
            *("Int128", "UInt128"),
        )
        if hasattr(pl, name)
    },
    **{
        name: pl.Series([0.5, -2.25], dtype=getattr(pl, name))
        for name in ("Float16", "Float32", "Float64")
        if hasattr(pl, name)
    },
    "Decimal": pl.Series([Decimal("1.25"), Decimal("-3.50")], dtype=pl.Decimal(9, 2)),
    "Boolean": pl.Series([True, False]),
    "String": pl.Series(["a", "1", ""]),
    "Enum": pl.Series(["b", "a"], dtype=pl.Enum(["b", "a", "never"])),
    "Categorical": pl.Series(["b", "a"], dtype=pl.Categorical()),
    "own categories": pl.Series(["b", "a"], dtype=pl.Categorical(**POOL)),
    "Date": pl.Series(DAYS),
    "Time": pl.Series([time(9), time(17, 30)]),
    **{
        f"Datetime {unit} {zone}": pl.Series(MOMENTS).cast(pl.Datetime(unit, zone))
        for unit in ("ms", "us", "ns")
        for zone in (None, "Europe/Berlin")
    },
    **{
        f"Duration {unit}": pl.Series([timedelta(hours=1)] * 2, dtype=pl.Duration(unit))
        for unit in ("ms", "us", "ns")
    },
    "Null": pl.Series([None, None]),
    **EXTENSIONS,
    "Object": pl.Series(UUIDS, dtype=pl.Object),
    "Object, mixed": pl.Series([1, "1", 2.5, False], dtype=pl.Object),
}


def polars_frame(name: str, gaps: bool) -> pl.DataFrame:
    """N rows of these values, in turns."""
    known = POLARS[name].to_list()
    cycle = [*known, None] if gaps else known
    column = [cycle[i % len(cycle)] for i in range(N)]
    if name in EXTENSIONS:
        values = pl.Series(column, dtype=pl.Int64).ext.to(POLARS[name].dtype)
    else:
        values = pl.Series(column, dtype=POLARS[name].dtype)
    return pl.DataFrame({"v": values, "other": [i % 3 for i in range(N)]})


def exact_polars(restored: pl.DataFrame, given: pl.DataFrame) -> None:
    if given["v"].dtype != pl.Object:
        assert_frame_equal(restored, given, check_exact=True)
        return
    assert restored.schema == given.schema
    assert restored["v"].to_list() == given["v"].to_list()
    assert list(map(type, restored["v"])) == list(map(type, given["v"]))


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("name", POLARS)
def test_every_dtype_of_polars_comes_back(name: str, gaps: bool, tmp_path: Path) -> None:
    """From memory, by a schema that was saved, and by Parquet."""
    frame = polars_frame(name, gaps)
    schema, dataset = read_table(frame)
    loaded = schema_from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False)))
    exact_polars(schema.decode(dataset.rows), frame)
    exact_polars(loaded.decode(loaded.encode(frame)), frame)
    sample = quantised_rows(dataset)
    assert sample.schema == frame.schema
    assert sample["v"].is_null().equals(frame["v"].is_null())
    if frame["v"].dtype == pl.Object or name.endswith("128"):  # Parquet has none of them
        return
    path = tmp_path / "t.parquet"
    frame.write_parquet(path)
    data = pf.read(path)
    again = pf.read(pf.write(data.schema.decode(data.rows), tmp_path / "u.parquet"))
    assert_frame_equal(again.schema.decode(again.rows), pl.read_parquet(path), check_exact=True)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("name", [k for k, v in POLARS.items() if v.dtype != pl.Object])
def test_what_a_csv_file_holds_comes_back(name: str, gaps: bool, tmp_path: Path) -> None:
    """The values and the gaps; "" is text that a file cannot tell from a missing one."""
    frame = polars_frame(name, gaps)
    if frame["v"].dtype == pl.String:
        frame = frame.filter(pl.col("v").fill_null("-") != "")
    pf.write(frame, tmp_path / "t.csv")
    data = pf.read(tmp_path / "t.csv")
    given = data.schema.decode(data.rows)
    assert given["v"].is_null().equals(frame["v"].is_null())
    again = pf.read(pf.write(given, tmp_path / "u.csv", schema=data.schema))
    assert_frame_equal(again.schema.decode(again.rows), given, check_exact=True)


# --- texts that tell types apart

SCALARS = st.integers() | st.floats(allow_nan=False) | st.booleans() | st.text()
LOOKALIKES = st.sampled_from(["1", "1.0", "inf", "nan", "True", "'1'", "''", "'", "1_0", " 1", "٣"])


@given(SCALARS | LOOKALIKES)
def test_a_spelling_gives_the_value_and_its_type(value: Any) -> None:
    again = read_spelling(spell(value))
    assert (type(again), again) == (type(value), value)


@given(st.lists(SCALARS | LOOKALIKES, unique_by=lambda value: (type(value), value)))
def test_texts_of_different_values_differ(values: list[Any]) -> None:
    texts = distinct_texts(values)
    assert len(set(texts)) == len(values)
    if len(set(map(str, values))) == len(values):
        assert texts == list(map(str, values))


# --- what is refused, what is noted


class Opaque:
    """A type without a text of its own."""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2]], "holds values of type list, e.g. .1, 2."),
        ([{"a": 1}], "holds values of type dict"),
        ([b"x"], "holds values of type bytes"),
        ([Opaque()], "holds values of type Opaque"),
        (np.array([1j]), "has pandas' dtype complex128"),
    ],
)
def test_columns_of_parts_are_refused_in_the_users_words(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"'v' must hold numbers, text, truth values.*{message}"):
        pf.read(pd.DataFrame({"v": repeated(values)}))


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([Path("a"), Path("b")], "check: column 'v' holds objects (PosixPath): they are read as"),
        ([10**30, 7], "check: column 'v' has integers of more than 64 bits"),
        ([1, "a"], "column 'v' mixes types (int, str): each value is a category"),
        (
            [MOMENTS[0].replace(tzinfo=HALF_PAST), MOMENTS[1].replace(tzinfo=UTC)],
            "check: column 'v' mixes time zones (+0000, +0530): its times come back in UTC",
        ),
    ],
)
def test_what_comes_back_otherwise_is_noted(values: list[Any], note: str) -> None:
    data = pf.read(pd.DataFrame({"v": pd.Series(values * (N // 2), dtype=object)}))
    assert any(line.startswith(note) for line in data.notes)


def test_times_of_mixed_zones_are_the_same_moments() -> None:
    moments = [MOMENTS[0].replace(tzinfo=HALF_PAST), MOMENTS[1].replace(tzinfo=BERLIN), None]
    for values in (moments, [m and pd.Timestamp(m) for m in moments]):
        data = pf.read(pd.DataFrame({"v": pd.Series(values * 8, dtype=object)}))
        back = data.schema.decode(data.rows)["v"].tolist()
        assert back == moments * 8
        assert {value.utcoffset() for value in back if value} == {timedelta(0)}


# --- labels and index

LABELS: dict[str, pd.Index[Any]] = {
    "text": pd.Index(["a", "b", "c"], name="field"),
    "integers": pd.Index([1, 2, 7], name="year"),
    "positions": pd.RangeIndex(3),
    "floats": pd.Index([0.5, 1.0, float("inf")]),
    "mixed": pd.Index([1, "1", 2.5], dtype=object),
    "dates": pd.Index(DAYS, dtype=object),
    "times": pd.date_range("2024-01-01", periods=3, freq="D", name="day"),
    "zoned times": STAMPS[[0, 1, 3]].tz_localize(BERLIN),
    "periods": pd.period_range("2024-01", periods=3, freq="M", name="month"),
    "intervals": pd.IntervalIndex.from_breaks([0, 1, 2, 5]),
    "categories": pd.CategoricalIndex(["u", "v", "w"], ["w", "v", "u"], ordered=True),
    "missing": pd.Index(["a", None, "c"], dtype=object),
    "pairs": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["side", None]),
    "pairs of times": pd.MultiIndex.from_product([["open", "close", "low"], STAMPS[:1]]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_every_type_come_back(name: str, tmp_path: Path) -> None:
    """After a model was trained, saved and loaded, too."""
    frame = pd.DataFrame({0: np.arange(N) % 3, 1: np.arange(N) / 7, 2: list("xyz") * (N // 3)})
    frame.columns = LABELS[name]
    fitted = pf.fit(frame, "vae", budget="1 step", batch_size=8)
    fitted.save(tmp_path / "run")
    sample = pf.load(tmp_path / "run").sample(4, seed=0)
    pd.testing.assert_frame_equal(sample, fitted.sample(4, seed=0))
    pd.testing.assert_index_equal(sample.columns, frame.columns, exact=True)
    assert sample.dtypes.tolist() == frame.dtypes.tolist()
    data = pf.read(frame)
    pd.testing.assert_frame_equal(data.schema.decode(data.rows), frame)


INDEXES: dict[str, tuple[pd.Index[Any], bool]] = {  # and whether it is kept
    "positions": (pd.RangeIndex(N), False),
    "shuffled positions": (pd.Index(np.arange(N)[::-1]), False),
    "named positions": (pd.RangeIndex(N, name="trial"), True),
    "numbers": (pd.Index(np.arange(N) % 5, name="age"), True),
    "days": (pd.date_range("2024-01-01", periods=N, name="day"), True),
    "unnamed days": (pd.date_range("2024-01-01", periods=N), True),
    "words": (pd.Index(list("abc") * (N // 3), name="word"), True),
    "a column's name": (pd.Index(list("abc") * (N // 3), name="x"), True),
    "a number's name": (pd.Index(list("abc") * (N // 3), name=7), True),
    "periods": (pd.period_range("2024-01", periods=N, freq="M", name="month"), True),
    "pairs": (pd.MultiIndex.from_product([["a", "b"], range(N // 2)], names=["side", None]), True),
}


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_that_says_something_comes_back(name: str) -> None:
    index, kept = INDEXES[name]
    frame = pd.DataFrame({"x": np.arange(N) % 3, "y": np.arange(N) / 7}, index=index)
    schema, dataset = read_table(frame)
    loaded = schema_from_json(json.loads(json.dumps(schema.to_json())))
    expected = frame if kept else frame.reset_index(drop=True)
    for own in (schema, loaded):
        back = own.decode(own.encode(frame))
        pd.testing.assert_frame_equal(back, expected, check_freq=False)
    assert any("comes back as the index" in note for note in dataset.notes) == kept
    assert any("is not kept" in note for note in dataset.notes) == (name == "shuffled positions")


def integers() -> pd.DataFrame:
    """A table as NumPy's users make it: its labels are positions."""
    rows = {
        0: np.arange(60) % 3,
        1: ["u", "v", "w"] * 20,
        2: np.arange(60) / 7,
        3: np.arange(60) % 2,
    }
    return pd.DataFrame(rows)


def test_columns_are_called_by_their_labels() -> None:
    data = pf.read(integers(), condition=1, overrides={0: "categorical", 3: "categorical"})
    assert data.schema.condition is not None
    assert data.schema.condition.name == "1"
    fitted = pf.fit(data, "vae", budget="1 step", batch_size=8)
    assert set(fitted.sample(9, seed=0, where={0: 2})[0]) == {2}
    assert set(fitted.sample(9, seed=0, where={1: ["u", "w"], 2: (1, 3)})[1]) <= {"u", "w"}
    assert fitted.sample(9, seed=0, balance=0)[0].value_counts().to_dict() == {0: 3, 1: 3, 2: 3}
    assert fitted.sample(9, seed=0, balance=1)[1].value_counts().to_dict() == dict.fromkeys(
        "uvw", 3
    )
    assert fitted.sample(8, seed=0, balance=3)[3].value_counts().to_dict() == {0: 4, 1: 4}
    assert pf.fit(integers(), "vae", condition=1, budget="1 step").schema.condition is not None


def test_columns_of_pairs_and_dates_are_called_by_their_labels() -> None:
    frame = integers().iloc[:, :3]
    frame.columns = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)])
    fitted = pf.fit(frame, "vae", condition=("a", 2), budget="1 step", batch_size=8)
    sample = fitted.sample(6, seed=0, where={("a", 2): "u", ("a", 1): 1})
    assert set(sample["a", 2]) == {"u"}
    assert set(sample["a", 1]) == {1}
    frame.columns = pd.date_range("2024-01-01", periods=3)
    fitted = pf.fit(frame, "vae", budget="1 step", batch_size=8)
    sample = fitted.sample(6, seed=0, where={datetime(2024, 1, 2): "w"})
    assert set(sample[pd.Timestamp("2024-01-02")]) == {"w"}


@pytest.mark.parametrize(
    "arguments", [{"condition": 9}, {"overrides": {9: "numeric"}}, {"condition": ("a", 1)}]
)
def test_an_unknown_label_is_an_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="no column"):
        pf.read(integers(), **arguments)
    fitted = pf.fit(integers(), "vae", budget="1 step", batch_size=8)
    with pytest.raises(DataError, match="no column"):
        fitted.sample(3, where={9: 1})
