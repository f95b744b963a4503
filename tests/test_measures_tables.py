"""Rulers for tables: SciPy, scikit-learn and pandas as references, missing values, bad input."""

from __future__ import annotations

import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import ks_2samp, kstest
from scipy.stats.contingency import association as scipy_association

from pushforward.errors import MeasureError
from pushforward.measures import association, column_shapes, pair_trends, utility

ADULT = Path(__file__).parents[2] / "shared" / "data"


def table(n: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
    """Two related numbers, a category of four, one of two that depends on the first number."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n) + shift
    b = 0.6 * a + 0.8 * rng.normal(size=n)
    c = rng.choice(list("klmn"), p=[0.4, 0.3, 0.2, 0.1], size=n)
    d = np.where(rng.random(n) < 1 / (1 + np.exp(-2 * a)), "yes", "no")
    return pl.DataFrame({"a": a, "b": b, "c": c, "d": d})


def shares(column: Any) -> pd.Series[float]:
    return pd.Series(list(column)).value_counts(normalize=True, dropna=False)


def variation(p: Any, q: Any) -> float:
    """Total variation of two columns, by pandas."""
    return float(shares(p).sub(shares(q), fill_value=0).abs().sum() / 2)


# --- column_shapes ---


def test_shapes_are_those_of_scipy_and_pandas() -> None:
    x, y = table(300, 0), table(200, 1, shift=0.3)
    found = column_shapes(x, y, resamples=2)
    expected = {name: float(ks_2samp(x[name], y[name]).statistic) for name in "ab"}
    expected |= {name: variation(x[name], y[name]) for name in "cd"}
    assert found.extra["columns"] == pytest.approx(expected, abs=1e-12)
    assert found.value == pytest.approx(np.mean(list(expected.values())), abs=1e-12)


def test_numbers_with_point_masses_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x, y = (np.maximum(0, rng.normal(s, 1, size=n)).round(1) for s, n in ((-0.5, 400), (0.0, 300)))
    found = column_shapes(pl.DataFrame({"a": x}), pl.DataFrame({"a": y}), resamples=2)
    assert found.value == pytest.approx(float(ks_2samp(x, y).statistic), abs=1e-12)


def test_a_number_with_ten_values_is_a_category_and_with_eleven_a_number() -> None:
    for values in (10, 11):
        x = np.repeat(np.arange(values), 10)
        y = x - x % 2  # every second value moves by one
        found = column_shapes(pl.DataFrame({"a": x}), pl.DataFrame({"a": y}), resamples=2)
        smirnov = float(ks_2samp(x, y).statistic)
        assert variation(x, y) > 4 * smirnov
        assert found.value == pytest.approx(smirnov if values == 11 else variation(x, y))


def test_missing_values_count() -> None:
    x = pl.DataFrame({"a": [*map(float, range(20))], "b": ["u"] * 20})
    gone = pl.DataFrame({"a": [*map(float, range(10)), *[None] * 10], "b": ["u"] * 15 + [None] * 5})
    found = column_shapes(x, gone, resamples=2)
    # Half of the numbers went beyond all others, a quarter of the categories became missing.
    assert found.extra["columns"] == pytest.approx({"a": 0.5, "b": 0.25})
    assert column_shapes(gone, gone, resamples=2).value == 0.0
    nan = gone.with_columns(pl.col("a").fill_null(float("nan")))
    assert column_shapes(x, nan, resamples=2).extra == found.extra


def test_a_new_category_counts() -> None:
    x, y = pl.DataFrame({"a": ["u", "v"] * 10}), pl.DataFrame({"a": ["u", "w"] * 10})
    assert column_shapes(x, y, resamples=2).value == pytest.approx(0.5)


# --- pair_trends ---


def naive_trends(x: pd.DataFrame, y: pd.DataFrame, numbers: set[str]) -> list[float]:
    """The definition, pair by pair, by pandas."""
    found = []
    for a, b in combinations(x.columns, 2):
        if {a, b} <= numbers:
            found.append(abs(x[a].corr(x[b]) - y[a].corr(y[b])) / 2)
        else:
            pairs = [zip(binned(t[a], x[a]), binned(t[b], x[b]), strict=True) for t in (x, y)]
            found.append(variation(*pairs))
    return found


def binned(values: Any, real: Any) -> list[Any]:
    """Ten bins of equal width over the range of the real column."""
    if real.dtype != float:
        return list(values)
    return list(np.digitize(values, np.linspace(real.min(), real.max(), 11)[1:-1]))


def test_trends_are_the_definition_pair_by_pair() -> None:
    x, y = table(300, 0), table(200, 1, shift=0.4)
    columns = [pd.DataFrame(t.to_dict(as_series=False)) for t in (x, y)]
    expected = naive_trends(columns[0], columns[1], {"a", "b"})
    found = pair_trends(x, y, resamples=2)
    assert found.value == pytest.approx(np.mean(expected), abs=1e-12)
    assert found.extra["pairs"] == 6
    named = {(a, b): value for a, b, value in found.extra["worst"]}
    assert list(named.values()) == pytest.approx(sorted(expected, reverse=True), abs=1e-12)
    assert named["a", "b"] == pytest.approx(expected[0], abs=1e-12)


def test_bins_come_from_the_real_column_alone() -> None:
    # One generated outlier: bins over both samples would put all real rows into one of them, and
    # the broken relation between number and category would not be seen.
    rng = np.random.default_rng(0)
    a = rng.random(2000)
    x = pl.DataFrame({"a": a, "b": np.where(a > 0.5, "high", "low")})
    y = pl.DataFrame({"a": np.append(a[1:], 1e6), "b": rng.permutation(x["b"].to_numpy())})
    found = pair_trends(x, y, resamples=2)
    # The relation is perfect in one and absent in the other: half of the mass moves.
    assert found.value == pytest.approx(0.5, abs=4 * 0.5 / 2000**0.5)


def test_correlations_use_the_rows_where_both_are_there() -> None:
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)), columns=list("abc"))
    y = pd.DataFrame(rng.normal(size=(150, 3)), columns=list("abc"))
    x = x.mask(rng.random(x.shape) < 0.2)
    expected = naive_trends(x, y, {"a", "b", "c"})  # pandas leaves incomplete pairs out as well
    assert pair_trends(x, y, resamples=2).value == pytest.approx(np.mean(expected), abs=1e-12)


def test_a_constant_correlates_with_nothing() -> None:
    x = table(100, 0)
    flat = x.with_columns(a=pl.lit(3.0))
    named = {(a, b): v for a, b, v in pair_trends(x, flat, resamples=2).extra["worst"]}
    assert named["a", "b"] == pytest.approx(abs(x.select(pl.corr("a", "b")).item()) / 2)


def test_large_joint_tables_are_counted_as_small_ones() -> None:
    rng = np.random.default_rng(0)
    many = {c: [f"{c}{i}" for i in rng.integers(1500, size=3000)] for c in "ab"}
    x, y = pl.DataFrame(many), pl.DataFrame(many).with_columns(pl.col("a").shuffle(seed=0))
    expected = variation(x.rows(), y.rows())
    assert pair_trends(x, y, resamples=2).value == pytest.approx(expected, abs=1e-12)


def test_wide_tables_are_measured_on_some_pairs() -> None:
    rng = np.random.default_rng(0)
    x = pl.DataFrame({f"c{i}": rng.normal(size=50) for i in range(40)})
    found = pair_trends(x, x, pairs=100, resamples=2)
    assert (found.extra["pairs"], found.value) == (100, 0.0)


# --- both ---


@pytest.mark.parametrize("ruler", [column_shapes, pair_trends])
def test_null_p_value_and_interval_without_a_difference(ruler: Any) -> None:
    found = [
        ruler(table(80, 2 * i), table(60, 2 * i + 1), resamples=19, seed=i) for i in range(150)
    ]
    gaps = np.array([m.value - m.null for m in found])
    assert abs(gaps.mean()) < 4 * gaps.std() / 150**0.5
    # 0.111 is the 95 % quantile of the distance for 150 values, 1/20 the step of the p-values.
    assert kstest([m.p_value for m in found], "uniform").statistic < 0.111 + 1 / 20
    # 95 % of 150 are 142.5; fewer than 134 have a probability of 0.3 %.
    assert sum(m.low <= 0 for m in found) >= 134


@pytest.mark.parametrize(("ruler", "truth"), [(column_shapes, 0.1161), (pair_trends, 0.1341)])
def test_intervals_hold_the_truth(ruler: Any, truth: float) -> None:
    # The truth is that of two million rows; for pairs with the bins of 200 rows, which changes it
    # by 0.0007 from one real sample to the next.
    pairs = [(table(200, 2 * i), table(150, 2 * i + 1, shift=0.5)) for i in range(200)]
    found = [ruler(x, y, resamples=12, seed=i) for i, (x, y) in enumerate(pairs)]
    # At a true coverage of 95 % fewer than 180 hits of 200 have a probability of 0.1 %. The noise
    # that is taken off is the pooled rows', so intervals may be too wide: there is no upper bound.
    assert sum(m.low <= truth <= m.high for m in found) >= 180


@pytest.mark.parametrize("ruler", [column_shapes, pair_trends, utility])
def test_any_data_frame_in_any_order_gives_the_same(ruler: Any) -> None:
    x, y = table(100, 0), table(90, 1)
    expected = ruler(x, y)
    wide = y.select("d", "a", "c", "b")
    assert ruler(x, wide) == expected
    assert ruler(*(pd.DataFrame(t.to_dict(as_series=False)) for t in (x, y))) == expected
    coded = [t.with_columns(pl.col("c").cast(pl.Categorical)) for t in (x, y)]
    assert ruler(*coded) == expected
    assert ruler(x, y, seed=1) != expected


def test_every_kind_of_column_is_taken() -> None:
    n = 40
    rng = np.random.default_rng(0)
    x = pl.DataFrame(
        {
            "integer": rng.integers(1000, size=n),
            "flag": rng.random(n) < 0.5,
            "day": pl.Series(rng.integers(20_000, size=n)).cast(pl.Int32).cast(pl.Date),
            "moment": pl.Series(rng.integers(10**15, size=n)).cast(pl.Datetime("us")),
            "clock": pl.Series(rng.integers(10**13, size=n)).cast(pl.Time),
            "none": pl.Series([None] * n, dtype=pl.String),
            "constant": ["c"] * n,
            "text": [str(i) for i in range(n)],
        }
    )
    for ruler in (column_shapes, pair_trends):
        assert ruler(x, x, resamples=2).value == 0.0
        found = ruler(x, x.sample(n, seed=0, with_replacement=True), resamples=5)
        assert 0 < found.value < 1
    matrix = association(x).to_numpy()
    assert np.isfinite(matrix).all()
    assert (np.diag(matrix) == 1).all()


@pytest.mark.skipif(not ADULT.exists(), reason="needs the Adult table in ../shared/data")
def test_adult_holdout_has_its_known_values() -> None:
    train, test = (pl.read_csv(ADULT / f"adult-{part}.csv") for part in ("train", "test"))
    start = time.process_time()
    shape, trend = column_shapes(train, test), pair_trends(train, test)
    assert time.process_time() - start < 4  # 0.8 s
    assert shape.value == pytest.approx(0.012, abs=0.0005)
    assert trend.value == pytest.approx(0.029, abs=0.0005)
    for found in (shape, trend):
        assert found.null == pytest.approx(found.value, rel=0.1)
        assert found.p_value is not None
        assert found.p_value > 0.05


# --- association ---


def test_association_is_that_of_scipy() -> None:
    x = table(400, 0)
    matrix = association(x)
    assert matrix.columns == x.columns
    values = matrix.to_numpy()
    assert values == pytest.approx(values.T)
    assert values[0, 1] == pytest.approx(np.corrcoef(x["a"], x["b"])[0, 1])
    counts = pd.crosstab(np.array(x["c"]), np.array(x["d"])).to_numpy()
    assert values[2, 3] == pytest.approx(scipy_association(counts, method="cramer"))
    cut = np.array(binned(x["a"].to_numpy(), x["a"].to_numpy()))
    counts = pd.crosstab(cut, np.array(x["d"])).to_numpy()
    assert values[0, 3] == pytest.approx(scipy_association(counts, method="cramer"))


def test_association_takes_kinds_and_bins_from_another_table() -> None:
    x, y = table(200, 0), table(5, 1)
    assert association(y, like=x).shape == (4, 4)
    assert association(x, like=x).equals(association(x))


# --- bad input ---

GOOD = table(30, 0)
INFINITE = GOOD.with_columns(
    a=pl.when(pl.int_range(pl.len()) == 3).then(float("inf")).otherwise(0.0)
)


@pytest.mark.parametrize("ruler", [column_shapes, pair_trends, utility])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((30, 2)), np.zeros((30, 2)), r"takes data frames.*ndarray.*mmd"),
        (GOOD, None, "takes data frames"),
        (GOOD, GOOD.drop("b", "c"), "lacks b, c and has beside them none"),
        (GOOD, GOOD.with_columns(e=pl.lit(1)), "lacks none and has beside them e"),
        (GOOD, GOOD.with_columns(a=pl.lit("text")), "'a' must have one type.*Float64, String"),
        (GOOD, INFINITE, "'a' holds infinite values"),
        (GOOD, GOOD.head(1), r"at least .* rows, and they have \[30, 1\]"),
        (GOOD, GOOD.head(0), r"they have \[30, 0\]"),
        (pl.DataFrame(), pl.DataFrame(), "no columns"),
    ],
)
def test_bad_tables_are_refused(ruler: Any, x: Any, y: Any, message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        ruler(x, y)


def test_one_column_has_no_pairs() -> None:
    with pytest.raises(MeasureError, match="at least two columns"):
        pair_trends(GOOD.select("a"), GOOD.select("a"))
