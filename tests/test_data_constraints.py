"""Constraints: exact round trips, satisfied by all generated rows, refused when impossible."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import pushforward as pf
from pushforward.cli.main import run_command
from pushforward.data import TableSchema, schema_from_json
from pushforward.data.tables.constraints import (
    Bounds,
    Combination,
    Constraint,
    ConstraintSet,
    Derived,
    Inequality,
    parse,
)
from pushforward.data.tables.where import observed_values
from pushforward.errors import DataError

pytestmark = pytest.mark.usefixtures("few_codes")

GENTLE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROWS = 400


def fit_constraints(frame: pl.DataFrame, texts: Any, **keywords: Any) -> ConstraintSet:
    return ConstraintSet.fit(frame, np.arange(len(frame)), parse(texts), **keywords)


def uniform_rows(dataset: Any, seed: int = 0, n: int = 1000) -> pl.DataFrame:
    """Rows with independent, uniform cells: what the worst of models would generate."""
    schema = dataset.schema
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand((n, *schema.space.shape), generator=generator)
    labels = None
    if schema.condition is not None:
        labels = torch.randint(len(schema.condition.classes), (n,), generator=generator)
    frame = schema.decode(schema.quantise(x, generator), labels, generator)
    assert isinstance(frame, pl.DataFrame)
    return frame


def orders(n: int = ROWS, seed: int = 0) -> pl.DataFrame:
    """A shop's orders: every kind of constraint, missing values where they may be."""
    rng = np.random.default_rng(seed)
    place = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    start = date(2024, 1, 1)
    ordered = [start + timedelta(days=int(d)) for d in rng.integers(0, 300, n)]
    waits = rng.exponential(5, n).astype(int)
    price, quantity = np.round(rng.lognormal(2, 1, n) + 0.01, 2), rng.integers(1, 9, n)
    sent = [d + timedelta(days=int(w)) for d, w in zip(ordered, waits, strict=True)]
    gone = rng.random(n) < 0.2
    return pl.DataFrame(
        {
            "sent": [None if g else s for g, s in zip(gone, sent, strict=True)],
            "total": np.round(price * quantity, 2),
            "city": np.array(["Oslo", "Bergen", "Malmö"])[place],
            "quantity": quantity,
            "ordered": ordered,
            "price": price,
            "country": np.array(["NO", "NO", "SE"])[place],
            "age": rng.integers(18, 90, n),
        }
    )


ORDERS = [
    "ordered <= sent",
    "18 <= age <= 120",
    "price > 0",
    "combine(city, country)",
    "total = price * quantity",
]


# --- the language

EQUIVALENT: dict[str, list[Constraint]] = {
    "0 <= age <= 120": [Bounds("age", 0, 120)],
    "120 > age >= 0": [Bounds("age", 0, 120, high_open=True)],
    "price > 0": [Bounds("price", low=0, low_open=True)],
    "-1.5 <= x": [Bounds("x", low=-1.5)],
    "born >= 1900-01-31": [Bounds("born", low=date(1900, 1, 31))],
    "at < 2024-05-06 07:08": [Bounds("at", high=datetime(2024, 5, 6, 7, 8), high_open=True)],
    "start<=end": [Inequality("start", "end")],
    "high > low": [Inequality("low", "high", strict=True)],
    "a <= b < c": [Inequality("a", "b"), Inequality("b", "c", strict=True)],
    "0 <= a <= b": [Bounds("a", low=0), Inequality("a", "b")],
    "combine(city, `post code`, class)": [Combination("city", "post code", "class")],
    "total = price*quantity": [Derived("total", "price * quantity")],
    "total == (price - `a=b`) / 2": [Derived("total", "(price - `a=b`) / 2")],
    '`hours-per-week` <= "a `b`"': [Inequality("hours-per-week", "a `b`")],
    "größe <= 2": [Bounds("größe", high=2)],
    "combine <= 3": [Bounds("combine", high=3)],
}


@pytest.mark.parametrize("text", EQUIVALENT)
def test_the_language_and_the_classes_say_the_same(text: str) -> None:
    assert parse(text) == EQUIVALENT[text]
    assert parse([str(constraint) for constraint in EQUIVALENT[text]]) == EQUIVALENT[text]


