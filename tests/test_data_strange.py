"""Tables that are strange, and what becomes of rare categories."""

from __future__ import annotations

import ipaddress
import json
import uuid
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

import pushforward as pf
from pushforward.cli.main import run_command
from pushforward.data import TableSchema, read, schema_from_json, write
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.errors import DataError
from pushforward.sampling.likelihood import refuse_out_of_range
from read_tables import quantised_rows, read_table

pytestmark = pytest.mark.usefixtures("few_codes")

RNG = np.random.default_rng(0)


def levels_of(schema: TableSchema) -> tuple[Any, ...]:
    (column,) = schema.columns
    assert isinstance(column, CategoricalCodec)
    return column.levels


def assert_trains(data: Any) -> None:
    """A step of either family, and rows that look like the user's."""
    for model in ("vae", "gan"):
        fake = pf.fit(data, model, budget="1 step", batch_size=64).sample(5, seed=0)
        assert fake.columns == list(data.schema.column_names)


# --- rare categories

WORDS = [f"w{int(i)}" for i in np.minimum(RNG.zipf(1.2, 20_000), 3000)]


def test_rare_values_share_a_cell_that_is_counted() -> None:
    schema, dataset = read_table(pl.DataFrame({"w": WORDS}))
    train = pl.Series(WORDS)[dataset.splits["train"].numpy()]
    counts = np.sort(train.value_counts()["count"].to_numpy())[::-1]
    share, levels = counts[255:].sum() / len(train), len(set(WORDS))
    assert schema.space.sizes == (256,)
    (note,) = dataset.notes
    assert f"'w' has {levels} categories; the {levels - 255} rarer ones ({share:.1%}" in note
    assert "share cells" in note


def test_rare_values_are_kept_apart_on_request() -> None:
    schema, dataset = read_table(pl.DataFrame({"w": WORDS}), rare="keep")
    assert schema.space.sizes == (len(set(WORDS)),)
    assert quantised_rows(dataset)["w"].to_list() == WORDS
    assert dataset.notes == ()


def test_rare_values_are_named_and_none_is_stored() -> None:
    schema, dataset = read_table(pl.DataFrame({"w": WORDS}), rare="name")
    train = pl.Series(WORDS)[dataset.splits["train"].numpy()]
    often = {w for w, n in train.value_counts().iter_rows() if n >= 20}
    kept = set(map(str, levels_of(schema)))
    assert kept - {"(rare)"} <= often
    assert len(kept) == min(255, len(often)) + 1
    stored = json.dumps(schema.to_json())
    assert not any(f'"{word}"' in stored for word in set(WORDS) - kept)
    fake = quantised_rows(dataset)["w"]
    assert fake.to_list() == [w if w in kept else "(rare)" for w in WORDS]
    again = schema_from_json(json.loads(stored))
    assert torch.equal(again.encode(pl.DataFrame({"w": WORDS})), dataset.rows)
    assert again.decode(again.encode(pl.DataFrame({"w": ["never seen"]})))["w"][0] == "(rare)"
    share = float((~train.is_in(kept)).to_numpy().mean())
    assert f"rarer ones ({share:.1%} of the rows)" in dataset.notes[0]
    assert "none is stored" in dataset.notes[0]


