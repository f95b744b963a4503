"""Numbers, dates and dialects as people write them: read the same through every door, and back."""

from __future__ import annotations

import gzip
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pushforward as pf
from pushforward.data import TableSchema
from pushforward.data.tables.number_text import NumberFormat, parse_numbers
from pushforward.data.tables.text_types import parse_text
from pushforward.data.tables.time_text import format_times, parse_times

RNG = np.random.default_rng(0)
FORMS = [
    ("{}", "-{}"),
    ("${}", "(${})"),
    ("-", ""),  # replaced below: a currency in front, the sign between
    ("{} €", "-{} €"),
    ("CHF {}", "-CHF {}"),
    ("{}%", "-{}%"),
    ("{} km/h", "-{} km/h"),
    ("{}", "({})"),
    ("{}", "{}-"),
    ("{}", "−{}"),
]
FORMS[2] = ("R$ {}", "R$ -{}")
MARKS = [("", "."), (",", "."), (".", ","), (" ", ","), ("\u202f", ","), ("'", "."), ("", ",")]


@given(
    st.sampled_from(FORMS),
    st.sampled_from(MARKS),
    st.sampled_from([0, 1, 2, 4]),
    st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=30),
)
def test_spelled_numbers_are_read_and_written_as_they_were(
    form: tuple[str, str], marks: tuple[str, str], decimals: int, units: list[int]
) -> None:
    """Formats x values, with a number each that shows grouping and sign."""
    spelled = NumberFormat(*form, *marks, decimals)
    units = [*units, 1_234_567 * 10**decimals, -5 * 10**decimals]
    values = pl.Series("x", [u / 10**decimals for u in units])
    text = spelled.format(values if decimals else values.cast(pl.Int64))
    for value, written in zip(units, text, strict=True):  # an independent spelling
        whole, fraction = divmod(abs(value), 10**decimals)
        digits = f"{whole:,}".replace(",", marks[0])
        digits += f"{marks[1]}{fraction:0{decimals}d}" if decimals else ""
        assert written == form[value < 0].replace("{}", digits)
    parsed = parse_numbers(text)
    assert parsed is not None
    numbers, found, note = parsed
    assert note is None
    assert numbers.to_list() == values.to_list()
    if found is None:  # plain numbers
        assert (form, marks[0]) == (("{}", "-{}"), "")
    else:
        assert found.format(numbers).to_list() == text.to_list()


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1,234", "345"], [1234, 345]),  # 345 has no comma: it divides thousands
        (["0,125", "1,250"], [0.125, 1.25]),  # no thousand begins with 0
        (["1.000", "2.500"], [1.0, 2.5]),
        (["1,234,567", "2,345,678"], [1_234_567, 2_345_678]),
        (["12", "n/a", "-"], [12, None, None]),
        (["1e5", "2.5e-3"], [1e5, 2.5e-3]),
        (["€5", "€1.250,75"], [5.0, 1250.75]),
    ],
)
def test_the_column_decides_what_a_mark_is(texts: list[str], values: list[Any]) -> None:
    parsed = parse_numbers(pl.Series(texts))
    assert parsed is not None
    assert parsed[0].to_list() == values


def test_thousands_that_may_be_decimals_are_said() -> None:
    english, german = (
        parse_numbers(pl.Series(["1,234", "5,678"]), decimal_comma=c) for c in (False, True)
    )
    assert english is not None
    assert german is not None
    assert (english[0].to_list(), german[0].to_list()) == ([1234, 5678], [1.234, 5.678])
    assert "'1,234'" in str(english[2])


@pytest.mark.parametrize(
    "texts",
    [
        ["007", "008"],  # names
        ["A12", "A13"],
        ["12 V", "13 A"],  # two units
        ["12 name", "13 name"],  # no unit
        ["$5", "€6"],
        ["12", "twelve"],
        ["1,23,4", "5"],
        ["12.05.2024", "13.05.2024"],
        ["1.2.3", "1.2.4"],
        ["555-1234", "555-1235"],
    ],
)
def test_what_only_looks_like_numbers_stays_text(texts: list[str]) -> None:
    assert parse_numbers(pl.Series(texts)) is None


DATE_FORMATS = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%-d.%-m.%Y", "%d/%m/%Y"]
DATE_FORMATS += ["%m/%d/%Y", "%-m/%-d/%Y", "%d-%b-%Y", "%d-%^b-%y", "%m/%d/%y", "%d.%m.%y"]
DATE_FORMATS += ["%Y-%m", "%m/%Y"]
DATE_FORMATS += ["%d %b %Y", "%-d %B %Y", "%B %-d, %Y", "%b %d, %Y", "%a, %d %b %Y", "%A %d %B %Y"]
CLOCKS = ["", " %H:%M", " %H:%M:%S", "T%H:%M:%S", ", %-I:%M %p", " %I:%M%P", "T%H:%M:%SZ"]