@pytest.mark.parametrize(
    "text",
    [
        *("", "age", "a <= ", "3 < 5", "a < b > c", "a != b", "a + b <= c", "a = b = c"),
        *("__import__('os').system('ls')", "a = open('x')", "a = b ** 2", "a = b[0]", "a = b.real"),
        *(
            "a = lambda: 1",
            "a = 2b",
            "a = 0x1F",
            "a = 1j",
            "combine(a)",
            "combine(a, a)",
            "f(a, b)",
        ),
        *(
            "a = a + 1",
            "a <= 2024-13-01",
            "a <= 1e999",
            "a <= True <= 2",
            "a = -" + "-" * 600 + "b",
        ),
        *("combine(a, b=c)", "a in b", "a = b if c else d", "a = (b := c)", "a = [b]", "a\nb"),
    ],
)
def test_what_is_not_of_the_language_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        fit_constraints(pl.DataFrame({name: [1.0] for name in "abcd"}), text)


@GENTLE
@given(st.text(alphabet="ab<=>+-*/(),`'\". 019\n", max_size=40))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        texts = parse(text)
    except DataError:
        return
    assert parse([str(constraint) for constraint in texts]) == texts


def test_constraints_that_say_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="low or a high"):
        Bounds("age")
    with pytest.raises(DataError, match="finite"):
        Bounds("age", low=float("nan"))
    with pytest.raises(DataError, match="must be text or an object, got int"):
        parse(3)  # type: ignore[arg-type]


# --- round trips

LOWER: dict[str, tuple[pl.DataType, pl.DataType, st.SearchStrategy[Any], st.SearchStrategy[Any]]]
DAYS = st.integers(0, 5000).map(lambda d: timedelta(days=d))
MINUTES = st.integers(0, 10**6).map(lambda m: timedelta(minutes=m))
LOWER = {
    "integers": (pl.Int64(), pl.Int16(), st.integers(-99, 99), st.integers(0, 99)),
    "huge": (pl.Int64(), pl.Int64(), st.integers(2**60, 2**60 + 99), st.integers(0, 99)),
    "unsigned": (pl.UInt8(), pl.UInt8(), st.integers(0, 100), st.integers(0, 155)),
    "cents": (
        *(pl.Float64(), pl.Float64()),
        *(st.integers(-999, 999).map(lambda i: i / 100), st.integers(0, 999).map(lambda i: i / 10)),
    ),
    "single": (
        *(pl.Float32(), pl.Float32()),
        *(st.integers(-999, 999).map(lambda i: i / 8), st.integers(0, 999).map(lambda i: i / 4)),
    ),
    "decimal": (
        *(pl.Decimal(12, 3), pl.Decimal(12, 3)),
        *(st.integers(-999, 999).map(lambda i: Decimal(i) / 1000), st.just(Decimal("0.125"))),
    ),
    "dates": (pl.Date(), pl.Date(), st.dates(date(1900, 1, 1), date(2200, 1, 1)), DAYS),
    "times": (
        *(pl.Datetime("us"), pl.Datetime("ms")),
        *(
            st.integers(0, 10**6).map(lambda m: datetime(1990, 1, 1) + timedelta(minutes=m)),
            MINUTES,
        ),
    ),
    "lapses": (pl.Duration("us"), pl.Duration("ms"), MINUTES, MINUTES),
}


@st.composite
def ordered(draw: st.DrawFn) -> pl.DataFrame:
    """Columns a <= b <= c and a <= d, each with missing values in any pattern."""
    dtype, upper, values, gaps = LOWER[draw(st.sampled_from(sorted(LOWER)))]
    rows = []
    for _ in range(draw(st.integers(10, 25))):
        a = draw(values)
        b = a + draw(gaps)
        c, d = b, a + draw(gaps)
        if isinstance(a, float):  # 0.07 + 0.1 is no decimal number, and then no line has a grid
            b, c, d = round(b, 3), round(c, 3), round(d, 3)
        here = draw(st.lists(st.booleans(), min_size=4, max_size=4))
        rows.append([x if there else None for x, there in zip((a, b, c, d), here, strict=True)])
    schema = {"a": dtype, "b": upper, "c": upper, "d": upper}
    return pl.DataFrame(rows, schema=schema, orient="row", strict=False)