def test_rare_values_of_other_columns_become_missing() -> None:
    n = 2000
    frame = pl.DataFrame(
        {
            "flag": [i < 8 for i in range(n)],
            "code": [7 if i % 2 else 1 if i % 100 else i for i in range(n)],
            "level": pl.Series(["a"] * (n - 3) + ["b"] * 3, dtype=pl.Enum(["a", "b"])),
            "common": ["x", "y"] * (n // 2),
        }
    )
    _, dataset = read_table(frame, rare="name", overrides={"code": "categorical"})
    fake = quantised_rows(dataset)
    assert_frame_equal(
        fake,
        frame.with_columns(
            pl.when(~pl.col("flag")).then(pl.col("flag")),
            pl.when(pl.col("code").is_in([1, 7])).then(pl.col("code")),
            pl.when(pl.col("level") == "a").then(pl.col("level")),
        ),
    )
    assert [note.split("'")[1] for note in dataset.notes] == ["flag", "code", "level"]
    assert all("generated as missing" in note for note in dataset.notes)


@pytest.mark.parametrize("kind", ["uuid", "interval", "interval objects", "address", "polars uuid"])
def test_rare_objects_become_missing_and_the_note_says_so(kind: str, tmp_path: Path) -> None:
    """`(rare)` is none of them: the table once said it would be generated, and held no value."""
    make: dict[str, Any] = {
        "uuid": lambda i: uuid.UUID(int=i),
        "polars uuid": lambda i: uuid.UUID(int=i),
        "address": ipaddress.IPv4Address,
    }
    codes = [0, 1] * 500 + [*range(2, 12)]
    values = [make.get(kind, lambda i: pd.Interval(float(i), i + 1.0))(i) for i in codes]
    objects: Any = pd.Series(values, dtype=None if kind == "interval" else object)
    frame: Any = pd.DataFrame({"o": objects, "x": ["a", "b"] * 505})
    if kind == "polars uuid":
        frame = pl.DataFrame({"o": pl.Series(values, dtype=pl.Object), "x": ["a", "b"] * 505})
    dataset = read(frame, rare="name")
    assert [n.split("'")[1] for n in dataset.notes if "generated as missing" in n] == ["o"]
    back = dataset.schema.decode(dataset.rows)
    assert list(back["o"])[:1000] == values[:1000]
    missing = back["o"].is_null() if kind == "polars uuid" else back["o"].isna()
    assert missing.to_list() == [code > 1 for code in codes]
    write(back, tmp_path / "t.csv", schema=dataset.schema)
    assert "rare" not in (tmp_path / "t.csv").read_text()


def test_rare_values_may_be_a_class_of_the_condition() -> None:
    frame = pl.DataFrame({"c": ["x"] * 400 + ["y"] * 400 + ["z"] * 9, "v": np.arange(809) % 7})
    schema, dataset = read_table(frame, condition="c", rare="name")
    assert schema.condition is not None
    assert schema.condition.classes == ("x", "y", "(rare)")
    assert dataset.labels is not None
    assert dataset.labels.bincount().tolist() == [400, 400, 9]


def test_the_command_line_names_rare_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.DataFrame({"w": ["a"] * 300 + ["b"] * 5, "v": range(305)}).write_csv(tmp_path / "t.csv")
    fit = ("fit", str(tmp_path / "t.csv"), "--budget", "2 steps", "--out", str(tmp_path / "run"))
    assert run_command([*fit, "--rare", "nmae"]) == 2
    assert "did you mean 'name'?" in " ".join(capsys.readouterr().err.split())
    assert run_command([*fit, "--rare", "name"]) == 0
    schema = json.loads((tmp_path / "run" / "schema.json").read_text())
    assert schema["columns"][0]["levels"] == ["a", "(rare)"]


# --- strange tables


def test_more_categories_than_rows() -> None:
    """Each column has fewer values than rows; the table has more cells than rows."""
    frame = pl.DataFrame(
        {f"c{j}": [f"{j}-{i * (j + 3) % 40}" for i in range(60)] for j in range(5)}
    )
    schema, dataset = read_table(frame)
    assert sum(schema.space.sizes) > len(frame)
    assert_frame_equal(quantised_rows(dataset), frame)
    assert_trains(dataset)


def test_two_thousand_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pushforward.families.raking.CELLS", 2**18
    )  # a few codes a round are enough
    values = RNG.normal(size=(60, 2000))
    frame = pl.DataFrame(values, schema=[f"v{i}" for i in range(2000)])
    schema, dataset = read_table(frame)
    assert schema.expand(dataset.rows).sum(1).tolist() == [len(schema.space.sizes)] * 60
    assert_frame_equal(schema.decode(dataset.rows), frame)
    fitted = pf.fit(dataset, "vae", budget="1 step", batch_size=16)
    assert fitted.sample(3, seed=0).shape == (3, 2000)