@pytest.mark.parametrize("date_format", DATE_FORMATS)
@pytest.mark.parametrize("clock", CLOCKS)
def test_dates_are_read_and_written_as_they_were(date_format: str, clock: str) -> None:
    whole_month = "d" not in date_format
    if (whole_month and clock) or ("%^" in date_format and "%P" in clock):
        return
    start = datetime(1999, 1, 31, 0, 5, 7)
    times = [start + timedelta(days=37 * i, hours=7 * i, seconds=59 * i) for i in range(120)]
    if whole_month:
        times = [t.replace(day=1) for t in times]
    written = [_strftime(t, date_format + clock) for t in times]
    values, found, note = parse_times(pl.Series("t", written))
    assert found is not None
    assert note is None
    assert format_times(values, found).to_list() == written
    step = timedelta(days=1) if not clock else timedelta(seconds=1 if "%S" in clock else 60)
    for t, value in zip(times, values.to_list(), strict=True):
        moment = (
            value.replace(tzinfo=None) if clock else datetime(value.year, value.month, value.day)
        )
        assert timedelta() <= t - moment < step


@pytest.mark.parametrize("digits", range(1, 10))
@pytest.mark.parametrize("form", ["2024-03-{:02d} 07:08:09{}", "{:02d}.3.2024 7:08:09{} AM"])
def test_fractions_of_a_second_keep_their_digits(form: str, digits: int) -> None:
    fractions = [0, 5, 10**digits // 2 + 1]
    texts = [form.format(d, f".{f:0{digits}d}") for d, f in enumerate(fractions, 10)]
    times, found, _ = parse_times(pl.Series("when", texts))
    assert found is not None
    assert times.dt.microsecond().to_list() == [f * 10**6 // 10**digits for f in fractions]
    if digits <= 6:
        assert format_times(times, found).to_list() == texts
    varying = parse_times(pl.Series("when", [*texts, form.format(28, "")]))
    assert varying[0].to_list()[:-1] == times.to_list()


def _strftime(t: datetime, form: str) -> str:
    """Python's own, with the codes that it lacks."""
    text = form.replace("%-d", str(t.day)).replace("%-m", str(t.month))
    text = text.replace("%-I", str(t.hour % 12 or 12)).replace("%P", t.strftime("%p").lower())
    return t.strftime(text.replace("%^b", t.strftime("%b").upper()))


def test_day_and_month_that_cannot_be_told_apart_are_said() -> None:
    for texts, first in ((["01/02/2024", "03/04/2024"], "month"), (["01.02.2024"], "day")):
        values, _, note = parse_times(pl.Series(texts))
        assert values.dtype == pl.Date
        assert f"with the {first} first" in str(note)
    values, _, note = parse_times(pl.Series(["01/02/2024", "31/01/2024"]))
    assert (values[0], note) == (date(2024, 2, 1), None)


@pytest.mark.parametrize(
    "texts", [["2024-02-30"], ["12-34-56"], ["5.3", "7.2"], ["Mayday"], ["31. Januar 2024"], ["T"]]
)
def test_what_only_looks_like_dates_stays_text(texts: list[str]) -> None:
    assert parse_text(pl.Series(texts * 3)).is_text or parse_numbers(pl.Series(texts)) is not None


def orders(n: int = 300) -> dict[str, list[str | None]]:
    """Amounts in euros, dates day first, a share, times of day and a size, all of them as text."""
    days = RNG.integers(0, 900, n)
    cents = RNG.integers(-99_999, 9_999_999, n)
    euro = NumberFormat("{} €", "-{} €", ".", ",", 2)
    amounts: list[str | None] = euro.format(pl.Series(cents / 100)).to_list()
    amounts[3] = None
    return {
        "ordered": [f"{date(2022, 1, 1) + timedelta(int(d)):%d/%m/%Y}" for d in days],
        "amount": amounts,
        "discount": [f"{p}%" for p in RNG.integers(0, 60, n)],
        "at": [f"{h:02d}:{m:02d}" for h, m in RNG.integers([8, 0], [17, 60], (n, 2))],
        "size": [f"{s / 4} kg" for s in RNG.integers(1, 80, n)],
    }


DOORS = ["pandas", "polars", "parquet", "csv"]


@pytest.mark.parametrize("door", DOORS)
def test_types_do_not_depend_on_the_door(door: str, tmp_path: Path) -> None:
    frame = pl.DataFrame(orders())
    frame.write_csv(tmp_path / "t.csv", separator=";")
    frame.write_parquet(tmp_path / "t.parquet")
    pandas = pd.DataFrame(frame.to_dict(as_series=False))
    source: Any = {"pandas": pandas, "polars": frame}.get(door, tmp_path / f"t.{door}")
    data = pf.read(source)
    schema = data.schema
    assert isinstance(schema, TableSchema)
    assert {column.kind for column in schema.columns} == {"numeric"}
    assert not schema.identifiers
    assert not [note for note in data.notes if note.startswith("check")]
    restored = pf.data.schema_from_json(schema.to_json()) if door == "csv" else schema
    back = restored.decode(data.rows)
    if door == "pandas":
        pd.testing.assert_frame_equal(back, pandas)
    elif door == "csv":  # typed in memory, and as it was in the file
        assert [t.is_numeric() or t.is_temporal() for t in back.dtypes] == [True] * 5
        written = pf.write(back, tmp_path / "again.csv", schema=restored)
        assert written.read_bytes() == (tmp_path / "t.csv").read_bytes()
    else:
        assert back.equals(frame)


def test_generated_text_is_spelled_as_the_users() -> None:
    frame = pd.DataFrame(orders())
    fitted = pf.fit(frame, "vae", budget=5, width=8, latent=2)
    fake = fitted.sample(50, seed=0)
    assert fake.dtypes.equals(frame.dtypes)
    patterns = {
        "ordered": r"\d\d/\d\d/\d{4}",
        "amount": r"-?\d{1,3}(\.\d{3})*,\d\d €",
        "discount": r"\d+%",
        "at": r"\d\d:\d\d",
        "size": r"\d+(\.\d+)? kg",
    }
    for name, pattern in patterns.items():
        assert fake[name].dropna().str.fullmatch(pattern).all(), name
    assert set(pd.to_datetime(fake["ordered"], format="%d/%m/%Y").dt.year) <= {2022, 2023, 2024}


def dates(n: int, form: str, first: int = 1, last: int = 12) -> list[str]:
    """Dates whose day, between `first` and `last`, may be a month."""
    days = RNG.integers(first, last + 1, n)
    return [date(2024, 1 + k % 12, int(d)).strftime(form) for k, d in enumerate(days)]


@pytest.mark.parametrize("door", ["polars", "csv"])
def test_dates_that_may_be_read_in_two_ways_follow_the_others(door: str, tmp_path: Path) -> None:
    """Those of the same layout, clock or not, if these agree; alone, they are read as before."""
    n = 60
    day_first = {
        "open": dates(n, "%d/%m/%Y"),
        "decided": [*dates(n, "%d/%m/%Y", last=28)[1:], "31/01/2024"],
        "with clock": [f"{d} 09:30" for d in dates(n, "%d/%m/%Y")],
        "points": dates(n, "%d.%m.%Y"),
        "month points": [*dates(n, "%m.%d.%y")[1:], "01.31.24"],
    }
    disputed = {"dashes": dates(n, "%m-%d-%Y"), "a": [*dates(n, "%d-%m-%Y")[1:], "31-01-2024"]}
    disputed["b"] = [*dates(n, "%m-%d-%Y")[1:], "01-31-2024"]
    frame = pl.DataFrame(day_first | disputed | {"x": list(range(n))})
    frame.write_csv(tmp_path / "t.csv")
    data = pf.read(frame if door == "polars" else tmp_path / "t.csv")
    schema = data.schema
    assert isinstance(schema, TableSchema)
    formats = schema.constraint_set.codecs | {c.name: c for c in schema.columns}
    known = {name: getattr(codec, "time_format", None) for name, codec in formats.items()}
    assert known["open"] == "%d/%m/%Y"
    assert known["with clock"] == "%d/%m/%Y %H:%M"
    assert known["points"] == "%m.%d.%Y"
    assert known["dashes"] == "%d-%m-%Y", "of two that disagree none is followed"
    said = [note for note in data.notes if " first" in note]
    assert sum("those of column 'decided'" in note for note in said) == 2
    assert sum("those of column 'month points'" in note for note in said) == 1
    assert [note[:22] for note in said if note.startswith("check")] == ["check: column 'dashes'"]
    written = pf.write(schema.decode(data.rows), tmp_path / "again.csv", schema=schema)
    assert written.read_bytes() == (tmp_path / "t.csv").read_bytes()


SPELLINGS = {
    "currency": ["$1,200.00", "$5.50", "$900.00"],
    "decimals": ["1.50", "2.00", "3.25"],
    "varying": ["1.5", "2.50", "3"],
    "exponent": ["1e3", "2e3", "5e3"],
    "brackets": ["(5)", "7", "9"],
    "percent": ["5%", "10%", "15%"],
    "dates": ["31.01.2024", "28.02.2024", "01.03.2024"],
    "mixed offsets": ["2024-01-31T09:00:00+01:00", "2024-05-01T09:00:00+02:00"],
    "dashes": ["1", "2", "-"],
    "signs": ["+1", "-1", "+2"],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("role", ["override", "condition", "metadata"])
def test_categories_of_a_file_come_back_as_they_were_spelled(
    spelling: str, role: str, tmp_path: Path
) -> None:
    texts = SPELLINGS[spelling]
    values = [texts[k % len(texts)] for k in range(60)]
    pl.DataFrame({"c": values, "x": [k / 4 for k in range(60)]}).write_csv(tmp_path / "t.csv")
    columns = {"c": {"sdtype": "categorical"}, "x": {"sdtype": "numerical"}}
    options: dict[str, dict[str, Any]] = {
        "override": {"overrides": {"c": "categorical"}},
        "condition": {"condition": "c"},
        "metadata": {"metadata": {"columns": columns}},
    }
    data = pf.read(tmp_path / "t.csv", **options[role])
    back = data.schema.decode(data.rows, data.labels)
    again = pf.write(back, tmp_path / "again.csv", schema=data.schema)
    assert pl.read_csv(again, infer_schema=False)["c"].to_list() == values


def test_categories_that_are_plain_numbers_stay_numbers(tmp_path: Path) -> None:
    frame = pl.DataFrame({"c": [3, 1, 2] * 20, "day": [date(2024, 1, 31), None] * 30})
    frame.write_csv(tmp_path / "t.csv")
    data = pf.read(tmp_path / "t.csv", overrides={"c": "categorical", "day": "categorical"})
    assert data.schema.decode(data.rows).equals(frame)


@pytest.mark.parametrize("values", [["1", "25", "7"], ["0.5", "12", "-3.25"], ["+4", "5"]])
def test_plain_numbers_that_are_text_come_back_as_text(values: list[str]) -> None:
    frame = pl.DataFrame({"t": [values[k % len(values)] for k in range(60)]})
    back = pf.read(frame).raw("train")["t"]
    assert back.dtype == pl.String
    assert set(back) == {value.removeprefix("+") for value in values}


# --- dialects

PLAIN = "name,size,price\nann,1,2.5\nbob,2,3.5\n" + "cleo,3,4.5\n" * 18


def table(tmp_path: Path, text: str, name: str = "t.csv", **options: Any) -> pl.DataFrame:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    frame: pl.DataFrame = pf.data.sources.load_source(path, **options).data
    return frame


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (PLAIN.replace(",", "|"), "t.csv"),
        (PLAIN.replace(",", ";").replace(".", ","), "t.csv"),
        (PLAIN.replace(",", " "), "t.txt"),
        (PLAIN.replace(",", "\t"), "t.tsv"),
        (PLAIN.replace(",", ", "), "t.csv"),
        (PLAIN.replace(",", " , "), "t.csv"),
        (re.sub("([^,\n]+)", r'"\1"', PLAIN).replace(",", ", "), "t.csv"),
        (PLAIN, "t.csv.gz"),
        (PLAIN.replace(",", "\t"), "t.tsv.gz"),
    ],
    ids=["bar", "decimal comma", "blank", "tab", "blank after", "both", "quotes", "gz", "tsv.gz"],
)
def test_every_dialect_gives_the_same_table(text: str, name: str, tmp_path: Path) -> None:
    expected = table(tmp_path, PLAIN)
    assert expected.dtypes == [pl.String, pl.Int64, pl.Float64]
    assert table(tmp_path, text, name).equals(expected)


def test_quoted_blanks_stay(tmp_path: Path) -> None:
    frame = table(tmp_path, 'a,b\n" x",1\n' + '"y",2\n' * 12)
    assert frame["a"][0] == " x"


def test_a_dialect_is_written_back(tmp_path: Path) -> None:
    text = PLAIN.replace(",", ";").replace(".", ",").replace("cleo", "cléo")
    (tmp_path / "t.csv").write_text(text)
    data = pf.read(tmp_path / "t.csv")
    assert isinstance(data.schema, TableSchema)
    for schema in (data.schema, data.schema.with_columns(data.schema.columns)):
        written = pf.write(schema.decode(data.rows), tmp_path / "u.csv", schema=schema)
        assert written.read_text() == text


def test_a_file_without_names(tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{i / 4},2024-01-{1 + i % 28:02d}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(rows)
    notes = pf.read(tmp_path / "t.csv").notes
    assert notes[0].startswith("check: the first line names the columns: '0', '0.0'")
    data = pf.read(tmp_path / "t.csv", header=False)
    assert data.raw("train").columns == ["column_1", "column_2", "column_3"]
    assert sum(data.sizes.values()) == 40
    with pytest.raises(pf.DataError, match="no-header"):
        pf.read(_parquet(tmp_path), header=False)


def _parquet(folder: Path) -> Path:
    pl.DataFrame({"a": range(20)}).write_parquet(folder / "t.parquet")
    return folder / "t.parquet"


def test_json_lines_are_a_table(tmp_path: Path) -> None:
    expected = table(tmp_path, PLAIN)
    expected.write_ndjson(tmp_path / "t.jsonl")
    assert pf.data.sources.load_source(tmp_path / "t.jsonl").data.equals(expected)


# --- identifiers


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("customer_id", [f"c{i}" for i in range(300)]),
        ("CustomerID", list(range(1000, 1300))),
        ("x", [f"AB-{i:05d}-Z" for i in range(300)]),
        ("x", [f"{i:08x}-0000-4000-8000-{i:012x}" for i in range(300)]),
        ("email", [f"user{i}@mail.org" for i in range(300)]),
    ],
)
def test_keys_need_evidence(name: str, values: list[Any]) -> None:
    data = pf.read(pl.DataFrame({name: values, "v": RNG.normal(size=300)}))
    assert isinstance(data.schema, TableSchema)
    assert [i.name for i in data.schema.identifiers] == [name]
    assert not [note for note in data.notes if note.startswith("check")]