CHAINS = [["a <= b <= c", "a <= d"], ["a <= c", "b <= c", "a <= b"], ["a <= d", "b <= c"]]


NOTHING = pl.Series([None] * 10, dtype=pl.Int64)
HUGE_ALONE = pl.DataFrame(dict.fromkeys("abc", NOTHING) | {"d": [None] * 9 + [2**60]})


@GENTLE
@example(HUGE_ALONE, ["a <= b <= c", "a <= d"], 0)
@given(ordered(), st.sampled_from(CHAINS), st.integers(0, 9))
def test_inequalities_come_back_exactly_and_are_always_kept(
    frame: pl.DataFrame, texts: list[str], seed: int
) -> None:
    constraint_set = fit_constraints(frame, texts)
    modelled = constraint_set.transform(frame)
    gaps = modelled.select(pl.selectors.contains(" - "))
    assert gaps.width == len({s.columns[1] for s in parse(texts)})
    assert all((gaps[name].drop_nulls() >= 0).all() for name in gaps.columns)
    assert_frame_equal(
        constraint_set.inverse_transform(modelled).select(frame.columns), frame, check_exact=True
    )
    restored = ConstraintSet.from_json(
        json.loads(json.dumps(constraint_set.to_json(), allow_nan=False))
    )
    assert restored.to_json() == constraint_set.to_json()
    assert_frame_equal(
        restored.inverse_transform(restored.transform(frame)).select(frame.columns), frame
    )
    dataset = pf.read(frame, constraints=texts)
    assert_frame_equal(dataset.schema.decode(dataset.rows), frame, check_exact=True)
    fake = uniform_rows(dataset, seed, n=200)  # `decode` raises where a constraint is broken
    assert fake.schema == frame.schema
    for low, high in (s.columns for s in parse(texts)):
        pair = fake.filter(pl.col(low).is_not_null() & pl.col(high).is_not_null())
        assert (pair[low] <= pair[high]).all()


@GENTLE
@given(
    st.lists(
        st.tuples(st.none() | st.floats(-1e6, 1e6), st.none() | st.floats(0, 1e6)),
        min_size=10,
        max_size=25,
    )
)
def test_numbers_of_full_precision_come_back_to_their_last_digits(rows: Any) -> None:
    low = [None if a is None else a + 1 / 3 for a, _ in rows]
    high = [None if g is None else (0.1 if a is None else a + 1 / 3) + g for a, g in rows]
    frame = pl.DataFrame({"a": low, "b": high}, schema={"a": pl.Float64, "b": pl.Float64})
    constraint_set = fit_constraints(frame, "a <= b")
    restored = constraint_set.inverse_transform(constraint_set.transform(frame)).select("a", "b")
    # a + (b - a) is off by the rounding of the difference and of the sum: two halves of an ulp of
    # numbers up to 2^22 (the fill value is one of them)
    assert_frame_equal(restored, frame, abs_tol=2.0**-30, rel_tol=0)
    assert constraint_set.holds(restored).all()


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (pl.Series("a", [1, 2, 3]), pl.Series("b", [1.5, 2.25, 4.0]), "a < b"),
        (pl.Series("a", [0.5, 1.25, 2.0]), pl.Series("b", [1, 2, 5]), "a < b"),
        (
            pl.Series("a", [date(2024, 1, d) for d in (1, 2, 3)]),
            pl.Series("b", [datetime(2024, 1, d, 12, 30) for d in (1, 5, 3)]),
            "a <= b",
        ),
        (pl.Series("a", [0.1, 0.2, 1 / 3]), pl.Series("b", [1, 2, 5]), "a < b"),
        (pl.Series("a", [0.1, 0.5, 0.7], pl.Float32), pl.Series("b", [1 / 3, 2 / 3, 5]), "a < b"),
        (pl.Series("a", [1 / 3, 2 / 3, 0.7]), pl.Series("b", [0.5, 1, 2], pl.Float32), "a < b"),
    ],
)
def test_columns_of_different_resolution_can_be_compared(
    low: pl.Series, high: pl.Series, texts: str
) -> None:
    frame = pl.DataFrame([low, high])
    frame = pl.concat([frame] * 5)
    constraint_set = fit_constraints(frame, texts)
    assert_frame_equal(
        constraint_set.inverse_transform(constraint_set.transform(frame)).select("a", "b"), frame
    )
    fake = uniform_rows(pf.read(frame, constraints=texts))
    assert (fake["a"] < fake["b"]).all() if "<=" not in texts else (fake["a"] <= fake["b"]).all()