def test_mixed_types_keep_them() -> None:
    mixed = [1, "a", 2.5, None, True] * 12
    _, dataset = read_table(pd.DataFrame({"m": mixed, "v": range(60)}))
    assert any("'m' mixes types" in note for note in dataset.notes)
    assert quantised_rows(dataset)["m"].tolist() == mixed
    strings = pl.DataFrame({"m": mixed}, strict=False)
    assert_frame_equal(quantised_rows(read(strings)), strings)
    objects = pl.DataFrame({"m": pl.Series(mixed, dtype=pl.Object)})
    assert quantised_rows(read(objects))["m"].to_list() == mixed


NAMES = [
    "class",
    "from",
    "def",
    "größe",
    "年齢",
    "имя",
    "naïve 👍🏽",
    "a.b",
    "__init__",
    " ",
    "self",
]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_names_and_values_of_any_script(tmp_path: Path, ending: str) -> None:
    words = ["ß", "東京", "עברית", "e\u0301", "👩‍👩‍👧", "i̇", "a,b", 'q"q']
    frame = pl.DataFrame(
        {name: [words[(i + j) % 8] for i in range(80)] for j, name in enumerate(NAMES)}
    )
    path = tmp_path / f"t.{ending}"
    frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)
    _, dataset = read_table(path, condition="class")
    assert_frame_equal(quantised_rows(dataset), frame)
    assert_trains(dataset)


@pytest.mark.parametrize("name", ["*", "^a.*$", "^$"])
@pytest.mark.parametrize("ending", ["csv", "parquet", "pandas"])
def test_names_that_are_patterns_to_polars_are_refused(
    tmp_path: Path, ending: str, name: str
) -> None:
    frame: Any = pl.DataFrame({name: range(80), "ab": range(80)})
    source: Any = tmp_path / f"t.{ending}"
    if ending == "pandas":
        source = pd.DataFrame({name: range(80), "ab": range(80)})
    else:
        frame.write_csv(source) if ending == "csv" else frame.write_parquet(source)
    with pytest.raises(DataError, match="cannot be called"):
        pf.read(source)


def test_dates_of_all_years() -> None:
    days = [date(1, 1, 1), date(9999, 12, 31), date(2262, 4, 12), date(1677, 1, 1)]
    frame = pl.DataFrame(
        {
            "day": days * 20,
            "stamp": [datetime(d.year, d.month, d.day, 23, 59, 59) for d in days] * 20,
            "moment": [datetime(2000, 1, 1), datetime(2262, 4, 11, 23, 47, 16)] * 40,
        },
        schema_overrides={"moment": pl.Datetime("ns")},
    )
    schema, dataset = read_table(frame)
    assert_frame_equal(schema.decode(dataset.rows), frame)
    assert_frame_equal(quantised_rows(dataset), frame)
    assert dataset.notes == ()


def test_dates_that_nanoseconds_cannot_hold_come_from_pandas() -> None:
    days = [date(1, 1, 1), date(9999, 12, 31), date(2500, 6, 1)] * 20
    frame = pd.DataFrame({"day": np.array(days, dtype="M8[s]"), "object": days})
    _, dataset = read_table(frame)
    back = quantised_rows(dataset)
    assert back["object"].tolist() == days
    pd.testing.assert_series_equal(back["day"], frame["day"])


def test_a_date_that_does_not_exist_leaves_its_column_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("t\n" + "2024-02-28\n" * 30 + "2024-02-30\n")
    assert quantised_rows(read(path))["t"].to_list() == ["2024-02-28"] * 30 + ["2024-02-30"]


