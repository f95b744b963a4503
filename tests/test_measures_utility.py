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
    found = utility(test, fake, train=train)
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
    good, none, wrong = (utility(test, y) for y in (fake, shuffled, swapped))
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

    found = utility(three(300), three(300))
    assert found.value > 0.99
    rare = three(300).with_columns(t=pl.lit("0"))
    assert utility(three(300), rare).value == 0.5


def test_utility_where_nothing_can_be_learned() -> None:
    test, fake = table(100, 0), table(100, 1)
    one = utility(test, fake.with_columns(d=pl.lit("yes")))
    assert one.value == 0.5
    unseen = utility(test, fake.with_columns(d=pl.lit("maybe")))
    assert unseen.value == 0.5
    flat = utility(test, fake.with_columns(b=pl.lit(0.0)), target="b")
    assert flat.value <= 0
    constant = test.with_columns(d=pl.lit("yes"))
    assert utility(constant, fake, target="d").value == 0.5
    assert utility(constant, fake).extra["target"] == "c", "the last column that varies"


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
    assert utility(test, rare).value > 0.6


def test_bad_targets_are_refused() -> None:
    good = table(30, 0)
    with pytest.raises(MeasureError, match=r"unknown target 'dd'; did you mean 'd'"):
        utility(good, good, target="dd")
    with pytest.raises(MeasureError, match="needs a column besides the target"):
        utility(good.select("d"), good.select("d"))
    names = good.head(1).join(pl.DataFrame({"name": [str(i) for i in range(150)]}), how="cross")
    with pytest.raises(MeasureError, match="'name' has 150 classes, and at most 100"):
        utility(names, names)


def test_a_target_without_values_and_one_of_many_classes_warn_of_nothing() -> None:
    test, fake = table(40, 0), table(40, 1)
    gone = test.with_columns(a=pl.lit(None, dtype=pl.Float64))
    assert np.isfinite(utility(gone, fake, target="a").value)
    names = [t.with_columns(d=pl.Series([f"n{i}" for i in range(40)])) for t in (test, fake)]
    assert 0 <= utility(*names).value <= 1


def test_utility_needs_twenty_rows() -> None:
    with pytest.raises(MeasureError, match=r"at least 20 rows, and they have \[40, 3\]"):
        utility(table(40, 0), table(3, 1))


def test_the_null_is_learned_from_as_many_rows_as_were_generated() -> None:
    test, fake, train = table(300, 0), table(200, 1), table(4000, 2)
    some = _columns.some(train, len(fake), seed=0).to_native()
    assert utility(test, fake, train=train).null == utility(test, some).value