def test_strict_inequalities_never_meet() -> None:
    frame = pl.DataFrame({"a": [1, 2, 3] * 9, "b": [2, 3, 9] * 9, "c": [9, 9, 10] * 9})
    fake = uniform_rows(pf.read(frame, constraints="a < b < c"))
    assert ((fake["a"] < fake["b"]) & (fake["b"] < fake["c"])).all()
    assert fake["c"].max() == 10  # no column leaves its range


def test_bounds_of_one_column_hold_for_those_below_where_both_are_there() -> None:
    a = [50, 500, None, 10] * 5
    frame = pl.DataFrame({"a": a, "b": [60, None, 30, 90] * 5})
    dataset = pf.read(frame, constraints=["a <= b", "b <= 100"])
    assert_frame_equal(dataset.schema.decode(dataset.rows), frame)
    fake = uniform_rows(dataset)
    assert fake.filter(pl.col("b").is_null())["a"].max() == 500
    assert fake.filter(pl.col("b").is_not_null())["a"].max() <= 100  # type: ignore[operator]
    assert fake["b"].max() <= 100  # type: ignore[operator]


def test_missing_values_keep_their_rate_and_their_pattern() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    a = rng.integers(0, 100, n)
    frame = pl.DataFrame({"a": a, "b": a + rng.integers(0, 50, n)}).with_columns(
        a=pl.when(pl.Series(rng.random(n) < 0.3)).then(None).otherwise(pl.col("a")),
        b=pl.when(pl.Series(rng.random(n) < 0.4)).then(None).otherwise(pl.col("b")),
    )
    dataset = pf.read(frame, constraints="a <= b")
    schema = dataset.schema
    hard = schema.quantise(schema.expand(dataset.rows), torch.Generator().manual_seed(0))
    restored = schema.decode(hard)
    # the cells of each row say which of both are missing, exactly
    assert_frame_equal(restored.select(pl.all().is_null()), frame.select(pl.all().is_null()))
    assert (restored.drop_nulls()["a"] <= restored.drop_nulls()["b"]).all()


# --- combinations