def test_integers_beyond_two_to_the_53rd_keep_sixteen_digits() -> None:
    """Exact where the span allows it (see `test_data_tables`); else as near as float64 is."""
    amounts = (10 ** RNG.uniform(0, 18.9, 400)).astype(np.int64)
    frame = pl.DataFrame({"wei": [2**63 - 1, -(2**63), 2**53 + 1, *amounts.tolist()]})
    schema, dataset = read_table(frame)
    back = schema.decode(dataset.rows)
    assert back.schema == frame.schema
    off = np.abs(back["wei"].to_numpy().astype(object) - frame["wei"].to_numpy().astype(object))
    assert (off <= np.abs(frame["wei"].to_numpy().astype(float)) * 2**-52).all()
    small = np.abs(frame["wei"].to_numpy().astype(float)) < 2**53
    assert (off[small] == 0).all()
    (note,) = dataset.notes
    assert "more than 2^53: its integers keep 16 digits" in note
    fake = quantised_rows(dataset)["wei"]
    assert fake.dtype == pl.Int64
    assert fake.min() >= frame["wei"].min()
    unsigned = pl.DataFrame({"v": pl.Series([2**64 - 1, 0] * 30, dtype=pl.UInt64)})
    assert read(unsigned).raw("test")["v"].max() == 2**64 - 2048


def test_long_integers_may_be_names() -> None:
    ids = RNG.integers(0, 2**63 - 1, 2000).tolist()
    frame = pl.DataFrame({"id": ids, "v": np.arange(2000) % 5})
    assert any("'id' holds identifiers" in note for note in read(frame).notes)
    other = read(frame.rename({"id": "serial"}))
    assert any("override it as identifier" in note for note in other.notes)
    schema, dataset = read_table(frame, overrides={"id": "identifier"})
    fresh = schema.decode(dataset.rows, generator=torch.Generator().manual_seed(0))["id"]
    assert fresh.dtype == pl.Int64
    assert fresh.n_unique() == 2000
    assert not set(fresh.to_list()) & set(ids)


@pytest.mark.parametrize(
    ("name", "is_key"),
    [
        *((name, True) for name in ("index", "Index", "row", "row_id", "row number", "RowNumber")),
        *((name, True) for name in ("index_1", "row_index", "Unnamed: 0", "CustomerKey", "key")),
        *((name, False) for name in ("price_index", "body mass index", "row_total", "key_rate")),
        *((name, False) for name in ("row count", "IndexPrice", "refractive index")),
    ],
)
def test_integers_that_all_differ_are_keys_if_their_name_says_so(name: str, is_key: bool) -> None:
    values = np.random.default_rng(0).permutation(300) * 7
    schema, _ = read_table(pl.DataFrame({name: values, "v": np.arange(300) % 5}))
    assert [key.name for key in schema.identifiers] == [name] * is_key


PERIODS = ["{}Q{}", "{}-Q{}", "Q{1} {0}", "{}M0{}", "{}-W1{}", "{}H{}"]


