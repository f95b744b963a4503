"""Columns that follow from the categories of others are looked up: exactly, and never by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pushforward as pf
from pushforward.data import Dataset, TableSchema, schema_from_json
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.constraints import Lookup, parse
from pushforward.data.tables.constraints.lookup import MIN_KEY_ROWS, LookupStep
from pushforward.data.tables.partial import PartialRows
from read_tables import lacking_keys, positions

N = 3000


def flights(seed: int = 0, rare: int = 6) -> pl.DataFrame:
    """A distance and a zone by origin and destination; one route is given with two distances."""
    rng = np.random.default_rng(seed)
    origin, dest = rng.integers(0, 3, N), rng.integers(0, 20, N)
    dest[:rare], origin[:rare] = 20 + np.arange(rare), 0  # one row each
    distance = rng.integers(200, 2500, (3, 40))[origin, dest].astype(float)
    of_two = (origin == 1) & (dest == 3)
    distance[of_two] += np.arange(of_two.sum()) % 2
    return pl.DataFrame(
        {
            "origin": [f"O{o}" for o in origin],
            "dest": [f"D{d:02d}" for d in dest],
            "distance": distance,
            "zone": [f"zone {d % 4}" for d in dest],
            "delay": rng.normal(size=N).round(2),
        }
    )


def steps(data: Dataset) -> dict[str, LookupStep]:
    assert isinstance(data.schema, TableSchema)
    found = [s for s in data.schema.constraint_set.steps if isinstance(s, LookupStep)]
    return {step.column.name: step for step in found}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return pf.read(flights())


def test_what_follows_from_categories_is_found_and_said(data: Dataset) -> None:
    assert {name: step.keys for name, step in steps(data).items()} == {
        "distance": ("origin", "dest"),
        "zone": ("dest",),
    }
    assert any(note.startswith("distance = lookup(origin, dest) in every") for note in data.notes)
    assert any("'distance': it is modelled there" in note for note in data.notes)
    assert not steps(pf.read(flights(), relations=False))
    assert not steps(pf.read(flights(), rare="name"))


def test_tables_come_back_exactly_also_by_json(data: Dataset) -> None:
    frame = flights()
    restored = schema_from_json(data.schema.to_json())
    for schema in (data.schema, restored):
        assert schema.decode(schema.encode(frame)).equals(frame)


def test_the_table_is_that_of_a_naive_count(data: Dataset) -> None:
    frame, naive = flights(), dict[tuple[str, ...], set[float]]()
    for origin, dest, distance in frame.select("origin", "dest", "distance").iter_rows():
        naive.setdefault((origin, dest), set()).add(distance)
    train = frame[data.splits["train"].numpy()].select("origin", "dest").rows()
    expected = {
        key: values.copy().pop()
        for key, values in naive.items()
        if len(values) == 1 and train.count(key) >= MIN_KEY_ROWS
    }
    assert steps(data)["distance"].table == expected
    assert ("O1", "D03") not in expected  # it has two distances
    assert not any(dest >= "D20" for _, dest in expected)  # one row each


def test_any_generated_combination_has_a_value_that_occurs(data: Dataset) -> None:
    schema, generator = data.schema, torch.Generator().manual_seed(0)
    rows = schema.quantise(torch.rand((800, *schema.space.shape), generator=generator), generator)
    fake = schema.decode(rows, None, generator)
    assert fake.schema == flights().schema
    assert fake.null_count().sum_horizontal().item() == 0
    assert fake["distance"].is_between(200, 2500).all()
    looked_up = steps(data)["distance"].look_up(fake)
    known = ~np.isnan(looked_up)
    assert known.mean() > 0.5
    assert np.array_equal(fake["distance"].to_numpy()[known], looked_up[known])


def test_chance_is_not_looked_up() -> None:
    rng = np.random.default_rng(2)
    for values in (
        rng.integers(0, 5, N),
        (rng.random(N) < 0.004).astype(int),  # hardly ever 1: most routes agree by chance
        rng.choice(["a", "b"], N, p=[0.99, 0.01]),
    ):
        frame = flights().drop("distance", "zone").with_columns(pl.Series("y", values))
        assert not steps(pf.read(frame))


def test_too_many_exceptions_leave_it_to_the_model() -> None:
    assert "distance" not in steps(pf.read(flights(rare=20)))  # 70 rows of 3,000
    noisy = flights().with_columns(
        pl.when(pl.int_range(N) % 15 == 0).then(pl.col("distance") + 1).otherwise("distance")
    )
    assert "distance" not in steps(pf.read(noisy))


def test_lookups_may_be_stated() -> None:
    (lookup,) = parse("distance = lookup(origin, dest)")
    assert lookup == Lookup("distance", "origin", "dest")
    assert str(lookup) == "distance = lookup(origin, dest)"
    stated = pf.read(flights(), constraints=[lookup], relations=False)
    assert list(steps(stated)) == ["distance"]
    for text, reason in {
        "distance = lookup(delay)": "must hold categories",
        "distance = lookup(distance)": "other columns",
        "distance = lookup(port)": "no column|lacks",
        "distance = 2 * lookup(dest)": "may hold columns",
    }.items():
        with pytest.raises(pf.DataError, match=reason):
            pf.read(flights(), constraints=text)
    with pytest.raises(pf.DataError, match="stores no rare"):
        pf.read(flights(), constraints=[lookup], rare="name")


def test_rows_that_break_it_are_named(data: Dataset) -> None:
    wrong = flights().with_columns(pl.lit("zone 9").alias("zone"))
    with pytest.raises(pf.DataError, match="unknown category"):
        data.schema.encode(wrong)
    wrong = flights().with_columns(pl.lit("zone 1").alias("zone"))
    with pytest.raises(pf.DataError, match=r"zone = lookup\(dest\)' does not hold in \d+ of"):
        data.schema.encode(wrong)


CELL = st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", None]), st.integers(0, 9))


@settings(max_examples=30, deadline=None)
@given(st.lists(CELL, min_size=1, max_size=8), st.booleans(), st.randoms())
def test_any_dictionary_with_gaps_comes_back(rows: list[Any], as_text: bool, random: Any) -> None:
    values = {(a, b): random.choice([None, 1, 2, 3]) for a in "ab" for b in ["x", "y", None]}
    table = [(a, b, values[a, b] if c else c) for a, b, c in rows * 12]
    frame = pl.DataFrame(table, schema=["a", "b", "y"], orient="row", infer_schema_length=None)
    frame = frame.cast({"b": pl.String, "y": pl.String if as_text else pl.Int64})
    schema = pf.read(frame, constraints="y = lookup(a, b)", relations=False).schema
    assert schema.decode(schema.encode(frame)).equals(frame)
    restored = schema_from_json(schema.to_json())
    assert restored.decode(restored.encode(frame)).equals(frame)


def test_a_key_that_is_not_known_agrees_with_what_was_looked_up(data: Dataset) -> None:
    assert isinstance(data.schema, TableSchema)
    frame = flights()
    by_dest = steps(data)["zone"].table
    known = pl.DataFrame({"origin": ["O0"] * 4, "zone": [f"zone {i}" for i in range(4)]})
    partial = PartialRows.of(data.schema, known)
    at = [column.name for column in data.schema.columns].index("dest")
    column = data.schema.columns[at]
    assert isinstance(column, CategoricalCodec)
    choice = partial.choices[at]
    assert not choice.missing.any()  # no row lacks its destination
    zone = steps(data)["zone"].column
    for i in range(4):
        number = zone.encode(pl.Series("zone", [f"zone {i}"]))[0]
        for level, allowed in zip(column.levels, choice.levels[i].tolist(), strict=True):
            assert allowed == (by_dest.get((str(level),), number) == number)
    hidden = frame.with_columns(
        pl.when(pl.int_range(N) % 2 == 0).then(None).otherwise(pl.col("zone")).alias("zone")
    )
    filled = PartialRows.of(data.schema, hidden, fill=True)
    assert filled.known[:, at].all()
    with pytest.raises(pf.DataError, match="a constraint ties it to"):
        PartialRows.of(data.schema, pl.DataFrame({"distance": [500.0]}))


def of_gaps(n: int = 1500) -> pl.DataFrame:
    """A value by a key, and a number."""
    return lacking_keys(n).with_columns(x=np.random.default_rng(1).normal(size=n))


def schema_of(frame: pl.DataFrame, **options: Any) -> TableSchema:
    schema = pf.read(frame, constraints="value = lookup(key)", relations=False, **options).schema
    assert isinstance(schema, TableSchema)
    return schema


VALUES = pl.DataFrame({"value": list("uwzq")})
KEYS = {"u": "ab", "w": "cd", "z": "e", "q": ""}  # of the table, by their value


@pytest.mark.parametrize("fill", [False, True])
def test_a_key_may_be_missing_where_the_table_lacks_missing_ones(fill: bool) -> None:
    schema = schema_of(of_gaps())
    at = positions(schema)
    assert at.keys() == {"key", "value not looked up", "x"}
    rows = PartialRows.of(schema, VALUES, fill=fill)
    share = rows.share(torch.arange(4))
    assert bool(((share >= 0) & (share <= 1)).all())
    of_key, of_rest = (
        share[:, schema.cells_of_column(at[name])].tolist()
        for name in ("key", "value not looked up")
    )
    for own, keys in zip(of_key, KEYS.values(), strict=True):
        assert own == [float(not fill)] + [float(key in keys + "f") for key in "abcdef"]
    rest = schema.columns[at["value not looked up"]]
    assert isinstance(rest, CategoricalCodec)
    for own, value in zip(of_rest, KEYS, strict=True):
        assert own == [1.0] + [float(value == level) for level in rest.levels]  # or none


def test_a_key_that_was_drawn_stays_where_it_agrees() -> None:
    schema, generator = schema_of(of_gaps()), torch.Generator().manual_seed(0)
    at = positions(schema)
    drawn = torch.full((400, 3), torch.nan, dtype=torch.float64)
    for fill in (False, True):
        rows = PartialRows.of(schema, pl.concat([VALUES] * 100), fill=fill)
        keys = rows.settled(drawn, torch.arange(400), generator)[:, at["key"]]
        assert bool((keys.isnan() == (not fill)).all())
    for i, allowed in enumerate(KEYS.values()):
        assert {"abcdef"[int(code)] for code in keys[i::4]} <= {*allowed, "f"}


def test_a_value_of_rows_without_a_key_keeps_it_missing() -> None:
    """It says so: no category of the key has that value. What no row can have is refused."""
    n = 400
    key = [None if i % 5 == 0 else "abcd"[i % 4] for i in range(n)]
    value = ["none" if k is None else k.upper() for k in key]
    frame = pl.DataFrame({"key": key, "value": value, "x": np.random.default_rng(0).random(n)})
    rows = PartialRows.of(schema_of(frame), frame.select("value").head(9), fill=True)
    choice = rows.choices[0]
    assert choice.missing.tolist() == [k is None for k in key[:9]]
    assert choice.levels.sum(1).tolist() == [float(k is not None) for k in key[:9]]
    both = frame.with_columns(pl.Series("other", [str(v) * 2 for v in value]))
    schema = pf.read(
        both, constraints=["value = lookup(key)", "other = lookup(key)"], relations=False
    ).schema
    assert isinstance(schema, TableSchema)
    apart = pl.DataFrame({"value": ["A", "A"], "other": ["AA", "BB"]})
    with pytest.raises(pf.DataError, match="row 2: no category of 'key' agrees with the value of"):
        PartialRows.of(schema, apart)


def test_a_key_of_numbers_that_is_not_known_is_refused() -> None:
    key = np.random.default_rng(0).integers(0, 40, 900)
    frame = pl.DataFrame({"key": key, "value": [f"v{k % 3}" for k in key], "x": key / 7})
    schema = schema_of(frame)
    assert schema.columns[positions(schema)["key"]].kind == "numeric"
    with pytest.raises(pf.DataError, match=r"row 1: 'value' is known, .* by 'key', which is not"):
        PartialRows.of(schema, frame.select("value"))


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(list("abcdef"))])
def test_a_key_of_any_type_of_categories_is_found_by_its_value(dtype: Any) -> None:
    frame = of_gaps().with_columns(pl.col("key").cast(dtype))
    hidden = frame.with_columns(key=pl.lit(None, dtype)).filter(pl.col("value") == "u").head(3)
    levels = PartialRows.of(schema_of(frame), hidden, fill=True).choices[0].levels
    assert levels.sum(1).tolist() == [3] * 3  # a, b and f
