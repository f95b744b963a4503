"""Train on synthetic, test on real: scikit-learn as reference, and what breaks a generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score

from pushforward.errors import MeasureError
from pushforward.measures import utility
from pushforward.measures.tables import _columns
from samples import table


def coded(frame: pl.DataFrame) -> Any:
    return np.stack([frame["a"], frame["b"], frame["c"].rank("dense") - 1], 1)


def test_utility_is_that_of_scikit_learn() -> None:
    test, fake, train = table(600, 0), table(500, 1, shift=0.5), table(500, 2)
    found = utility(test, fake, train=train, target="d")
    areas = []
    for rows in (fake, train):
        model = HistGradientBoostingClassifier(
            categorical_features=[False, False, True], random_state=0
        ).fit(coded(rows), rows["d"].to_numpy() == "yes")
        scores = model.predict_proba(coded(test))[:, 1]
        areas.append(roc_auc_score(test["d"].to_numpy() == "yes", scores))
    assert (found.value, found.null) == pytest.approx(tuple(areas), abs=1e-12)
    assert found.extra["difference"] == pytest.approx(areas[0] - areas[1], abs=1e-12)
    assert found.extra["target"] == "d"
    assert (found.unit, found.better) == ("AUC", "higher")


def test_utility_of_a_number_is_r_squared() -> None:
    test, fake = table(600, 0), table(500, 1)
    found = utility(test, fake, target="b")
    rows = [
        np.stack([t["a"], t["c"].rank("dense") - 1, t["d"].rank("dense") - 1], 1)
        for t in (fake, test)
    ]
    model = HistGradientBoostingRegressor(categorical_features=[False, True, True], random_state=0)
    expected = r2_score(test["b"], model.fit(rows[0], fake["b"]).predict(rows[1]))
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.unit == "R²"


def test_utility_sees_a_broken_relation() -> None:
    test, fake = table(800, 0), table(800, 1)
    shuffled = fake.with_columns(pl.col("d").shuffle(seed=0))
    swapped = fake.with_columns(
        d=pl.when(pl.col("d") == "yes").then(pl.lit("no")).otherwise(pl.lit("yes"))
    )
    good, none, wrong = (utility(test, y, target="d") for y in (fake, shuffled, swapped))
    assert good.interval is not None
    assert none.interval is not None
    assert good.interval[0] > 0.7
    assert abs(none.value - 0.5) < 0.1
    assert wrong.value == pytest.approx(1 - good.value, abs=0.01)
    # Without training rows the null comes from the two halves of the real ones.
    assert good.null == pytest.approx(good.value, abs=0.05)
    assert none.extra["difference_high"] < 0
    assert good.extra["difference_low"] < 0.02


def test_utility_with_three_classes_averages_one_against_the_rest() -> None:
    rng = np.random.default_rng(0)

    def three(n: int) -> pl.DataFrame:
        a = rng.normal(size=n)
        return pl.DataFrame({"a": a, "t": np.digitize(a, [-0.5, 0.5]).astype(str)})

    found = utility(three(300), three(300), target="t")
    assert found.value > 0.99
    rare = three(300).with_columns(t=pl.lit("0"))
    assert utility(three(300), rare, target="t").value == 0.5


def test_utility_where_nothing_can_be_learned() -> None:
    test, fake = table(100, 0), table(100, 1)
    one = utility(test, fake.with_columns(d=pl.lit("yes")), target="d")
    assert one.value == 0.5
    unseen = utility(test, fake.with_columns(d=pl.lit("maybe")), target="d")
    assert unseen.value == 0.5
    flat = utility(test, fake.with_columns(b=pl.lit(0.0)), target="b")
    assert flat.value <= 0
    constant = test.with_columns(d=pl.lit("yes"))
    assert utility(constant, fake, target="d").value == 0.5
    assert "d" not in utility(constant, fake).extra["columns"]


def test_utility_with_missing_values_everywhere() -> None:
    rng = np.random.default_rng(0)

    def holes(frame: pl.DataFrame) -> pl.DataFrame:
        keep = [
            pl.when(pl.Series(rng.random(len(frame)) < 0.8)).then(pl.col(c)).alias(c)
            for c in "abcd"
        ]
        return frame.with_columns(keep)

    for target in "abcd":
        found = utility(holes(table(300, 0)), holes(table(300, 1)), target=target)
        assert np.isfinite(found.value)
        assert found.null is not None


def test_utility_takes_a_target_with_rare_classes() -> None:
    test = table(60, 0)
    rare = table(12_000, 1).with_columns(
        d=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("once")).otherwise(pl.col("d"))
    )
    assert utility(test, rare, target="d").value > 0.6


def test_bad_targets_are_refused() -> None:
    good = table(30, 0)
    with pytest.raises(MeasureError, match=r"unknown target 'dd'; did you mean 'd'"):
        utility(good, good, target="dd")
    with pytest.raises(MeasureError, match="needs a column besides the target"):
        utility(good.select("d"), good.select("d"))
    names = good.head(1).join(pl.DataFrame({"name": [str(i) for i in range(150)]}), how="cross")
    with pytest.raises(MeasureError, match="'name' has 150 classes, and at most 100"):
        utility(names, names, target="name")


def test_a_target_without_values_and_one_of_many_classes_warn_of_nothing() -> None:
    test, fake = table(40, 0), table(40, 1)
    gone = test.with_columns(a=pl.lit(None, dtype=pl.Float64))
    assert np.isfinite(utility(gone, fake, target="a").value)
    names = [t.with_columns(d=pl.Series([f"n{i}" for i in range(40)])) for t in (test, fake)]
    assert 0 <= utility(*names, target="d").value <= 1


def test_utility_needs_twenty_rows() -> None:
    with pytest.raises(MeasureError, match=r"at least 20 rows, and they have \[40, 3\]"):
        utility(table(40, 0), table(3, 1))


def test_the_null_is_learned_from_as_many_rows_as_were_generated() -> None:
    test, fake, train = table(300, 0), table(200, 1), table(4000, 2)
    some = _columns.some(train, len(fake), seed=0).to_native()
    assert (
        utility(test, fake, train=train, target="d").null == utility(test, some, target="d").value
    )


# --- without a target: every column in turn ---


def pair(n: int, seed: int, *, related: bool = True) -> pl.DataFrame:
    """A number, one that is it with noise, a category that follows it, and a number on its own."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    own = a if related else rng.normal(size=n)
    side = np.where(rng.random(n) < 1 / (1 + np.exp(-3 * own)), "u", "v")
    b = own + 0.5 * rng.normal(size=n)
    return pl.DataFrame({"a": a, "b": b, "side": side, "alone": rng.normal(size=n)})