@pytest.mark.parametrize("form", PERIODS)
def test_periods_are_no_keys_for_their_shape(form: str) -> None:
    parts = 2 if "H" in form else 4
    texts = [form.format(1900 + i // parts, i % parts + 1) for i in range(200)]
    frame = pl.DataFrame({"period": texts, "v": np.arange(200) % 5})
    (note,) = (note for note in read(frame).notes if "period" in note)
    assert note.startswith("check: ")
    assert "1974-01-01" in note
    (note,) = (note for note in read(frame.rename({"period": "code"})).notes if "code" in note)
    assert not note.startswith("check: ")


def ages(n: int, *words: str) -> list[str]:
    numbers = np.random.default_rng(0).integers(18, 90, 400).astype(str).tolist()
    return [
        words[i // 7 % len(words)] if i % 7 == 0 and i < 7 * n else v for i, v in enumerate(numbers)
    ]


@pytest.mark.parametrize("words", [("unknown",), ("nil", "<1"), ("not asked", "> 89", "n.d.")])
def test_numbers_with_a_few_words_are_said(words: tuple[str, ...]) -> None:
    frame = pl.DataFrame({"age": ages(9, *words), "v": np.arange(400) % 5})
    (note,) = (note for note in read(frame).notes if "'age'" in note)
    assert note.startswith("check: ")
    assert all(repr(word) in note for word in words)
    named = [note for note in read(frame, rare="name").notes if note.startswith("check: ")]
    assert not any(repr(word) in note for word in words for note in named)
    for stated in ({"age": "categorical"}, {"age": "identifier"}):
        notes = read(frame, overrides=stated).notes
        assert not any(note.startswith("check: ") for note in notes)
    cured = frame.with_columns(pl.col("age").replace(dict.fromkeys(words)))
    assert "numeric" in {column.kind for column in read_table(cured)[0].columns}
    assert not any(note.startswith("check: ") for note in read(cured).notes)


def test_numbers_that_all_differ_with_a_few_words_are_said() -> None:
    values = [f"{v:.6f}" for v in RNG.normal(size=2000)]
    values[5] = values[500] = values[1999] = "nil"
    (note,) = (
        note
        for note in read(pl.DataFrame({"x": values, "v": [1, 2] * 1000})).notes
        if "'x'" in note
    )
    assert note.startswith("check: ")
    assert "numbers" in note


@pytest.mark.parametrize(
    "values",
    [
        ages(50, "unknown"),  # too many
        [f"{i:03d}" for i in range(40)] * 10,  # names
        ["low", "high"] * 200,
        [str(i % 40) if i % 20 else f"word {i}" for i in range(400)],  # too many different ones
    ],
    ids=["many", "names", "words", "different"],
)
def test_text_that_is_not_about_numbers_is_not_said(values: list[str]) -> None:
    notes = read(pl.DataFrame({"c": values, "v": np.arange(400) % 5})).notes
    assert not any("numbers" in note for note in notes)


@pytest.mark.parametrize(
    ("dtype", "ids", "low", "high"),
    [
        (pl.Int64(), range(-1199, -999), -1999, -1000),
        (pl.Int64(), range(-500, 500), -999, 999),
        (pl.Int8(), range(-100, 0), -127, -1),
        (pl.Int64(), range(-(2**63), -(2**63) + 200), -(2**63) + 1, -(10**18)),
        (pl.UInt64(), range(2**64 - 200, 2**64), 10**19, 2**64 - 1),
    ],
)
def test_whole_numbers_may_be_names(dtype: pl.DataType, ids: range, low: int, high: int) -> None:
    """Signs as often as in the data: within 4 standard errors of the 100 rows drawn."""
    frame = pl.DataFrame({"id": pl.Series([*ids], dtype=dtype), "v": np.arange(len(ids)) % 5})
    schema, dataset = read_table(frame, overrides={"id": "identifier"})
    schema = TableSchema.from_json(json.loads(json.dumps(schema.to_json())))
    fresh = schema.decode(dataset.rows[:100], generator=torch.Generator().manual_seed(0))["id"]
    assert (fresh.dtype, fresh.n_unique()) == (dtype, 100)
    assert fresh.min() >= low
    assert fresh.max() <= high
    share = np.mean([i < 0 for i in ids])
    assert abs((fresh < 0).mean() - share) <= 4 * np.sqrt(share * (1 - share) / 100)


@pytest.mark.parametrize("rows", [30, 300])  # of 100 and more relations are looked for
def test_columns_that_no_table_holds_are_refused(rows: int) -> None:
    wide = pl.Series("n", [10**25 + i for i in range(rows)], dtype=pl.Int128)
    with pytest.raises(DataError, match="at most 64 bits, got Int128; cast it to Int64"):
        read(pl.DataFrame([wide, pl.Series("v", range(rows))]))
    for dtype in (pl.List(pl.Int64), pl.Array(pl.Int64, 2)):
        pairs = pl.Series("n", [[1, 2]] * rows, dtype=dtype)
        with pytest.raises(DataError, match=r"must hold numbers, text, .* got (List|Array)"):
            read(pl.DataFrame([pairs, pl.Series("v", range(rows))]))


def test_a_column_without_a_name_is_no_part_of_a_relation(tmp_path: Path) -> None:
    """As `to_csv` of pandas writes an index, which numbers the rows: `b` follows from it."""
    n = np.arange(300)
    pd.DataFrame({"a": n % 7, "b": 3 * n}).to_csv(tmp_path / "f.csv")
    assert read(tmp_path / "f.csv").raw("train").columns == ["", "a", "b"]


@pytest.mark.parametrize("dtype", ["str", "string", "string[python]"])
def test_text_of_pandas_may_begin_with_a_missing_value(dtype: str) -> None:
    texts = pd.Series([None, "a", "b"] * 20, dtype=dtype)
    data = read(pd.DataFrame({"s": texts, "v": range(60)}))
    back = data.raw("train")
    assert back["s"].dtype == texts.dtype
    assert back["s"].isna().sum() == (back["v"] % 3 == 0).sum() > 0


def test_rare_values_are_counted_beside_a_category_of_that_name() -> None:
    words = ["(rare)"] * 300 + ["x"] * 300 + ["y"] * 5
    dataset = read(pl.DataFrame({"w": words}), rare="name")
    share = np.mean(np.array(words)[dataset.splits["train"].numpy()] != "x")
    assert f"the 2 rarer ones ({share:.1%} of the rows)" in dataset.notes[0]


@pytest.mark.parametrize(
    "values", [[0.0] * 18 + [2e-311], [0.0] * 10 + [1.0] * 17 + [5e-324], [5e-324, -1e-320] * 20]
)
def test_numbers_with_hardly_any_bits_are_kept(values: list[float]) -> None:
    frame = pl.DataFrame({"v": values})
    schema, dataset = read_table(frame)
    assert_frame_equal(schema.decode(dataset.rows), frame, check_exact=True)
    assert set(quantised_rows(dataset)["v"].round(9).to_list()) <= {0.0, 1.0}


@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_a_few_rows_are_too_few(n: int) -> None:
    with pytest.raises(DataError, match=f"at least 10 rows .*, got {n}"):
        read(pl.DataFrame({"v": list(range(n)), "c": ["x"] * n}))


# --- numbers that no training row comes near


def priced() -> pl.DataFrame:
    """Prices that end in .50, .95 or .99, and office hours of 300 days; both with gaps."""
    rng, n = np.random.default_rng(0), 2000
    hours = rng.integers(0, 300, n) * 24 + rng.integers(8, 17, n)
    prices = np.round(rng.integers(12, 134, n) + rng.choice([0.99, 0.95, 0.5], n), 2)
    return pl.DataFrame(
        {
            "price": pl.Series(prices).set(pl.Series(np.arange(n) % 9 == 0), None),
            "at": [datetime(2024, 1, 1) + timedelta(hours=int(h)) for h in hours],
        }
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"price": [20.5, 158.99]}, ["'price', row 2: 158.99 is out", "12.5 to 133.99;"]),
        ({"price": [None, 20.07]}, ["'price', row 2: 20.07 is out", "20.5 to 20.99;"]),
        (
            {"at": [datetime(2024, 1, 1, 9), datetime(2031, 1, 1, 9)]},
            ["'at', row 2: 2031-01-01 09:00:00 is out"],
        ),
        (
            {"at": [datetime(2024, 1, 2, 9), datetime(2024, 1, 2, 23)]},
            ["'at', row 2: 2024-01-02 23:00:00", "2024-01-02 08:00:00 to 2024-01-02 16:00:00"],
        ),
    ],
    ids=["whole", "ending", "day", "hour"],
)
def test_a_value_out_of_range_is_told_as_the_user_wrote_it(
    values: dict[str, list[Any]], words: list[str]
) -> None:
    frame = priced()
    schema, _ = read_table(frame)
    assert len(schema.constraint_set.parts) == 2
    wrong = frame.slice(1, 2).with_columns(**{k: pl.Series(v) for k, v in values.items()})
    with pytest.raises(DataError) as caught:
        refuse_out_of_range(schema, schema.encode(wrong))
    assert all(word in str(caught.value) for word in words)
    assert "--clip" in str(caught.value)
    refuse_out_of_range(schema, schema.encode(frame.head(0)))
