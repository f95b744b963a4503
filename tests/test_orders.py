"""Orders between columns of numbers: found where they hold in every row, kept in generated rows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pushforward as pf
from pushforward.data import TableSchema, read, schema_from_json
from pushforward.data.tables.orders import in_order, put_in_order
from pushforward.runs.fitted import Fitted

N = 3000
SIGMAS = 4.5


def prices(n: int = N) -> pl.DataFrame:
    """Days at an exchange: low <= open, close <= high; missing closes; a number of no order."""
    rng = np.random.default_rng(0)
    start, end = np.round(100 + rng.normal(0, 3, (2, n)), 1)
    low = np.round(np.minimum(start, end) - rng.exponential(0.5, n), 1)
    high = np.round(np.maximum(start, end) + rng.exponential(0.5, n), 1)
    close = pl.Series(end).set(pl.Series(rng.random(n) < 0.1), None)
    other = rng.normal(100, 3, n).round(1)
    return pl.DataFrame({"open": start, "high": high, "low": low, "close": close, "other": other})


def names(schema: TableSchema) -> set[tuple[str, str]]:
    return {(schema.columns[i].name, schema.columns[j].name) for i, j in schema.orders}


EXPECTED = {("low", "open"), ("low", "close"), ("open", "high"), ("close", "high")}


def test_orders_are_found_and_told_without_those_that_others_imply() -> None:
    data = read(prices())
    assert isinstance(data.schema, TableSchema)
    assert names(data.schema) == EXPECTED  # not low <= high
    assert any("low <= open" in note for note in data.notes)
    assert schema_from_json(data.schema.to_json()).to_json() == data.schema.to_json()
    odd = pl.concat([prices(), prices().head(1).with_columns(low=999.0)])
    for frame, relations in [(prices(), False), (prices().head(60), True), (odd, True)]:
        schema = read(frame, relations=relations).schema
        assert isinstance(schema, TableSchema)
        assert not any("low" in pair for pair in names(schema))


def test_columns_that_are_apart_have_no_order_and_chance_makes_none() -> None:
    """Where any two rows would be in order, nothing is told; of 40 tables no pair by chance."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        columns = {f"x{k}": rng.normal(size=150) for k in range(6)}
        apart = {"small": rng.uniform(0, 1, 150), "large": rng.uniform(50, 60, 150)}
        schema = read(pl.DataFrame(columns | apart)).schema
        assert isinstance(schema, TableSchema)
        assert schema.orders == ()


def test_no_more_orders_are_kept_than_rows_can_afford() -> None:
    """Sums that grow: of twelve in a row, chance would keep one row in 479,001,600 in order."""
    rng = np.random.default_rng(0)
    steps = rng.exponential(1, (2000, 12))
    frame = pl.DataFrame({f"x{k}": x for k, x in enumerate(steps.cumsum(1).round(2).T)})
    schema = read(frame).schema
    assert isinstance(schema, TableSchema)
    shuffled = torch.from_numpy(np.stack([rng.permutation(x) for x in schema.encode(frame).T], 1))
    assert 0 < len(schema.orders) < 11
    assert float(in_order(shuffled, schema.orders).double().mean()) > 0.03


def test_under_a_condition_classes_are_as_frequent_as_they_are(tmp_path: Path) -> None:
    """Though rows of one class break the order more often than those of the other."""
    rng = np.random.default_rng(0)
    tight = rng.random(4000) < 0.5
    low = rng.normal(0, 1, 4000)
    high = low + np.where(tight, rng.exponential(0.05, 4000), rng.exponential(3, 4000))
    frame = pl.DataFrame({"low": low, "high": high, "kind": np.where(tight, "a", "b")})
    data = read(frame, condition="kind")
    fitted = pf.fit(data, "vae", budget="30 steps", width=16, seed=0)
    own = float((frame["kind"] == "a").mean())  # type: ignore[arg-type]  # a share
    chance = 0.5 * math.sqrt(1 / 3200 - 1 / 4000)  # of the share among rows to train on
    for where in ({"low": (-100.0, 100.0)}, {"kind": "a"}):
        rows, info = fitted.sample(6000, seed=1, where=where, return_info=True)
        share = float((rows["kind"] == "a").mean())
        expected, rate = (1.0, own) if "kind" in where else (own, 1.0)
        # of shares that are kept 8,192 rows tell, half of them in each class
        error = math.hypot(0.5 / math.sqrt(6000), 0.5 * math.sqrt(2 * 2 / 4096), chance)
        assert share == pytest.approx(expected, abs=SIGMAS * error)
        assert info.hits is not None
        error = math.hypot(info.hits.error, chance)
        assert info.hits.hit_rate == pytest.approx(rate, abs=SIGMAS * error)


@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_rows_that_are_put_in_order_are_in_order(numbers: list[list[int]]) -> None:
    orders = [(2, 1), (0, 3), (1, 0)]  # 2 <= 1 <= 0 <= 3, in no order
    rows = torch.tensor(numbers, dtype=torch.float64)
    raised = put_in_order(rows, orders)
    assert bool(in_order(raised, orders).all())
    assert torch.equal(raised[in_order(rows, orders)], rows[in_order(rows, orders)])
    assert torch.equal(raised[:, 2], rows[:, 2])
    rows[0] = math.nan
    assert bool(in_order(rows[:1], orders).all())


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return pf.fit(read(prices()), "vae", budget="60 steps", width=16, seed=0, refine=False)


def violated(frame: pl.DataFrame) -> int:
    return sum(int((frame[low] > frame[high]).sum()) for low, high in EXPECTED)


def test_generated_rows_keep_to_orders(fitted: Fitted, tmp_path: Path) -> None:
    free = pf.fit(
        read(prices(), relations=False), "vae", budget="60 steps", width=16, seed=0, refine=False
    )
    assert violated(free.sample(2000, seed=1)) > 100
    fitted.save(tmp_path / "run")
    for own in (fitted, pf.load(tmp_path / "run")):
        rows = own.sample(2000, seed=1)
        assert violated(rows) == 0
        assert rows["close"].null_count() > 0


def test_rows_under_a_condition_keep_to_orders_and_are_as_frequent(fitted: Fitted) -> None:
    whole = fitted.sample(20_000, seed=2)
    rows, info = fitted.sample(2000, seed=3, where={"open": (None, 99.0)}, return_info=True)
    assert violated(rows) == 0
    met = whole.filter(pl.col("open") <= 99.0)
    highs = [frame["high"].to_numpy() for frame in (met, rows)]
    error = math.hypot(*(h.std() / math.sqrt(len(h)) for h in highs))
    assert abs(highs[0].mean() - highs[1].mean()) < SIGMAS * error
    rate = len(met) / len(whole)
    assert info.hits is not None
    # the share of all rows that keep to orders is known from 8,192: a fifth of them, at least
    error = math.hypot(math.sqrt(rate / len(whole)), info.hits.error, rate * math.sqrt(5 / 8192))
    assert info.hits.hit_rate == pytest.approx(rate, abs=SIGMAS * error)
