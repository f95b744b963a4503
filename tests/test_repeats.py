"""Numbers that repeat another column's in some rows: found, told, and generated as often."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch

import pushforward as pf
from pushforward.data import TableSchema, read, schema_from_json
from pushforward.errors import DataError
from pushforward.runs.fitted import Fitted

N = 4000
SIGMAS = 4.5
FULL, NONE = 0.25, 0.2  # shares of the bills that are paid in full, or not at all


def bills(n: int = N) -> pl.DataFrame:
    """Bills, what was paid of them (all, nothing, or hundreds), and what a later one repeats."""
    rng = np.random.default_rng(0)
    bill = np.round(rng.lognormal(8, 1, n)).astype(int)
    how, some = rng.random(n), np.floor(bill * rng.random(n) / 100).astype(int) * 100
    paid = np.where(how < FULL, bill, np.where(how < FULL + NONE, 0, some))
    fee = np.round(rng.gamma(2, 30, n), 2)
    again = np.where(rng.random(n) < 0.4, fee, np.round(rng.gamma(2, 30, n), 2))
    known = pl.Series(rng.random(n) < 0.9)
    later = pl.Series(again).set(~known, None)
    return pl.DataFrame({"bill": bill, "paid": paid, "fee": fee, "again": later})


def schema_of(frame: pl.DataFrame, *, relations: bool = True) -> TableSchema:
    schema = read(frame, relations=relations).schema
    assert isinstance(schema, TableSchema)
    return schema


def found(schema: TableSchema) -> dict[str, tuple[str, ...]]:
    return {repeat.column: repeat.sources for repeat in schema.constraint_set.repeats}


def test_repeats_are_found_told_and_kept_in_the_schema() -> None:
    frame = bills()
    data, expected = read(frame), {"paid": ("bill",), "again": ("fee",)}
    schema = data.schema
    assert isinstance(schema, TableSchema)
    assert found(schema) == expected
    assert [step.column.name for step in schema.constraint_set.parts] == ["paid"]
    assert any(note.startswith("column 'paid' repeats 'bill' in 2") for note in data.notes)
    again = schema_from_json(schema.to_json())
    assert again.to_json() == schema.to_json()
    rows = schema.encode(frame)
    assert again.decode(rows).equals(frame)
    assert torch.equal(schema.repeated(rows).nan_to_num(-1.0), rows.nan_to_num(-1.0))
    assert found(schema_of(frame, relations=False)) == {}


def test_the_most_frequent_of_several_sources_comes_first_and_names_may_be_taken() -> None:
    rng = np.random.default_rng(0)
    high, low = np.round(100 + rng.random((2, N)) * 50, 3)
    which = rng.random(N)
    close = np.where(which < 0.1, high, np.where(which < 0.3, low, np.round(100 + which * 50, 3)))
    taken = rng.choice(["a", "b"], N)
    schema = schema_of(pl.DataFrame({"high": high, "low": low, "close": close, "close is": taken}))
    assert found(schema) == {"close": ("low", "high")}
    (repeat,) = schema.constraint_set.repeats
    assert repeat.name == "close is'"
    few = {"high": [1.0, 1.0], "low": [1.0, np.nan], "close": [1.0, np.nan]}
    told = repeat.told({name: np.array(values) for name, values in few.items()})
    assert told.to_list() == ["= low", "its own"]  # both: the first; missing: none


def test_numbers_that_are_near_or_few_or_frequent_repeat_nothing() -> None:
    """Of 40 tables: independent numbers, counts, and numbers that are equal by being near."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.normal(50, 20, 1000).round()
        columns = {
            "x": x,
            "near": x + rng.normal(0, 2, 1000).round(),  # equal in a fifth of the rows
            "count": rng.poisson(2, 1000),
            "other count": rng.poisson(2, 1000),
            "zero or not": np.where(rng.random(1000) < 0.5, 0, rng.normal(50, 20, 1000).round()),
            "zero or more": np.where(rng.random(1000) < 0.5, 0, rng.normal(50, 20, 1000).round()),
        }
        assert found(schema_of(pl.DataFrame(columns))) == {}, seed


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    data = read(bills(), split=(0.8, 0.1, 0.1), seed=0)
    return pf.fit(data, "vae", budget="500 steps", seed=0, width=64, refine=False)


def equal(rows: pl.DataFrame, a: str, b: str) -> float:
    return float(np.mean((rows[a] == rows[b]).fill_null(value=False).to_numpy()))


def test_generated_rows_repeat_as_often(fitted: Fitted) -> None:
    """The shares are raked by the last 1/2 + 1/3 + ... of 2,048 rows: within their error."""
    n = 8000
    rows, real = fitted.sample(n, seed=1), bills()
    for a, b in [("paid", "bill"), ("again", "fee")]:
        share = equal(real, a, b)
        error = math.sqrt(share * (1 - share) * (1 / n + 1 / 2048 + 1 / N))
        assert abs(equal(rows, a, b) - share) < SIGMAS * error
    assert rows["paid"].is_between(0, real["paid"].max()).all()