def test_only_combinations_of_training_rows_are_generated_and_all_come_back() -> None:
    rng = np.random.default_rng(0)
    code = rng.integers(0, 140, 300)
    frame = pl.DataFrame(
        {
            "x": rng.normal(size=300),
            "city": pl.Series([f"c{i % 20}" for i in code], dtype=pl.Categorical()),
            "zip": [None if i % 7 == 0 else int(i) for i in code],
            "since": [date(2000, 1, 1) + timedelta(days=int(i) // 2) for i in code],
            "rate": code / 4,
        }
    )
    dataset = pf.read(frame, constraints="combine(city, zip, since, rate)")
    assert_frame_equal(dataset.schema.decode(dataset.rows), frame)
    assert any("combinations of city, zip" in note for note in dataset.notes)
    train = frame[dataset.splits["train"].tolist()]
    members = ["city", "zip", "since", "rate"]
    seen = set(train.select(members).rows())
    assert seen < set(frame.select(members).rows())  # some are in the other parts alone
    assert set(uniform_rows(dataset, n=5000).select(members).rows()) == seen


def test_thousands_of_combinations_go_the_way_of_rare_categories() -> None:
    n = 3000
    frame = pl.DataFrame(
        {"a": np.arange(n) % 1300, "b": np.arange(n) % 1300 * 2, "c": [0, 1] * 1500}
    )
    dataset = pf.read(frame, constraints=Combination("a", "b"))
    assert isinstance(dataset.schema, TableSchema)
    assert max(dataset.schema.space.sizes) == 256
    fake = uniform_rows(dataset)
    assert (fake["b"] == 2 * fake["a"]).all()
    assert_frame_equal(dataset.schema.decode(dataset.rows), frame)


def test_a_combination_that_was_never_seen_is_refused() -> None:
    schema = pf.read(orders(), constraints=ORDERS).schema
    strange = orders().with_columns(country=pl.lit("SE"))
    with pytest.raises(DataError, match=r"combine\(city, country\)' does not hold in \d+ of 400"):
        schema.encode(strange)


# --- derived columns


def test_derived_columns_are_computed_with_their_decimals_and_dtypes() -> None:
    rng = np.random.default_rng(0)
    price, n = np.round(rng.random(200) * 99, 2), rng.integers(0, 5, 200)
    frame = pl.DataFrame(
        {
            "tax": np.round(price * n * 0.19, 2),
            "price": price,
            "n": pl.Series(n, dtype=pl.Int16),
            "share": [None if k == 0 else 1 / k for k in n.tolist()],
            "net": pl.Series(price * n + np.round(price * n * 0.19, 2), dtype=pl.Float32),
            "twice": pl.Series(n * 2 - 1, dtype=pl.Int8),
        }
    )
    texts = ["tax = price * n * 0.19", "share = 1 / n", "net = price * n + tax", "twice = 2*n - 1"]
    dataset = pf.read(frame, constraints=texts)
    assert [column.name for column in dataset.schema.columns] == ["price", "n"]  # type: ignore[attr-defined]
    assert_frame_equal(dataset.schema.decode(dataset.rows), frame)
    fake = uniform_rows(dataset)
    assert fake.schema == frame.schema
    exact = (fake["price"] * fake["n"] * 0.19).to_numpy()
    assert np.abs(fake["tax"].to_numpy() - exact).max() <= 0.005 + 1e-9
    assert fake["share"].is_null().equals(fake["n"] == 0)


def test_a_derived_column_may_be_missing_by_itself() -> None:
    frame = orders().with_columns(
        total=pl.when(pl.Series(np.arange(ROWS) % 5 == 0)).then(None).otherwise(pl.col("total"))
    )
    dataset = pf.read(frame, constraints="total = price * quantity")
    assert_frame_equal(dataset.schema.decode(dataset.rows), frame)
    fake = uniform_rows(dataset)
    # a truth value drawn from two cells: 1000 rows, 5 standard errors of 0.016
    assert fake["total"].null_count() / len(fake) == pytest.approx(0.5, abs=0.08)


def test_derived_columns_can_be_compared() -> None:
    frame = orders().with_columns(
        paid=(pl.col("total") * 0.5).round(2), limit=pl.col("total") + 100.0
    )
    texts = ["total = price * quantity", "paid <= total <= limit"]
    dataset = pf.read(frame, constraints=texts)
    assert_frame_equal(dataset.schema.decode(dataset.rows), frame)
    fake = uniform_rows(dataset)
    assert ((fake["paid"] <= fake["total"]) & (fake["total"] <= fake["limit"])).all()


def test_a_derived_value_that_its_dtype_cannot_hold_is_refused() -> None:
    frame = pl.DataFrame({"a": np.arange(50) % 10 + 100, "b": np.arange(50) % 10})
    frame = frame.with_columns(c=(pl.col("a") - pl.col("b") - 95).cast(pl.UInt8))
    odd = frame.with_columns(a=pl.lit(0))
    constraint_set = fit_constraints(frame, "c = a - b - 95")
    with pytest.raises(DataError, match="UInt8 cannot hold"):
        constraint_set.inverse_transform(odd.drop("c"))


# --- refusals

BROKEN = {
    "age <= 80": r"'age <= 80' does not hold in \d+ of 400 rows, the first is row \d+ \(age = 8\d",
    "age < quantity": "does not hold in 400 of 400 rows, the first is row 1",
    "total = price + quantity": "does not hold in",
    "quantity == 3": r"'quantity = 3' does not hold in \d+ of 400",
    "agee <= 3": "names a column 'agee' that the table lacks; did you mean 'age'",
    "city <= country": "must hold numbers or times",
    "ordered <= age": "cannot be compared",
    "ordered <= 3": "must be a date or date-time, got 3",
    "age >= 2024-01-01": r"must be a number, got datetime.date",
    "total = city * 2": "'city' must hold numbers",
}


@pytest.mark.parametrize("texts", BROKEN)
def test_what_does_not_hold_is_refused_with_the_first_row(texts: str) -> None:
    with pytest.raises(DataError, match=BROKEN[texts]):
        pf.read(orders(), constraints=texts)


CONTRADICTIONS = {
    ("a <= b", "b <= a"): "form a circle, leave one out: a <= b; b <= a",
    ("a <= b <= c <= a",): "circle",
    ("a = b + 1", "b = a - 1"): "circle",
    ("a = b + 1", "a = c + 1"): "can be in only one of",
    ("combine(a, b)", "combine(b, c)"): "can be in only one of",
    ("combine(a, b)", "a = c + 1"): "can be in only one of",
    ("a >= 3", "a < 3"): "leave no value for 'a': a >= 3; a < 3",
    ("a = b + 1", "a >= 0"): "bound the columns that it is derived from",
    ("a = b + 1", "a <= c", "c <= 9"): "bounds 'a', which is derived",
    ("a = b + 1", "combine(c, d)", "a <= c"): "both columns are determined",
}


@pytest.mark.parametrize("texts", CONTRADICTIONS)
def test_constraints_that_cannot_hold_together_are_refused(texts: tuple[str, ...]) -> None:
    frame = pl.DataFrame({name: [1.0, 2.0] * 9 for name in "abcd"})
    with pytest.raises(DataError, match=CONTRADICTIONS[texts]):
        fit_constraints(frame, texts)


def test_identifiers_the_condition_and_arrays_are_refused() -> None:
    frame = orders().with_columns(name=pl.Series([f"n{i}" for i in range(ROWS)]))
    with pytest.raises(DataError, match="holds identifiers"):
        pf.read(frame, constraints="combine(name, city)")
    with pytest.raises(DataError, match="is the condition"):
        pf.read(frame, constraints=ORDERS, condition="city")
    with pytest.raises(DataError, match="these data are an array"):
        pf.read(np.zeros((20, 2)), constraints="a <= b")
    with pytest.raises(DataError, match=r"lacks the column.*'age' of the constraint"):
        pf.read(orders(), constraints=ORDERS).schema.encode(orders().drop("age"))


def test_a_generated_row_that_violates_a_constraint_is_a_bug() -> None:
    constraint_set = fit_constraints(orders(), ORDERS)
    with pytest.raises(RuntimeError, match="a bug: '18 <= age <= 120'"):
        constraint_set.verify(orders().with_columns(age=pl.lit(3)))


@pytest.mark.parametrize("condition", ["low", "high"])
def test_the_condition_may_be_compared(condition: str) -> None:
    low = np.arange(60) % 3
    frame = pl.DataFrame({"low": low, "high": low + np.arange(60) % 4, "x": np.arange(60) / 7})
    dataset = pf.read(frame, constraints=["low <= high", "low >= 0"], condition=condition)
    assert_frame_equal(dataset.schema.decode(dataset.rows, dataset.labels), frame)
    fake = uniform_rows(dataset)
    assert (fake["low"] <= fake["high"]).all()
    assert set(fake[condition]) == set(frame[condition])


# --- end to end


def test_a_model_keeps_all_constraints_and_so_does_it_when_loaded(tmp_path: Path) -> None:
    frame = orders(2000)
    dataset = pf.read(frame, constraints=ORDERS)
    for part, rows in dataset.splits.items():
        assert_frame_equal(dataset.raw(part), frame[rows.tolist()])
    fitted = pf.fit(dataset, "vae", budget="50 steps", seed=0)
    fake = fitted.sample(2000, seed=1)
    assert fake.schema == frame.schema
    sent = fake.filter(pl.col("sent").is_not_null())
    assert (sent["ordered"] <= sent["sent"]).all()
    assert fake["age"].is_between(18, 120).all()
    assert (fake["price"] > 0).all()
    assert set(fake.select("city", "country").rows()) <= set(frame.select("city", "country").rows())
    cents = np.round(fake["price"].to_numpy() * fake["quantity"].to_numpy() * 100) / 100
    assert np.array_equal(fake["total"].to_numpy(), cents)
    fitted.save(tmp_path / "run")
    assert_frame_equal(pf.load(tmp_path / "run").sample(2000, seed=1), fake)


SMALL: dict[str, Any] = {"measures": ["column_shapes"], "width": 16, "latent": 4}


def test_a_comparison_reports_the_columns_of_the_user(tmp_path: Path) -> None:
    dataset = pf.read(orders(), constraints=ORDERS)
    result = pf.compare(dataset, ["vae"], seeds=1, budget="5 steps", out=tmp_path, **SMALL)
    page = result.report().read_text()
    assert "ordered" in page
    assert page.count("sent - ordered") == 1  # where a code is shown to move what is modelled
    assert "constraints=" in page


def test_pandas_and_csv_come_back_as_they_were(tmp_path: Path) -> None:
    stamps = pd.to_datetime(pd.Series(["2024-01-01", "2024-03-01", None, "2024-02-02"] * 20))
    frame = pd.DataFrame({"start": stamps, "end": stamps + pd.Timedelta("3D"), "x": np.arange(80)})
    frame["kind"] = pd.Categorical(["a", "b"] * 40)
    frame["group"] = (np.arange(80) % 2).astype(np.uint8)
    dataset = pf.read(frame, constraints=["start <= end", "combine(kind, group)"])
    index = dataset.splits["train"].tolist()
    pd.testing.assert_frame_equal(dataset.raw("train"), frame.iloc[index].reset_index(drop=True))
    path = tmp_path / "t.csv"
    lines = [f"{d:02d}.01.2024,{d + 3:02d}.01.2024,{d}.50,{d * 2}.00" for d in range(1, 21)]
    path.write_text("\n".join(["from,to,price,double", *lines, ""]))
    data = pf.read(path, constraints=["from <= to", "double = price * 2 - 1"])
    written = pf.write(data.schema.decode(data.rows), tmp_path / "u.csv", schema=data.schema)
    assert written.read_text() == path.read_text()


def test_a_schema_with_constraints_goes_through_json() -> None:
    schema = pf.read(orders(), constraints=ORDERS).schema
    assert isinstance(schema, TableSchema)
    restored = schema_from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False)))
    assert restored.to_json() == schema.to_json()
    assert_frame_equal(restored.decode(restored.encode(orders())), orders())


