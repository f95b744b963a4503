"""What is wrong with a whole generated column is seen, whatever the column's type."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushforward.cli.main import run_command
from pushforward.errors import MeasureError
from pushforward.measures import (
    Scorecard,
    association,
    column_shapes,
    exact_matches,
    measure,
    pair_trends,
    utility,
)
from pushforward.measures._registry import DEFAULT
from pushforward.measures.tables import _forms, _types

ROWS = 150
START = dt.datetime(2024, 3, 1)
QUICK = ["column_shapes", "energy"]  # of the default measures, the quickest that have a p-value
Array = np.ndarray[Any, Any]


def hours(u: Array) -> list[dt.datetime]:
    """Times within 20 days."""
    return [START + dt.timedelta(seconds=int(3600 * 24 * 20 * x)) for x in u]


# One column of each type, by a uniform u in [0, 1).
COLUMNS: dict[str, Callable[[Array], pl.Series]] = {
    "float": lambda u: pl.Series(100 * u),
    "float32": lambda u: pl.Series(100 * u, dtype=pl.Float32),
    "integer": lambda u: pl.Series((1000 * u).astype(int)),
    "small integer": lambda u: pl.Series((4 * u).astype(int), dtype=pl.Int8),
    "unsigned": lambda u: pl.Series((60_000 * u).astype(int), dtype=pl.UInt16),
    "decimal": lambda u: pl.Series((100 * u).round(2)).cast(pl.Decimal(10, 2)),
    "truth values": lambda u: pl.Series(u < 0.4),
    "text": lambda u: pl.Series([["low", "mid", "high"][int(3 * x)] for x in u]),
    "categorical": lambda u: pl.Series([f"c{int(5 * x)}" for x in u]).cast(pl.Categorical),
    "enum": lambda u: pl.Series([f"c{int(5 * x)}" for x in u]).cast(pl.Enum([*map(_c, range(5))])),
    "date": lambda u: pl.Series([(START + dt.timedelta(days=int(400 * x))).date() for x in u]),
    "date-time": lambda u: pl.Series(hours(u)),
    "zoned": lambda u: pl.Series(hours(u)).dt.replace_time_zone("Europe/Berlin"),
    "time of day": lambda u: pl.Series([dt.time(int(24 * x), int(1440 * x) % 60) for x in u]),
    "duration": lambda u: pl.Series([dt.timedelta(seconds=int(9999 * x)) for x in u]),
    "identifier": lambda u: pl.Series([f"K-{int(1e8 * x):08d}" for x in u]),
    "uuid": lambda u: pl.Series([str(uuid.UUID(int=int(2**128 * x))) for x in u]),
    "missing in half": lambda u: pl.Series([None if i % 2 else 100 * x for i, x in enumerate(u)]),
}
IDENTIFIERS = ("identifier", "uuid")


def _c(code: int) -> str:
    return f"c{code}"


def uniform(seed: int, n: int = ROWS) -> Array:
    return np.random.default_rng(seed).random(n)


def table(column: pl.Series, seed: int) -> pl.DataFrame:
    """A table with two good columns beside the one that matters."""
    rng = np.random.default_rng(100 + seed)
    n = len(column)
    other = {"number": rng.normal(size=n), "label": rng.choice(["u", "v"], n)}
    return pl.DataFrame({"it": column, **other})


def mistyped(kind: str, u: Array) -> pl.Series:
    good = COLUMNS[kind](u)
    if good.dtype in (pl.String, pl.Categorical, pl.Enum):
        return pl.Series(1000 * u)
    if good.dtype == pl.Duration:
        return good.dt.to_string()
    return good.cast(pl.String)


def shifted(kind: str, u: Array) -> pl.Series:
    """The upper half of the values alone; of identifiers, another form."""
    if kind in IDENTIFIERS:
        return pl.Series([f"{int(1e8 * x)}/x" for x in u])
    return COLUMNS[kind](0.5 + u / 2)


def constant(kind: str, u: Array) -> pl.Series:
    good = COLUMNS[kind](u)
    return pl.Series([good[0]] * len(u), dtype=good.dtype)


def empty(kind: str, u: Array) -> pl.Series:
    return pl.Series([None] * len(u), dtype=COLUMNS[kind](u).dtype)


FAULTS: dict[str, Callable[[str, Array], pl.Series]] = {
    "empty": empty,
    "empty, of no type": lambda _, u: pl.Series([None] * len(u)),
    "NaN": lambda _, u: pl.Series([float("nan")] * len(u)),
    "constant": constant,
    "mistyped": mistyped,
    "words": lambda _, u: pl.Series(["n/a"] * len(u)),
    "shifted": shifted,
}
ZONES: dict[str, Callable[[str, Array], pl.Series]] = {
    "other zone": lambda kind, u: COLUMNS[kind](u).dt.convert_time_zone("Asia/Kolkata"),
    "other offset": lambda kind, u: COLUMNS[kind](u).dt.replace_time_zone("Asia/Kolkata"),
    "no zone": lambda kind, u: COLUMNS[kind](u).dt.replace_time_zone(None),
    "a zone": lambda kind, u: COLUMNS[kind](u).dt.replace_time_zone("UTC"),
}
CASES = [
    *product(COLUMNS, FAULTS),
    *product(["zoned"], ["other zone", "other offset", "no zone"]),
    ("date-time", "a zone"),
]


def differs(card: Scorecard) -> bool:
    return any(m.p_value is not None and m.p_value < 0.03 for m in card.values())


@cache
def real(kind: str) -> pl.DataFrame:
    return table(COLUMNS[kind](uniform(0)), 0)


@pytest.mark.parametrize(("kind", "fault"), CASES)
def test_a_fault_of_a_whole_column_is_noticed(kind: str, fault: str) -> None:
    assert set(QUICK) <= set(DEFAULT["table"])
    column = (FAULTS | ZONES)[fault](kind, uniform(1))
    card = measure(real(kind), table(column, 1), measures=QUICK)
    assert differs(card), card
    shapes = card["column_shapes"].extra["columns"]
    assert max(shapes, key=lambda name: shapes[name]) == "it"
    if fault != "shifted":
        assert card.notes[0].startswith("check: column 'it' ")


@pytest.mark.parametrize("kind", COLUMNS)
def test_new_real_rows_are_no_fault(kind: str) -> None:
    for seed in (2, 3):
        card = measure(real(kind), table(COLUMNS[kind](uniform(seed)), seed), measures=QUICK)
        assert not any(note.startswith("check: ") for note in card.notes)
        found = card["column_shapes"].extra["columns"]["it"]
        # Kolmogorov's 0.1 % quantile is 1.95; total variation of five cells stays below it as well.
        assert found < 1.95 * (2 / ROWS) ** 0.5


@pytest.mark.parametrize("kind", ["float", "text", "zoned", "identifier"])
def test_an_empty_column_leaves_every_default_measure_its_value(kind: str) -> None:
    column = empty(kind, uniform(1, 60))
    card = measure(real(kind)[:60], table(column, 1))
    # An empty column predicts nothing and is not predicted; of the others nothing may be, either.
    assert {*card, "utility"} == set(DEFAULT["table"])
    assert all(np.isfinite(found.value) for found in card.values())


def test_a_column_without_any_real_value_is_judged_too() -> None:
    gone = real("float").with_columns(it=pl.lit(None, dtype=pl.Float64))
    same = measure(gone, gone.sample(ROWS, with_replacement=True, seed=0), measures=QUICK)
    assert same["column_shapes"].extra["columns"]["it"] == 0.0
    filled = measure(gone, real("float"), measures=QUICK)
    assert filled["column_shapes"].extra["columns"]["it"] == 1.0
    assert differs(filled)
    assert "and no value in the real one" in filled.notes[0]


def test_types_are_those_of_the_training_rows_else_of_the_real_ones() -> None:
    fake, empty_rows = table(COLUMNS["float"](uniform(1)), 1), pl.lit(None, dtype=pl.String)
    untyped = real("float").with_columns(it=empty_rows)
    for one, train in ((untyped, real("float")), (real("float"), untyped)):
        card = measure(one, fake, train=train, measures=QUICK)
        assert not any(note.startswith("check: ") for note in card.notes)
    words = real("float").with_columns(it=pl.lit("word"))
    with pytest.raises(MeasureError, match=r"'it' must hold the same in the real sample and the"):
        measure(real("float"), fake, train=words)


def test_one_bad_cell_is_one_difference() -> None:
    numbers = COLUMNS["integer"](uniform(1)).cast(pl.String).to_list()
    spoilt = table(pl.Series(["n/a", *numbers[1:]]), 1)
    card = measure(real("integer"), spoilt, measures="column_shapes")
    good = table(COLUMNS["integer"](uniform(1)), 1)
    expected = column_shapes(real("integer"), good).extra["columns"]["it"]
    assert card["column_shapes"].extra["columns"]["it"] == pytest.approx(expected, abs=1.1 / ROWS)
    assert "1 of 150 values, e.g. 'n/a', count as a difference" in card.notes[0]


PANDAS: dict[str, tuple[Any, Any]] = {  # the same values, held in two ways
    "truth values as objects": ([True, None, False] * 20, pd.array([True, None, False] * 20)),
    "whole numbers as objects": ([1, None, 3] * 20, np.array([1.0, np.nan, 3.0] * 20)),
    "dates as objects": (
        [dt.date(2024, 1, d + 1) for d in range(20)] * 3,
        pd.to_datetime([dt.date(2024, 1, d + 1) for d in range(20)] * 3),
    ),
    "a category of whole numbers": (pd.Categorical([1, 2, 3] * 20), np.array([1, 2, 3] * 20)),
    "truth values as numbers": (np.array([True, False] * 30), np.array([1, 0] * 30)),
    "nullable whole numbers": (pd.array([1, 2, None] * 20, dtype="Int64"), [1, 2, np.nan] * 20),
}


@pytest.mark.parametrize("case", PANDAS)
@pytest.mark.parametrize("swapped", [False, True])
def test_what_holds_the_values_is_no_difference(case: str, swapped: bool) -> None:
    ways = PANDAS[case][::-1] if swapped else PANDAS[case]
    label = ["u", "v", "w", "x"] * 15
    one, other = (pd.DataFrame({"it": values, "label": label}) for values in ways)
    card = measure(one, other, measures="column_shapes")
    for found in (card["column_shapes"], column_shapes(one, other)):
        assert found.extra["columns"]["it"] == 0.0


# An index that says something, of real rows, and a generated one that differs from it.
INDEXES: dict[str, tuple[pd.Index[Any], pd.Index[Any]]] = {
    "numbers": (
        pd.Index(np.arange(ROWS) * 1.5, name="key"),
        pd.Index(np.arange(ROWS) * 1.5 + 1000, name="key"),
    ),
    "unnamed text": (pd.Index(["a", "b", "c"] * 50), pd.Index(["d", "e", "f"] * 50)),
    "days": (
        pd.date_range("2024-01-01", periods=ROWS, name="day"),
        pd.date_range("2034-01-01", periods=ROWS, name="day"),
    ),
    "pairs": (
        pd.MultiIndex.from_product([["a", "b"], range(75)], names=["side", None]),
        pd.MultiIndex.from_product([["c", "d"], range(75)], names=["side", None]),
    ),
    "a column's name": (
        pd.Index(["a", "b", "c"] * 50, name="v"),
        pd.Index(["d", "e", "f"] * 50, name="v"),
    ),
}


def indexed(index: Any, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"v": rng.random(ROWS), "c": rng.choice(["x", "y"], ROWS)}, index=index)


@pytest.mark.parametrize("case", INDEXES)
def test_an_index_that_says_something_is_measured_like_a_column(case: str) -> None:
    own, other = INDEXES[case]
    one = indexed(own)
    assert measure(one, one, train=one, measures="column_shapes")["column_shapes"].value == 0.0
    fake = indexed(other)
    card = measure(one, fake, train=one, measures=["column_shapes", "pair_trends"])
    for found in (card["column_shapes"], column_shapes(one, fake)):
        names = list(found.extra["columns"])
        assert len(names) == 2 + own.nlevels
        assert found.extra["columns"][names[0]] == pytest.approx(1), "the index comes first"
        assert found.extra["columns"]["v"] == found.extra["columns"]["c"] == 0.0
    assert exact_matches(one, fake, train=one).value == 0.0


def test_an_index_is_the_same_as_the_column_that_it_becomes() -> None:
    one, fake = (indexed(index, seed) for seed, index in enumerate(INDEXES["numbers"]))
    expected = measure(one.reset_index(), fake.reset_index(), measures=[*QUICK, "pair_trends"])
    for x, y in ((one, fake), (one, fake.reset_index()), (one.reset_index(), fake)):
        found = measure(x, y, measures=[*QUICK, "pair_trends"])
        assert found.to_json() == expected.to_json()


@pytest.mark.parametrize("name", ["key", None])
def test_an_index_of_identifiers_is_left_out_like_a_column(name: str | None) -> None:
    names = pd.Index([f"r{i}" for i in range(ROWS)], name=name)
    one, fake = indexed(names), indexed(names, 1).sample(100, random_state=0)
    card = measure(one, fake, measures=["pair_trends", "utility"], target="c")
    columns = pair_trends(one.reset_index(drop=True), fake.reset_index(drop=True))
    assert card["pair_trends"].value == columns.value
    assert card.notes[0].startswith(f"Left out, as identifiers: {name or 'index'!r}")


def test_identifiers_under_a_label_that_is_no_text_are_left_out() -> None:
    frame = indexed(None).assign(key=[f"r{i}" for i in range(ROWS)])
    frame.columns = pd.Index([0, 1, 2])
    card = measure(frame, frame, measures="pair_trends")
    assert card["pair_trends"].extra["left_out"] == ["2"]


def test_an_index_of_positions_or_of_one_table_alone_is_not_measured() -> None:
    one, positions = indexed(None), np.arange(ROWS)[::-1]
    for index in (pd.Index(positions), pd.Index(positions / 2, name="key")):
        for x, y in ((one, indexed(index)), (indexed(index), one)):
            found = measure(x, y, measures="column_shapes")["column_shapes"]
            assert list(found.extra["columns"]) == ["v", "c"]
            assert found.value == 0.0


@pytest.mark.parametrize("kind", COLUMNS)
def test_the_measures_alone_judge_like_all_of_them_together(kind: str) -> None:
    fake = table(mistyped(kind, uniform(1)), 1)
    if kind not in IDENTIFIERS:
        assert column_shapes(real(kind), fake).extra["columns"]["it"] > 0.49
    assert exact_matches(real(kind), fake, train=real(kind)).value == 0.0
    assert np.isfinite(pair_trends(real(kind), fake).value)
    assert association(fake, like=real(kind)).shape == (3, 3)


def test_utility_takes_columns_and_classes_that_were_never_seen() -> None:
    test, fake = real("float"), table(empty("float", uniform(1)), 1)
    assert utility(test, fake, target="label").value == pytest.approx(0.5, abs=0.2)
    junk = fake.with_columns(label=pl.Series([f"new {i}" for i in range(ROWS)]))
    assert utility(test, junk, target="label").value == pytest.approx(0.5, abs=0.01)


TARGETS = {
    "nope": "unknown target 'nope'",
    "it": "holds identifiers",
    "flat": "has the same value in every real row",
    "many": r"has \d+ classes, and at most 100",
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_wrong_target_is_an_error_of_status_2(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = pl.Series([f"{i % 110} name" for i in range(ROWS)])
    sample = real("identifier").with_columns(flat=pl.lit("one"), many=many)
    with pytest.raises(MeasureError, match=TARGETS[target]):
        measure(sample, sample, target=target)
    sample.write_csv(tmp_path / "t.csv")
    path = str(tmp_path / "t.csv")
    assert run_command(["measure", path, path, "--target", target]) == 2
    assert repr(target) in capsys.readouterr().err


def test_columns_that_are_left_out_cost_the_verdict() -> None:
    card = measure(real("identifier"), table(COLUMNS["identifier"](uniform(1)), 1))
    assert card.notes[0] == "Left out, as identifiers: 'it'; column_shapes judges their form."
    assert "without" not in card["column_shapes"].reading
    for name in set(card) - {"column_shapes"}:
        assert card[name].reading.endswith("; without 'it'")
        assert card[name].extra["left_out"] == ["it"]


@given(st.lists(st.one_of(st.none(), st.text()), max_size=30), st.text(max_size=5))
def test_a_form_has_a_value_where_the_identifier_has_one(
    texts: list[str | None], beginning: str
) -> None:
    values = pl.Series("id", texts, dtype=pl.String)
    forms = _forms.form(values, beginning)
    assert forms.is_null().to_list() == values.is_null().to_list()


@given(st.lists(st.from_regex(r"[A-Z]{3}-[0-9]{4,9}", fullmatch=True), min_size=3, unique=True))
def test_identifiers_of_one_pattern_have_one_form(texts: list[str]) -> None:
    assert set(_forms.form(pl.Series("id", texts))) == {"a-9"}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_fits_itself(kind: str) -> None:
    values = COLUMNS[kind](uniform(0))
    found = _types.fitted(values, COLUMNS[kind](uniform(1)))
    assert not found.foreign.any()
    assert found.values.to_list() == values.to_list()


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_amounts_and_dates_that_are_text_are_measured_as_numbers_and_times(library: Any) -> None:
    """The same table as text and typed: the marginal measures agree; a shift is seen."""
    rng = np.random.default_rng(0)
    cents, days = rng.integers(0, 10**7, 600), rng.integers(0, 700, 600)

    def spelled(part: slice, shift: int = 0) -> Any:
        amounts = [f"{(c + shift) / 100:,.2f} €" for c in cents[part]]
        dates = [f"{dt.date(2022, 1, 1) + dt.timedelta(int(d)):%d/%m/%Y}" for d in days[part]]
        return library({"amount": amounts, "day": dates})

    def typed(part: slice) -> Any:
        times = [dt.date(2022, 1, 1) + dt.timedelta(int(d)) for d in days[part]]
        return pl.DataFrame({"amount": cents[part] / 100, "day": times})

    halves = slice(0, 300), slice(300, 600)
    ours = measure(*map(spelled, halves), measures=["column_shapes", "pair_trends"])
    theirs = measure(*map(typed, halves), measures=["column_shapes", "pair_trends"])
    for name in ours:
        assert ours[name].value == pytest.approx(theirs[name].value, abs=1e-12)
    shifted = measure(spelled(halves[0]), spelled(halves[1], 10**7), measures="column_shapes")
    assert shifted["column_shapes"].value > 0.45  # one of two columns has nothing in common
