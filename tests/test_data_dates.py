"""Months and days that are dates: found, modelled as dates, and possible in every row."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

import pushforward as pf
from pushforward.data import TableSchema, read
from pushforward.data.tables.constraints.calendar_candidates import ROWS_A_DATE, dates
from pushforward.errors import DataError
from pushforward.runs.fitted import Fitted

N = 9000
SIGMAS = 4.5


def days(n: int = N, seed: int = 0) -> pl.DataFrame:
    """Readings of 2012 and 2013: the weather lasts a day, and knows no month's end."""
    rng = np.random.default_rng(seed)
    date = np.datetime64("2012-01-01") + rng.integers(0, 731, n)
    place = (date - np.datetime64("2012-01-01")).astype(int) % 366
    front = np.random.default_rng(1).normal(0, 10, 366)[place]
    time = pl.Series(date)
    return pl.DataFrame(
        {
            "day": time.dt.day().cast(pl.Int64),
            "month": time.dt.month().cast(pl.Int64),
            "front": (front + rng.normal(0, 1, n)).round(1),
            "other": rng.integers(1, 32, n),
        }
    )


def found(frame: pl.DataFrame) -> list[str]:
    schema = read(frame, seed=0).schema
    assert isinstance(schema, TableSchema)
    return [str(c) for c in schema.constraint_set.constraints]


def test_dates_are_found_and_told() -> None:
    frame = days()
    assert found(frame) == ["combine(month, day)"]
    assert any(note.startswith("month and day are dates") for note in read(frame).notes)
    assert read(frame, relations=False).schema.constraint_set.constraints == ()  # type: ignore[attr-defined]  # of a table
    assert found(frame.head(ROWS_A_DATE * 366 - 1)) == []  # few rows of each
    odd = pl.concat([frame, frame.head(1).with_columns(month=2, day=30)], how="vertical_relaxed")
    assert found(odd) == []
    schema = read(frame, rare="name").schema
    assert isinstance(schema, TableSchema)
    assert schema.constraint_set.constraints == ()


def test_columns_that_are_no_dates_are_not_taken_for_them() -> None:
    """Of 200 tables of independent integers 1 to 12 and 1 to 31: chance makes no dates."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        months, days_ = (rng.integers(1, most, N).astype(np.float64) for most in (13, 32))
        table = {"m": months, "d": days_}
        assert [*dates(table)] == []


def test_each_month_has_its_own_days() -> None:
    """Two dates, the second some days after the first: two pairs, in either order of columns."""
    rng = np.random.default_rng(0)
    first = np.datetime64("2012-01-01") + rng.integers(0, 366, N)
    second = first + rng.integers(1, 20, N)
    table = {}
    for name, date in [("a", pl.Series(first)), ("b", pl.Series(second))]:
        table[f"{name} day"] = date.dt.day().cast(pl.Float64).to_numpy()
        table[f"{name} month"] = date.dt.month().cast(pl.Float64).to_numpy()
    pairs = {frozenset(pair) for pair in dates(table)}
    assert pairs == {frozenset({"a day", "a month"}), frozenset({"b day", "b month"})}


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return pf.fit(read(days(), seed=0), "vae", budget="300 steps", seed=0, width=64, refine=False)


def test_generated_dates_are_possible_and_keep_the_weather_of_the_day(fitted: Fitted) -> None:
    rows, real = fitted.sample(6000, seed=1), days()
    pairs = real.select("month", "day").unique()
    assert len(rows.join(pairs, on=["month", "day"], how="anti")) == 0
    means = real.group_by("month", "day").agg(pl.col("front").mean().alias("mean"))
    together = rows.join(means, on=["month", "day"])
    # .71 after these few steps, where month and day by themselves (relations=False) come to .46
    assert float(np.corrcoef(together["front"], together["mean"])[0, 1]) > 0.6


def test_a_condition_on_a_month_draws_its_days_alone(fitted: Fitted) -> None:
    rows = fitted.sample(300, where={"month": [2, 7], "day": (29, None)}, seed=1)
    assert set(rows.select("month", "day").unique().rows()) <= {(2, 29), (7, 29), (7, 30), (7, 31)}
    with pytest.raises(DataError, match="no combination of month, day"):
        fitted.sample(10, where={"month": 2, "day": 31}, seed=1)


def test_the_probabilities_of_a_month_are_those_of_its_dates(fitted: Fitted) -> None:
    """Given nothing but a number that tells nothing: the shares of the training rows, raked."""
    rows = pl.DataFrame({"other": [3]})
    chances = fitted.predict_proba(rows, "month")
    assert chances.columns == [str(m) for m in range(1, 13)]
    real = days()["month"].value_counts().sort("month")["count"].to_numpy()
    # 4.5 deviations of a share of 1/12 in 2,048 rows, by which it is raked
    assert chances.row(0) == pytest.approx((real / N).tolist(), abs=0.03)
    day = fitted.predict_proba(rows.with_columns(month=2), "day").row(0)
    assert sum(day) == pytest.approx(1)
    assert sum(day[:29]) == pytest.approx(1, abs=1e-9)  # no 30 February


def test_the_shares_of_months_are_kept(fitted: Fitted) -> None:
    """The chi-square of a sample of 8,000, raked by some 2,000 rows: within both errors."""
    n = 8000
    seen = fitted.sample(n, seed=2)["month"].value_counts().sort("month")["count"].to_numpy()
    share = days()["month"].value_counts().sort("month")["count"].to_numpy() / N
    statistic = float(((seen / n - share) ** 2 / share).sum() / (1 / n + 1 / 2048 + 1 / N))
    assert statistic < stats.chi2(11).isf(1e-5)
    assert not math.isnan(statistic)
