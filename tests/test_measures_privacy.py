"""Privacy measures: naive loops, closed forms for copies, chance level, tables of users."""

from __future__ import annotations

from datetime import date
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.stats import fisher_exact

import pushforward as pf
from pushforward.comparison.decide import decide
from pushforward.comparison.findings import COPIES
from pushforward.errors import MeasureError
from pushforward.measures import (
    CAVEAT,
    PRIVACY,
    Measurement,
    Scorecard,
    closest_record,
    exact_matches,
    measure,
    membership_inference,
)
from pushforward.measures.privacy import copying
from samples import normal


def people(n: int, seed: int) -> pl.DataFrame:
    """A table of every kind of column, with few enough values that rows repeat."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "age": _picked(rng, [20, 21, 22, None], n),
            "pay": _picked(rng, [0.1 + 0.2, 0.3, 1e9], n),
            "job": _picked(rng, ["a", "b", None], n),
            "born": _picked(rng, [date(2000, 1, 1), date(2000, 1, 2)], n),
            "here": _picked(rng, [True, False], n),
        }
    )


def _picked(rng: np.random.Generator, values: list[Any], n: int) -> pl.Series:
    return pl.Series([values[i] for i in rng.integers(len(values), size=n)])


# --- exact matches ---


def test_exact_matches_is_the_loop() -> None:
    x, y, train = (people(n, seed) for seed, n in enumerate((150, 200, 40)))
    found = exact_matches(x, y, train=train)
    known = set(train.rows())
    hits, chance = (sum(row in known for row in side.rows()) for side in (y, x))
    assert 0 < hits < 200, "a test of something"
    assert (found.value, found.null) == (hits / 200, chance / 150)
    assert found.extra["matches"] == hits
    assert found.extra["held_out_matches"] == chance
    assert found.extra["repeated"] == len(set(y.rows()) & known)
    counts = np.array([[hits, 200 - hits], [chance, 150 - chance]])
    outcome = fisher_exact(counts, alternative="greater")
    assert found.p_value == pytest.approx(outcome.pvalue)


def test_rows_are_equal_only_where_all_digits_are() -> None:
    train = pl.DataFrame({"a": [0.3, 1.0, None], "b": ["x", "y", None]})
    near = pl.DataFrame({"a": [0.1 + 0.2, 1.0, None], "b": ["x", "Y", "x"]})
    same = pl.DataFrame({"b": ["x", "y", None], "a": [0.3, 1.0, None]})
    assert exact_matches(near, near, train=train).value == 0.0
    assert exact_matches(near, same, train=train).value == 1.0


def test_wide_tables_need_more_than_one_code_of_a_row() -> None:
    """With 40 columns of 1,000 values, one number cannot hold all combinations."""
    rng = np.random.default_rng(0)
    train = rng.random((1000, 40))
    y = np.concatenate([train[:300], train[300:600]])
    y[300:, 39] = train[:300, 39]  # all columns but one
    found = exact_matches(rng.random((50, 40)), y, train=train)
    assert (found.value, found.null) == (0.5, 0.0)


def test_pandas_and_polars_tables_and_matrices_are_alike() -> None:
    x, y, train = (people(60, seed).drop("born", "job") for seed in range(3))
    expected = exact_matches(x, y, train=train)
    frames = [pd.DataFrame(t.to_dict(as_series=False)) for t in (x, y, train)]
    assert exact_matches(frames[0], frames[1], train=frames[2]) == expected
    whole = [t.fill_null(0).cast(pl.Float64) for t in (x, y, train)]
    arrays = [t.to_numpy() for t in whole]
    assert exact_matches(arrays[0], arrays[1], train=arrays[2]).value == (
        exact_matches(whole[0], whole[1], train=whole[2]).value
    )


def test_excess_is_newcombes_interval() -> None:
    # Newcombe 1998, table II, method 10: 56/70 against 48/80, [0.0524, 0.3339].
    train = pl.DataFrame({"a": [1.0]})
    y = pl.DataFrame({"a": [1.0] * 56 + [0.0] * 14})
    x = pl.DataFrame({"a": [1.0] * 48 + [0.0] * 32})
    extra = exact_matches(x, y, train=pl.concat([train, train])).extra
    assert extra["excess"] == pytest.approx(0.2)
    assert extra["excess_low"] == pytest.approx(0.0524, abs=5e-5)
    assert extra["excess_high"] == pytest.approx(0.3339, abs=5e-5)


def test_copies_beyond_chance_are_found_and_chance_is_none() -> None:
    x, y, train = (people(400, seed) for seed in range(3))
    by_chance = exact_matches(x, y, train=train)
    assert by_chance.value > 0
    assert by_chance.p_value is not None
    assert by_chance.p_value > 0.05
    rare = normal(400, 2, 0).numpy(), normal(400, 2, 1).numpy(), normal(400, 2, 2).numpy()
    few = np.concatenate([rare[2][:8], rare[1][8:]])
    none = exact_matches(rare[0], rare[1], train=rare[2])
    assert (none.value, none.null, none.p_value) == (0.0, 0.0, 1.0)
    found = exact_matches(rare[0], few, train=rare[2])
    assert found.value == 0.02
    assert found.p_value == pytest.approx(comb(792, 392) / comb(800, 400))
    assert "p = 0.0038" in found.reading
    assert exact_matches(rare[2], few, train=rare[2]).null == 1.0


def test_exact_matches_refuses_tables_that_do_not_fit() -> None:
    x = people(30, 0)
    with pytest.raises(MeasureError, match="same columns"):
        exact_matches(x, x, train=x.drop("pay"))
    with pytest.raises(MeasureError, match="at least 2 rows"):
        exact_matches(x, x, train=x[:1])
    with pytest.raises(MeasureError, match="training sample has NaN"):
        exact_matches(normal(9, 2, 0), normal(9, 2, 1), train=torch.full((9, 2), torch.nan))


# --- membership inference ---


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_copied_share_gives_its_closed_form(share: float) -> None:
    """A copied row is at distance 0, before all new ones; the others are as near as new ones."""
    values = []
    for seed in range(5):
        x, y, train = (normal(n, 4, 3 * seed + i) for i, n in enumerate((300, 300, 600)))
        copies = torch.rand(600, generator=torch.Generator().manual_seed(seed)) < share
        fake = torch.cat([train[copies], y])
        values.append(membership_inference(x, fake, train=train, seed=seed).value)
    # Of one area: the share's own variance over 150 rows, and half of it at most by Mann-Whitney's
    # on 150 rows a side.
    error = (0.25 * share * (1 - share) / 150 + (1 - share) ** 2 / (6 * 150)) ** 0.5
    assert np.mean(values) == pytest.approx((1 + share) / 2, abs=4 * error / 5**0.5 + 1e-12)


def test_noisy_copies_are_found_and_new_rows_are_not() -> None:
    x, y, train = (normal(n, 5, seed) for seed, n in enumerate((400, 400, 800)))
    noisy = membership_inference(x, train + 0.1 * normal(800, 5, 9), train=train)
    assert noisy.value > 0.95
    assert noisy.p_value is not None
    assert noisy.p_value < 1e-9
    honest = membership_inference(x, y, train=train)
    assert honest.low is not None
    assert honest.high is not None
    assert honest.low < 0.5 < honest.high


def test_choosing_the_strongest_attack_adds_no_optimism() -> None:
    found = [
        membership_inference(
            normal(60, 3, 3 * i), normal(60, 3, 3 * i + 1), train=normal(120, 3, 3 * i + 2), seed=i
        )
        for i in range(40)
    ]
    values = np.array([m.value for m in found])
    error = (1 / (6 * 30) / 40) ** 0.5  # Mann-Whitney's, of 30 rows a side, and 40 times
    assert abs(values.mean() - 0.5) < 4 * error
    chosen = np.array([max(m.extra["attacks"].values()) for m in found])
    assert chosen.mean() > 0.5 + 4 * error, "on the half that chose, it would be"
    for rate, expected in found[0].extra["guessing"].items():
        rates = np.array([m.extra["true_positive_rate"][rate] for m in found])
        assert rates.mean() == pytest.approx(expected, abs=4 * rates.std() / 40**0.5)
    p_values = np.array([m.p_value for m in found], dtype=float)
    # Corrected, so at most the binomial distribution's 99.95 % quantile of 40 at 0.1.
    assert (p_values <= 0.1).sum() <= 11


def test_densities_against_a_reference_see_what_distances_do_not() -> None:
    """Half the data is a thin cloud: its rows are far from all, whether they were seen or not."""
    wide = torch.tensor([0.01, 100.0]).repeat(400)[:, None]
    x, train = wide[:400] * normal(400, 3, 0), wide * normal(800, 3, 1)
    fake = train + 0.2 * wide * normal(800, 3, 2)
    found = membership_inference(x, fake, train=train).extra
    assert found["reference"] == 400
    areas = found["attacks"]
    against = [areas[name] for name in areas if "against" in name]
    alone = list(areas.values())[:3]  # which look at generated rows only
    error = (1 / (6 * 200)) ** 0.5  # Mann-Whitney's, of 200 rows a side
    assert max(against) > 0.5 + 4 * error
    assert max(against) > max(alone) + 2 * error
    assert found["attack"] in areas


def test_membership_takes_what_is_left_over_as_its_reference() -> None:
    few, many = normal(40, 2, 0), normal(130, 2, 1)
    y = normal(60, 2, 2)
    for x, train in ((few, many), (many, few)):
        found = membership_inference(x, y, train=train).extra
        assert found["reference"] == 60  # as many as were generated, of the other 90
        sizes = {"training": len(train), "held_out": len(x)}
        assert found["candidates"] == {side: n if n == 40 else 70 for side, n in sizes.items()}
        assert len(found["attacks"]) == 8
    alone = membership_inference(few, y, train=few).extra
    assert alone["reference"] == 0
    assert len(alone["attacks"]) == 3
    with pytest.raises(MeasureError, match="at most the 60 generated rows"):
        membership_inference(few, y, train=many, k=61)
    with pytest.raises(MeasureError, match="20 training rows, and was given 19"):
        membership_inference(few, y, train=many[:19])


# --- the panel ---


def test_the_panel_is_in_the_scorecard_of_a_table_with_training_rows() -> None:
    x, y, train = (people(n, seed) for seed, n in enumerate((80, 100, 150)))
    card = measure(x, y, train=train)
    assert list(card)[-3:] == list(PRIVACY)
    assert CAVEAT in card.notes
    assert any(", ".join(PRIVACY) in note for note in card.notes)
    assert not set(PRIVACY) & set(measure(x, y))
    with pytest.raises(MeasureError, match="exact_matches needs the rows that the generator"):
        measure(x, y, measures="exact_matches")
    copies = measure(x, train[:100], train=train, measures=PRIVACY)
    assert copies["exact_matches"].value == 1.0


def test_training_rows_are_all_looked_at_in_a_comparison() -> None:
    data = pf.read(people(1000, 0).with_columns(amount=np.random.default_rng(1).normal(size=1000)))
    train, test = data.subset("train"), data.subset("test")
    scorer = pf.measures.Scorer(data, copies=True, measures=["exact_matches"])
    for rows in (train[0][:100], train[0][-100:]):
        assert scorer.score(test, (rows, None))["exact_matches"].value == 1.0
    assert scorer.score(test, data.subset("validation"))["exact_matches"].value == 0.0


def card(mmd: float, **p_values: float) -> Scorecard:
    made = {"mmd": Measurement("mmd", mmd, mmd - 0.01, mmd + 0.01, aspect="joint structure")}
    made |= {n: Measurement(n, 0.6, null=0.5, p_value=p) for n, p in p_values.items()}
    return Scorecard(made)


def test_privacy_has_no_vote_and_leaks_are_named() -> None:
    leaky = [card(0.1, membership_inference=0.001, closest_record=p) for p in (0.02, 0.6)]
    tight = [card(0.1, membership_inference=0.5, closest_record=0.4) for _ in range(2)]
    references = {"ceiling": card(0.0), "floor": card(0.2)}
    decision = decide({"a": leaky, "b": tight}, references)
    assert {own.measure for own in decision.losses} == {"mmd"}
    named = [found for found in decision.findings if found.code == COPIES]
    assert [(found.model, found.vetoes) for found in named] == [("a", "model")]
    assert "membership inference" in named[0].evidence
    assert "closest record" not in named[0].evidence


# --- one alarm from all tests ---


def with_p_values(*p_values: float | None) -> list[Measurement]:
    return [Measurement("", 0.5, p_value=p) for p in p_values]


def test_the_alarm_is_corrected_for_tests_and_seeds() -> None:
    assert copying({}) is None
    assert copying({"closest_record": with_p_values(None)}) is None
    one = copying({"closest_record": with_p_values(0.02), "energy": with_p_values(0.0001)})
    assert one is not None
    assert (one.measures, one.p_values) == (("closest_record",), {"closest_record": 0.02})
    # Three tests: 3 x 0.008 < 0.025 < 3 x 0.009.
    both = {"exact_matches": with_p_values(0.008), "closest_record": with_p_values(0.009)}
    found = copying(both | {"membership_inference": with_p_values(1.0)})
    assert found is not None
    assert found.measures == ("exact_matches",)
    assert list(found.p_values) == list(PRIVACY)
    # Two seeds: twice the mean of their p-values.
    assert copying({"closest_record": with_p_values(0.01, 0.01)}) is not None
    assert copying({"closest_record": with_p_values(0.01, 0.02)}) is None


def accused(copied: int, seed: int, seeds: int = 1) -> bool:
    """Whether a generator of 100 rows of N(0, I5) is accused, some of them training rows."""
    x, train = normal(100, 5, 9 * seed), normal(300, 5, 9 * seed + 1)
    measured: dict[str, list[Measurement]] = {name: [] for name in PRIVACY}
    for i in range(seeds):
        y = torch.cat([train[:copied], normal(100 - copied, 5, 9 * seed + 2 + i)])
        measured["membership_inference"].append(membership_inference(x, y, train=train, seed=i))
        measured["closest_record"].append(closest_record(x, y, train=train, seed=i))
        measured["exact_matches"].append(exact_matches(x, y, train=train))
    return copying(measured) is not None


def test_copiers_are_accused_and_others_are_not() -> None:
    # With a chance of 1/40 each, four or more of 20 have one of 0.002; measured rates are in the
    # docstring of `copying`.
    assert sum(accused(0, seed) for seed in range(20)) < 4
    assert all(accused(copied, seed=0) for copied in (10, 50, 100))
    assert accused(50, seed=0, seeds=2)


def flattened(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1)


@pytest.mark.parametrize("kind", ["image", "array"])
def test_a_copier_is_noticed_by_the_measures_of_a_comparison(kind: str) -> None:
    rng = np.random.default_rng(0)
    rows: np.ndarray[Any, Any] = rng.normal(size=(600, 3))
    if kind == "image":
        rows = rng.integers(0, 256, (600, 8, 8), dtype=np.uint8)
    data = pf.read(rows, split=(0.4, 0.2, 0.4))
    scorer = pf.measures.Scorer(data, copies=True, features=flattened)  # which trains no encoder
    names = ("membership_inference", "closest_record")
    assert set(names) <= set(scorer.measures)
    scorer = pf.measures.Scorer(data, measures=names, features=flattened)
    test, train = data.subset("test"), data.subset("train")
    copier = scorer.score(test, train)
    honest = scorer.score(test, data.subset("validation"))
    assert copying({name: [m] for name, m in copier.items()}) is not None
    assert copying({name: [m] for name, m in honest.items()}) is None
