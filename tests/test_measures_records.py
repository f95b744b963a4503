"""Measures of copies and the 1-NN test: naive loops, SciPy, closed forms, coverage, bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom, mannwhitneyu
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import (
    Measurement,
    authenticity,
    closest_record,
    memorisation,
    nearest_neighbour_test,
)
from pushforward.measures.neighbours import _copying
from samples import normal32


def to(a: Tensor, others: Tensor) -> list[float]:
    return [float((a.double() - b.double()).norm()) for b in others]


def naive_authenticity(x: Tensor, y: Tensor) -> float:
    authentic = 0
    for row in y:
        distances = to(row, x)
        i = distances.index(min(distances))
        authentic += distances[i] > min(to(x[i], torch.cat([x[:i], x[i + 1 :]])))
    return authentic / len(y)


def test_authenticity_is_the_loop() -> None:
    x, y = normal32(40, 3, 0), normal32(25, 3, 1, shift=0.5)
    y[:5] = x[:5] + 1e-3
    assert authenticity(x, y, train=x).value == pytest.approx(naive_authenticity(x, y))


def test_authenticity_looks_up_real_rows_by_real_indices() -> None:
    # Real rows: 30 far apart (spacing 100), then 30 close together (spacing 1). Generated rows are
    # 10 from a real one, first those beside the close ones: they are authentic (10 > 1), the
    # others are not (10 < 100).
    x = torch.cat([100 * torch.arange(30.0), 1e4 + torch.arange(30.0)])[:, None]
    y = torch.cat([torch.full((20,), 1e4 + 39), 10 + 100 * torch.arange(10.0)])[:, None]
    assert authenticity(x, y, train=x).value == pytest.approx(naive_authenticity(x, y))
    assert authenticity(x, y, train=x).value == pytest.approx(20 / 30)
    # Others look up the spacing of the real row with the *generated* row's number.
    spacing = (x - x.T).abs().fill_diagonal_(torch.inf).min(1).values
    wrong = spacing[: len(y)] < (x - y.T).abs().min(0).values
    assert wrong.double().mean() == 0.0


def test_copies_are_not_authentic_even_of_rows_that_are_there_twice() -> None:
    x = normal32(50, 4, 0).repeat(2, 1)
    found = authenticity(x, x[:30], train=x)
    assert (found.value, found.extra["exact_copies"]) == (0.0, 1.0)
    x = normal32(50, 4, 0)
    near = authenticity(x, x + 1e-3, train=x)
    assert (near.value, near.extra["exact_copies"]) == (0.0, 0.0)


def test_authenticity_looks_at_training_rows_and_not_at_held_out_ones() -> None:
    train, held_out, y = normal32(50, 3, 0), normal32(40, 3, 1), normal32(30, 3, 2)
    found = authenticity(held_out, y, train=train)
    assert found.value == authenticity(train, y, train=train).value
    assert (found.n, found.m, found.extra["training_rows"]) == (40, 30, 50)
    assert authenticity(held_out, train, train=train).value == 0.0


@pytest.mark.parametrize(("d", "share"), [(1, 2 / 3), (2, 0.62150), (3, 16 / 27)])
def test_null_of_authenticity_is_the_share_of_mutual_neighbours(d: int, share: float) -> None:
    # Of uniform points: a ball's volume by that of its union with a second one, whose centre is on
    # its surface. Four standard errors of a share of 20,000 rows that come in pairs, 0.005 each,
    # and 0.01 for rows at the edge.
    rng = torch.Generator().manual_seed(d)
    samples = [torch.rand(4000, d, generator=rng).double() for _ in range(5)]
    nulls = [float(authenticity(rows, rows[:3], train=rows).null or 0) for rows in samples]
    assert np.mean(nulls) == pytest.approx(1 - share, abs=4 * 0.005 + 0.01)


def test_null_of_authenticity_is_what_new_real_rows_give() -> None:
    samples = [(normal32(60, 3, 2 * i), normal32(60, 3, 2 * i + 1)) for i in range(200)]
    found = [authenticity(y, y, train=train) for train, y in samples]
    gaps = np.array([m.value - float(m.null or 0) for m in found])
    # Four standard errors, and that the null is for 59 rows and not 60.
    assert abs(gaps.mean()) < 4 * gaps.std() / 200**0.5 + 0.002


def naive_closest(x: Tensor, y: Tensor, train: Tensor) -> float:
    points = [np.sign(min(to(row, x)) - min(to(row, train))) for row in y]
    return float(np.mean(points)) / 2 + 0.5


def test_closest_record_is_the_loop() -> None:
    x, y, train = normal32(30, 3, 0), normal32(25, 3, 1), normal32(30, 3, 2)
    assert closest_record(x, y, train=train).value == pytest.approx(naive_closest(x, y, train))
    rng = torch.Generator().manual_seed(0)  # with ties
    x, y, train = (torch.randint(0, 3, (n, 2), generator=rng) for n in (20, 30, 20))
    found = closest_record(x, y, train=train)
    assert found.value == pytest.approx(naive_closest(x, y, train))
    assert found.extra["exact_copies"] == np.mean([min(to(r, train)) == 0 for r in y])
    assert found.extra["exact_copies_held_out"] == np.mean([min(to(r, train)) == 0 for r in x])


def test_closest_record_tells_distances_in_the_unit_of_the_data() -> None:
    x, y, train = (1e-3 * normal32(40, 2, seed).double() for seed in range(3))
    found = closest_record(x, y, train=train).extra
    for name, rows in (("distance_train", train), ("distance_held_out", x)):
        nearest = np.array([min(to(row, rows)) for row in y])
        expected = dict(zip(("5 %", "median"), np.quantile(nearest, [0.05, 0.5]), strict=True))
        assert found[name] == pytest.approx(expected)


def test_references_of_other_sizes_are_made_equal() -> None:
    # Without that, ten times as many training rows would be the nearer ones of 91 %.
    x, y, train = normal32(100, 2, 0), normal32(400, 2, 1), normal32(1000, 2, 2)
    found = closest_record(x, y, train=train)
    assert found.extra["references"] == {"each": 100, "train": 1000, "held_out": 100}
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high
    assert naive_closest(x, y[:50], train) > 0.8


def test_permutations_of_closest_record_are_exchanges_of_rows() -> None:
    # The share for every exchange of training and held-out rows, by its definition.
    x, y, train = normal32(4, 1, 0), normal32(9, 1, 1), normal32(4, 1, 2)
    shares = set()
    for mask in range(16):
        swapped = torch.tensor([bool(mask >> i & 1) for i in range(4)])[:, None]
        shares.add(
            round(
                naive_closest(torch.where(swapped, train, x), y, torch.where(swapped, x, train)), 9
            )
        )
    near = [(torch.tensor([min(to(r, t)) for r in y]), nearest(y, t)) for t in (train, x)]
    found = _copying.nearer_share(near[0], near[1], 4, 500, torch.Generator().manual_seed(0))
    assert {round(v, 9) for v in found.permuted.tolist()} == shares


def nearest(y: Tensor, rows: Tensor) -> Tensor:
    return torch.tensor([int(np.argmin(to(r, rows))) for r in y])


def test_memorisation_in_one_cell_is_the_mann_whitney_test() -> None:
    x, y, train = normal32(60, 2, 0), normal32(45, 2, 1, 0.5), normal32(50, 2, 2)
    held, fake = (np.array([min(to(r, train)) for r in s]) for s in (x, y))
    expected = mannwhitneyu(
        fake, held, alternative="less", method="asymptotic", use_continuity=False
    )
    spread = (60 * 45 * 106 / 12) ** 0.5
    found = memorisation(x, y, train=train, cells=1)
    assert found.value == pytest.approx((expected.statistic - 60 * 45 / 2) / spread)
    assert found.p_value == pytest.approx(expected.pvalue)


def test_ties_are_taken_off_the_variance() -> None:
    rng = np.random.default_rng(0)
    held, fake = rng.integers(0, 4, 40).astype(float), rng.integers(0, 4, 30).astype(float)
    p = mannwhitneyu(fake, held, alternative="less", method="asymptotic", use_continuity=False)
    score = _copying.mann_whitney_z(held, fake)
    assert torch.special.ndtr(torch.tensor(score)).item() == pytest.approx(p.pvalue)
    assert _copying.mann_whitney_z(np.ones(30), np.ones(30)) == 0.0


def left(rows: Tensor) -> Tensor:
    return rows[rows[:, 0] < 15]


def right(rows: Tensor) -> Tensor:
    return rows[rows[:, 0] > 15]


def test_memorisation_is_the_weighted_mean_over_cells() -> None:
    x, y, train = (
        torch.cat([normal32(60, 2, s), normal32(n, 2, s + 9, 30.0)])
        for s, n in ((0, 90), (1, 40), (2, 70))
    )
    found = memorisation(x, y, train=train, cells=2)
    scores = []
    for part in (left, right):
        h, f = (np.array([min(to(r, part(train))) for r in part(s)]) for s in (x, y))
        u = mannwhitneyu(f, h).statistic
        scores.append(
            (u - len(h) * len(f) / 2) / (len(h) * len(f) * (len(h) + len(f) + 1) / 12) ** 0.5
        )
    assert sorted(found.extra["cells"]) == pytest.approx(sorted(scores))
    assert found.value == pytest.approx(60 / 150 * scores[0] + 90 / 150 * scores[1])


def test_memorisation_tells_copies_from_underfitting() -> None:
    x, train = normal32(200, 3, 0), normal32(200, 3, 1)
    copies = memorisation(x, train + 0.1 * normal32(200, 3, 2), train=train)
    assert copies.value < -5
    assert copies.p_value is not None
    assert copies.p_value < 1e-6
    blurred = memorisation(x, 1.5 * normal32(200, 3, 2), train=train)
    assert blurred.value > 2
    assert blurred.extra["underfitting_p_value"] < 1e-3


def naive_accuracy(x: Tensor, y: Tensor) -> tuple[float, float]:
    rows, labels = torch.cat([x, y]), [0] * len(x) + [1] * len(y)
    hits = []
    for i, row in enumerate(rows):
        distances = to(row, rows)
        distances[i] = float("inf")
        hits.append(labels[int(np.argmin(distances))] == labels[i])
    return float(np.mean(hits[: len(x)])), float(np.mean(hits[len(x) :]))


def test_nearest_neighbour_test_is_the_loop() -> None:
    x, y = normal32(40, 2, 0), normal32(40, 2, 1, shift=1.0)
    found = nearest_neighbour_test(x, y)
    real, fake = naive_accuracy(x, y)
    assert found.value == pytest.approx((real + fake) / 2)
    assert found.extra == {"accuracy_real": real, "accuracy_generated": fake}


def test_null_of_the_nearest_neighbour_test_is_exact() -> None:
    found = [
        nearest_neighbour_test(
            normal32(8, 2, 2 * i), normal32(8, 2, 2 * i + 1), permutations=19, seed=i
        )
        for i in range(600)
    ]
    values = np.array([m.value for m in found])
    assert found[0].null == 7 / 15
    # Four standard errors; 1/2, which knows no sizes, is 0.033 off: seven of them.
    assert abs(values.mean() - 7 / 15) < 4 * values.std() / 600**0.5
    assert 4 * values.std() / 600**0.5 < 0.03


def test_equally_near_rows_favour_no_side() -> None:
    rows = torch.zeros(400, 2)
    found = nearest_neighbour_test(rows, rows)
    assert found.value == pytest.approx(199 / 399, abs=4 * 0.5 / 400**0.5)
    assert found.extra["accuracy_real"] < 0.9


P_VALUES: dict[str, Callable[[int], Measurement]] = {
    # A reference of as many rows as in use, and four generated rows for each: the binomial test,
    # which takes reference rows for fixed, finds copies in 27 % of these.
    "closest_record": lambda i: closest_record(
        normal32(40, 20, 3 * i),
        normal32(160, 20, 3 * i + 1),
        train=normal32(40, 20, 3 * i + 2),
        permutations=99,
        seed=i,
    ),
    "memorisation": lambda i: memorisation(
        normal32(100, 2, 3 * i),
        normal32(80, 2, 3 * i + 1),
        train=normal32(100, 2, 3 * i + 2),
        cells=2,
        resamples=0,
        seed=i,
    ),
    "nearest_neighbour_test": lambda i: nearest_neighbour_test(
        normal32(30, 3, 2 * i), normal32(30, 3, 2 * i + 1), permutations=99, seed=i
    ),
}


@pytest.mark.parametrize("name", list(P_VALUES))
def test_p_values_hold_their_level(name: str) -> None:
    found = [P_VALUES[name](i) for i in range(200)]
    low = sum(m.p_value is not None and m.p_value <= 0.1 for m in found)
    # The binomial distribution's 0.05 % and 99.95 % quantiles.
    assert binom.ppf(0.0005, 200, 0.1) <= low <= binom.ppf(0.9995, 200, 0.1)
    if name == "closest_record":
        fixed = sum(binom.sf(m.value * 160 - 1, 160, 0.5) <= 0.1 for m in found)
        assert fixed > binom.ppf(0.9995, 200, 0.1)


def test_closed_form_of_closest_record_at_equal_sizes() -> None:
    values = np.array([P_VALUES["closest_record"](i).value for i in range(200)])
    assert abs(values.mean() - 0.5) < 4 * values.std() / 200**0.5


@pytest.mark.parametrize("unit", [1e-200, 1e100])
def test_units_do_not_matter(unit: float) -> None:
    x, y, train = (normal32(60, 2, seed).double() for seed in range(3))
    measures: list[Callable[[float], Measurement]] = [
        lambda u: authenticity(u * x, u * y, train=u * train),
        lambda u: closest_record(u * x, u * y, train=u * train),
        lambda u: nearest_neighbour_test(u * x, u * y),
        lambda u: memorisation(u * x, u * y, train=u * train, cells=1),
    ]
    for measure in measures:
        assert measure(unit).value == pytest.approx(measure(1.0).value)


WITH_TRAIN: dict[str, Callable[..., Measurement]] = {
    "authenticity": authenticity,
    "closest_record": closest_record,
    "memorisation": memorisation,
}


@pytest.mark.parametrize("name", list(WITH_TRAIN))
@pytest.mark.parametrize(
    ("train", "options", "message"),
    [
        (torch.zeros(40, 3), {}, "columns of the others, 2, and has 3"),
        (torch.zeros(1, 2), {}, "training rows, and was given 1"),
        (torch.full((40, 2), torch.nan), {}, "training sample has NaN"),
        (torch.zeros(40, 2), {"chunk": 0}, "chunk must be at least 1"),
    ],
)
def test_bad_training_samples_are_refused(
    name: str, train: Tensor, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        WITH_TRAIN[name](normal32(40, 2, 0), normal32(40, 2, 1), train=train, **options)


def test_other_bad_input_is_refused() -> None:
    x = normal32(40, 2, 0)
    with pytest.raises(MeasureError, match="needs 3 training rows"):
        authenticity(x, x, train=x[:2])
    with pytest.raises(MeasureError, match="at least 5 rows on each side"):
        nearest_neighbour_test(x[:4], x)
    with pytest.raises(MeasureError, match="cells must be at least 1"):
        memorisation(x, x, train=x, cells=0)
    with pytest.raises(MeasureError, match="none of 2 cells has 20 held-out and 20 generated rows"):
        memorisation(x, x + 100, train=torch.cat([x, x + 100]), cells=2)


def test_all_rows_equal_gives_what_no_difference_gives() -> None:
    rows = torch.ones(30, 2)
    assert closest_record(rows, rows, train=rows).value == 0.5
    assert memorisation(rows, rows, train=rows).value == 0.0
    found = authenticity(rows, rows, train=rows)
    assert found.value == found.null == 0.0


def test_limits_and_features() -> None:
    x, y, train = normal32(90, 2, 0), normal32(40, 2, 1), normal32(80, 2, 2)
    found = closest_record(x, y, train=train, limit=50, features=lambda v: v[:, :1], seed=1)
    assert found.extra["references"] == {"each": 50, "train": 50, "held_out": 50}
    assert found.rows_used == "50 of 90 real and 40 of 40 generated rows"
    alone = closest_record(x[:, :1], y[:, :1], train=train[:, :1], limit=50, seed=1)
    assert alone.value == found.value


def test_the_verdict_on_near_copies_is_right_without_any() -> None:
    """Many generated rows do not make a verdict of what a few training rows happen to be like."""
    samples = [(normal32(200, 3, 2 * i), normal32(2000, 3, 2 * i + 1)) for i in range(60)]
    readings = [authenticity(y, y, train=train).reading for train, y in samples]
    # At 2.5 % a side, 7 or more of 60 have a probability of 0.03 %; the generated rows' own
    # interval alone gives 15 or more.
    assert sum("fewer" in r for r in readings) < 7
    assert sum("more are" in r for r in readings) < 7


def test_rows_that_sit_on_the_other_side_are_noticed() -> None:
    x = normal32(100, 3, 0)
    found = nearest_neighbour_test(x, x + 1e-6 * normal32(100, 3, 1))
    assert found.value < 0.1
    assert found.high is not None
    assert found.null is not None
    assert found.high < found.null