def test_what_is_repeated_meets_a_condition_on_either_column(fitted: Fitted) -> None:
    where = {"paid": (1000, 5000), "again": (20, 60)}
    rows = fitted.sample(1000, where=where, seed=2)
    assert rows["paid"].is_between(1000, 5000).all()
    assert rows["again"].is_between(20, 60).all()
    assert equal(rows, "paid", "bill") > 0.2
    assert equal(rows, "again", "fee") > 0.2
    low = fitted.sample(1000, where={"fee": (20, 30)}, seed=3)
    repeating = low.filter(pl.col("again") == pl.col("fee"))
    assert len(repeating) > 200
    assert repeating["again"].is_between(20, 30).all()


def test_completed_rows_repeat_what_is_known(fitted: Fitted) -> None:
    """Given the source, its very number is repeated; given the column, it stays as it is."""
    real = bills(400)
    filled = fitted.sample(given=real.select("bill", "fee"), seed=1)
    assert filled["bill"].equals(real["bill"])
    # the model's share is raked by some 2,000 rows to that of the training rows
    error = math.sqrt(FULL * (1 - FULL) * (1 / 400 + 1 / 2048 + 1 / N))
    assert abs(equal(filled, "paid", "bill") - FULL) < SIGMAS * error
    backwards = fitted.sample(given=real.select("paid"), seed=1)
    assert backwards["paid"].equals(real["paid"])


def test_conditions_on_a_column_that_repeats_are_exact(fitted: Fitted) -> None:
    """Against rows drawn without it: which rows repeat, how far the fee goes, the hit rate."""
    low, high = 60.0, 66.0
    every = fitted.sample(120_000, seed=4)
    free = every.filter(pl.col("again").is_between(low, high))
    rows = fitted.sample(3000, where={"again": (low, high)}, seed=5)
    a, b = equal(rows, "again", "fee"), equal(free, "again", "fee")
    share = (a * len(rows) + b * len(free)) / (len(rows) + len(free))
    error = math.sqrt(share * (1 - share) * (1 / len(rows) + 1 / len(free)))
    assert 0.1 < share < 0.9
    assert abs(a - b) < SIGMAS * error
    means = [float(np.mean(own["fee"].to_numpy())) for own in (rows, free)]
    spread = float(np.std(free["fee"].to_numpy()))
    assert abs(means[0] - means[1]) < SIGMAS * spread * math.sqrt(1 / len(rows) + 1 / len(free))


def test_what_a_known_number_repeats_is_filled_in(fitted: Fitted) -> None:
    real = bills(600).drop_nulls()
    filled = fitted.sample(given=real.select("again"), seed=1)
    assert filled["again"].equals(real["again"])
    # .24 here, .39 in the data: few of a row's 64 fees lie near what it repeats. With the fee drawn
    # from its own cell, none would be equal
    assert equal(filled, "again", "fee") > 0.1


@pytest.mark.parametrize("name", ["y", "a b", "= x", "x is"])
def test_odd_names_and_types_repeat_as_well(name: str) -> None:
    """Of single precision beside double, and with NaN in both, which repeats nothing."""
    rng = np.random.default_rng(0)
    x = np.floor(rng.normal(100, 30, N)) + 0.1
    y = np.where(rng.random(N) < 0.3, x, np.floor(rng.normal(100, 30, N)) + 0.2)
    missing = rng.random(N) < 0.2
    x[missing], y[missing] = np.nan, np.nan
    frame = pl.DataFrame({"x": x, name: y.astype(np.float32)})
    data = read(frame)
    schema = data.schema
    assert isinstance(schema, TableSchema)
    assert list(found(schema).values()) == [("x",)]
    (note,) = (note for note in data.notes if "repeats" in note)
    assert 0.22 < float(note.split("in ")[1].split("%")[0]) / 100 < 0.26
    assert schema.decode(schema.encode(frame)).equals(frame)


def test_a_table_without_the_column_is_refused(fitted: Fitted) -> None:
    with pytest.raises(DataError, match="lacks the column"):
        fitted.log_prob(bills(20).drop("again"))


def test_the_likelihood_of_a_row_counts_what_it_repeats(fitted: Fitted) -> None:
    """That `again` is the fee to a cent costs a bit or two, not the bits of a number."""
    real = bills().filter(pl.col("fee").is_between(30, 60)).head(100)
    same = fitted.log_prob(real.with_columns(again="fee"))
    apart = fitted.log_prob(real.with_columns(again=pl.col("fee") + 0.01))
    assert float((same - apart).mean()) > 2


def test_private_schemas_repeat_nothing() -> None:
    data = read(bills(1000), relations=True)
    made = pf.fit(data, "vae", budget="2 steps", epsilon=5.0, seed=0, width=16)
    assert isinstance(made.schema, TableSchema)
    assert made.schema.constraint_set.repeats == ()