def test_real_rows_are_worth_as_much_as_real_rows() -> None:
    found = [
        utility(pair(500, 3 * i), pair(500, 3 * i + 1), train=pair(500, 3 * i + 2))
        for i in range(6)
    ]
    values = np.array([m.value for m in found])
    # Both models learn from rows of the same distribution: four standard errors of the mean.
    assert abs(values.mean() - 1) < 4 * values.std(ddof=1) / 6**0.5
    assert values.std(ddof=1) < 0.05
    assert all(m.null == 1.0 and m.unit == "relative" for m in found)
    assert all({"a", "b", "side"} <= set(m.extra["columns"]) for m in found)
    assert sum("alone" in m.extra["unpredictable"] for m in found) >= 5


def test_columns_on_their_own_are_worth_little_and_every_broken_one_counts() -> None:
    test, train = pair(500, 0), pair(500, 1)
    good, half = pair(500, 2), pair(500, 2).with_columns(pl.col("side").shuffle(seed=0))
    none = good.select(pl.col(c).shuffle(seed=i) for i, c in enumerate(good.columns))
    values = [utility(test, y, train=train) for y in (good, half, none)]
    assert values[0].value > values[1].value + 0.15
    assert values[2].value < 0.2
    assert values[1].extra["columns"]["side"] < 0.2
    assert values[2].high is not None
    assert values[2].high < 0.5


def test_the_columns_that_count_do_not_depend_on_the_generator() -> None:
    test, train = pair(300, 0), pair(300, 1)
    found = [utility(test, pair(300, 2, related=r), train=train).extra for r in (True, False)]
    assert list(found[0]["columns"]) == list(found[1]["columns"])


def test_a_table_of_independent_columns_has_nothing_to_predict() -> None:
    rng = np.random.default_rng(0)
    tables = [pl.DataFrame(rng.normal(size=(100, 2)), schema=["a", "b"]) for _ in range(3)]
    with pytest.raises(MeasureError, match="no column can be predicted"):
        utility(tables[0], tables[1], train=tables[2])


def test_of_a_wide_table_twenty_columns_are_predicted() -> None:
    rng = np.random.default_rng(0)
    tables = [
        pl.DataFrame(rng.normal(size=(60, 1)) + 0.1 * rng.normal(size=(60, 30))) for _ in range(2)
    ]
    extra = utility(*tables).extra
    assert len(extra["columns"]) + len(extra["unpredictable"]) == 20