def test_the_command_line_takes_constraints_and_metadata(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, metadata = tmp_path / "t.csv", tmp_path / "m.json"
    orders().write_csv(path)
    metadata.write_text(json.dumps({"columns": {"age": {"sdtype": "numerical"}}}))
    fit = ["fit", str(path), "--out", str(tmp_path / "run"), "--budget", "2 steps"]
    assert run_command([*fit, "--constraint", "ordered <= sent", "--constraint", "age < 9"]) == 2
    assert "'age < 9' does not hold in 400 of 400 rows" in capsys.readouterr().err
    assert run_command([*fit, "--metadata", str(metadata)]) == 2
    assert "do not describe the column 'sent'" in capsys.readouterr().err
    assert (
        run_command(
            [*fit, "--no-relations", "--constraint", "ordered <= sent", "--constraint", "age >= 18"]
        )
        == 0
    )
    assert pf.load(tmp_path / "run").schema.to_json()["constraint_set"]["constraints"] == [
        "ordered <= sent",
        "age >= 18",
    ]


def test_a_table_cannot_be_balanced_by_what_follows_from_a_constraint() -> None:
    """But by a column of a combination, whose values are known."""
    price = np.arange(40) % 4 + 1
    frame = pl.DataFrame(
        {"city": ["Ulm", "Bonn"] * 20, "state": ["BW", "NRW"] * 20, "price": price}
    ).with_columns(double=2 * pl.col("price"))
    stated = ["combine(city, state)", "double = 2 * price"]
    data = pf.read(frame, constraints=stated, seed=0)
    schema = data.schema
    assert isinstance(schema, TableSchema)
    assert observed_values(schema, "price") == [1, 2, 3, 4]
    assert observed_values(schema, "city") == ["Bonn", "Ulm"]
    with pytest.raises(DataError, match=r"'double' follows from a constraint.*; known: 'price'$"):
        observed_values(schema, "double")
    rows = pf.fit(data, "vae", budget="2 steps", seed=0, width=8).sample(60, balance="city", seed=1)
    assert rows["city"].value_counts().sort("city").rows() == [("Bonn", 30), ("Ulm", 30)]
    assert rows.join(frame, on=["city", "state"], how="anti").is_empty()