def test_text_that_is_all_different_without_evidence_is_said_first() -> None:
    texts = [f"{'lorem ipsum dolor sit'[: 3 + i % 17]} {i}" for i in range(300)]
    data = pf.read(pl.DataFrame({"remark": texts, "v": RNG.normal(size=300)}))
    assert data.notes[0].startswith("check: column 'remark'")
    assert "--override remark=categorical" in data.notes[0]


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        (
            [
                f"{'abcdefgh'[: 3 + i % 5]}.{'xyzuvw'[i % 4 :]}{i}@{('mail.org', 'web.de')[i % 2]}"
                for i in range(500)
            ],
            r"[a-z]{3,8}\.[a-z]{3,6}\d+@(mail|web)\.(org|de)",
        ),
        ([f"INV-{i}/{2020 + i % 4}" for i in range(5, 500)], r"INV-\d+/202[0-3]"),
        ([f"Room {i}" for i in range(300)], r"Room \d+"),
    ],
)
def test_identifiers_of_varying_length_keep_their_form(texts: list[str], pattern: str) -> None:
    data = pf.read(pl.DataFrame({"code": texts, "v": RNG.normal(size=len(texts))}))
    schema = pf.data.schema_from_json(data.schema.to_json())
    rows = data.rows[:1].expand(20_000, -1)
    fresh = schema.decode(rows, generator=torch.Generator().manual_seed(0))["code"]
    assert fresh.is_unique().all()
    assert fresh.str.contains(f"^{pattern}$").all()
    lengths, real = fresh.head(400).str.len_chars().mean(), pl.Series(texts).str.len_chars().mean()
    assert abs(lengths - real) < 3  # the list of short ones is used up in a large sample


def test_what_repeats_is_no_key() -> None:
    codes = [f"P{i // 2:04d}" for i in range(4000)]  # each twice
    data = pf.read(pl.DataFrame({"product": codes, "v": RNG.normal(size=4000)}))
    assert isinstance(data.schema, TableSchema)
    assert not data.schema.identifiers


def test_rows_that_are_numbered_are_said() -> None:
    data = pf.read(pl.DataFrame({"n": range(50), "v": RNG.normal(size=50)}))
    assert isinstance(data.schema, TableSchema)
    assert not data.schema.identifiers
    assert data.notes[0].startswith("check: column 'n' numbers the rows")


def test_the_first_sheet_of_a_workbook_is_a_table(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    rows = [[f"name {i}", i % 5, i / 4, datetime(2024, 1, 1 + i)] for i in range(20)]
    for row in [["name", "size", "price", "at"], *rows]:
        sheet.append(row)
    book.save(tmp_path / "t.xlsx")
    frame = table_of(tmp_path / "t.xlsx")
    assert frame.rows() == [tuple(row) for row in rows]


def table_of(path: Path) -> pl.DataFrame:
    frame: pl.DataFrame = pf.data.sources.load_source(path).data
    return frame
