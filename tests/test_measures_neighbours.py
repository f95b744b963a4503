"""Neighbour measures: naive loops, the `prdc` package, exact expectations, ties, bad input."""

from __future__ import annotations

import contextlib
import io
import statistics
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from scipy.stats import betabinom
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import (
    Measurement,
    Scorecard,
    _search,
    clipped_coverage,
    clipped_density,
    coverage,
    density,
    prdc,
    precision,
    recall,
)
from samples import normal32

MEASURES: dict[str, Callable[..., Measurement]] = {
    "precision": precision,
    "recall": recall,
    "density": density,
    "coverage": coverage,
    "clipped_density": clipped_density,
    "clipped_coverage": clipped_coverage,
}
FOUR = list(MEASURES)[:4]


def quick(x: Any, y: Any, **options: Any) -> Scorecard:
    return prdc(x, y, **{"splits": 0, "resamples": 0} | options)


def values(card: Scorecard, names: list[str] = FOUR) -> list[float]:
    return [card[name].value for name in names]


def naive(x: Tensor, y: Tensor, k: int) -> dict[str, float]:
    """The six definitions, by loops over pairs in float64."""
    x, y = x.double(), y.double()

    def radius(points: Tensor, i: int) -> float:
        others = [float((points[i] - p).norm()) for j, p in enumerate(points) if j != i]
        return sorted(others)[k - 1]

    real = [[float((a - b).norm()) <= radius(x, i) for b in y] for i, a in enumerate(x)]
    fake = [[float((b - a).norm()) <= radius(y, j) for a in x] for j, b in enumerate(y)]
    in_real, in_fake = np.array(real), np.array(fake)
    radii = [radius(x, i) for i in range(len(x))]
    small = [min(r, statistics.median(radii)) for r in radii]
    near = [[float((a - b).norm()) <= r for b in y] for a, r in zip(x, small, strict=True)]
    own = [
        [float((a - b).norm()) <= r and i != j for j, b in enumerate(x)]
        for i, (a, r) in enumerate(zip(x, small, strict=True))
    ]
    good, scale = (np.minimum(1, np.array(v).sum(0) / k).mean() for v in (near, own))
    return {
        "precision": in_real.any(0).mean(),
        "recall": in_fake.any(0).mean(),
        "density": in_real.sum(0).mean() / k,
        "coverage": in_real.any(1).mean(),
        "clipped_density": min(1.0, good / scale),
        "clipped_coverage": calibrated(np.minimum(k, in_real.sum(1)).mean() / k, len(x), len(y), k),
    }


def calibrated(filled: float, n: int, m: int, k: int) -> float:
    """The inverse of E min(k, S) / k over numbers of good rows, by SciPy's beta-binomial."""
    sizes = range(m + 1)
    expected = [betabinom(g, k, n - k).expect(lambda s: np.minimum(s, k)) / k for g in sizes]
    return float(np.interp(filled, expected, np.arange(m + 1) / m))


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("n", [24, 25])
def test_all_six_are_the_loops(k: int, n: int) -> None:
    x, y = normal32(n, 3, 0), normal32(18, 3, 1, shift=0.5)
    found = quick(x, y, k=k)
    assert {name: m.value for name, m in found.items()} == pytest.approx(naive(x, y, k))


def test_all_six_are_the_loops_with_ties() -> None:
    # Rows of a small grid: most distances are shared, and so are most rows.
    rng = torch.Generator().manual_seed(0)
    x, y = (torch.randint(0, 4, (n, 2), generator=rng) for n in (30, 22))
    found = quick(x, y, k=2)
    assert {name: m.value for name, m in found.items()} == pytest.approx(naive(x, y, 2))


@pytest.mark.parametrize("d", [1, 2, 20])
@pytest.mark.parametrize("chunk", [None, 7])
def test_all_four_are_those_of_the_prdc_package(d: int, chunk: int | None) -> None:
    x, y = normal32(300, d, 0), normal32(200, d, 1, shift=0.7)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        expected = compute_prdc(x.double().numpy(), y.double().numpy(), 5)
    found = quick(x, y, chunk=chunk)
    assert {name: found[name].value for name in FOUR} == pytest.approx(expected)


@pytest.mark.parametrize("name", list(MEASURES))
def test_each_measure_alone_is_one_of_the_six(name: str) -> None:
    x, y = normal32(60, 2, 0), normal32(50, 2, 1)
    assert MEASURES[name](x, y, seed=3) == prdc(x, y, seed=3)[name]


def test_precision_and_recall_are_not_swapped() -> None:
    # Real rows lie at two modes, the generator makes one of them: what it makes is good, and half
    # of the data is missing.
    real = torch.cat([normal32(200, 2, 0), normal32(200, 2, 1, shift=50.0)])
    fake = normal32(400, 2, 2)
    found = quick(real, fake)
    assert found["precision"].value > 0.95
    assert found["recall"].value == pytest.approx(0.5, abs=0.03)
    assert found["coverage"].value == pytest.approx(0.5, abs=0.03)
    # And a generator with a mode of its own: half of what it makes is bad, nothing is missing.
    found = quick(fake, real)
    assert found["precision"].value == pytest.approx(0.5, abs=0.03)
    assert found["recall"].value > 0.95


@pytest.mark.parametrize(("n", "m", "d"), [(60, 60, 1), (80, 40, 3), (40, 80, 10)])
def test_density_and_coverage_have_their_exact_expectations(n: int, m: int, d: int) -> None:
    k, repetitions = 5, 300
    found = [quick(normal32(n, d, 2 * i), normal32(m, d, 2 * i + 1)) for i in range(repetitions)]
    truth = {
        "density": 1.0,
        "coverage": 1 - prod((n - 1 - i) / (n + m - 1 - i) for i in range(k)),
    }
    for name, expected in truth.items():
        values = np.array([card[name].value for card in found])
        # Four standard errors of the mean over the repetitions.
        assert abs(values.mean() - expected) < 4 * values.std() / repetitions**0.5
    null = prdc(normal32(n, d, 0), normal32(m, d, 1), splits=0, resamples=0)
    assert {name: null[name].null for name in truth} == pytest.approx(truth)


@pytest.mark.parametrize(("good", "n", "m"), [(40, 80, 100), (70, 60, 100), (100, 90, 100)])
def test_clipped_values_are_the_share_of_good_rows(good: int, n: int, m: int) -> None:
    # The other rows are far away. The fill of the balls has an exact expectation; its inverse is
    # nearly linear, so that the values have the share for theirs, up to half their variance.
    repetitions = 150
    bad = torch.full((m - good, 3), 1e4)
    cards = [
        quick(normal32(n, 3, 2 * i), torch.cat([normal32(good, 3, 2 * i + 1), bad]))
        for i in range(repetitions)
    ]
    for name in ("clipped_density", "clipped_coverage"):
        raw = np.array([card[name].extra["unclipped"] for card in cards])
        # Four standard errors, and 0.01 for the curvature of the ratio and of the inverse.
        assert abs(raw.mean() - good / m) < 4 * raw.std() / repetitions**0.5 + 0.01


@pytest.mark.parametrize("n", [50, 200, 203])
def test_the_null_itself_is_neither_above_nor_below(n: int) -> None:
    # Of constant rows every value is the null, which is rounded in another way.
    rows = torch.ones(n, 2)
    found = prdc(rows, rows)["density"]
    assert found.value == pytest.approx(found.null)
    assert found.reading == f"{n / 5:.3f}; null {n / 5:.3f}"


def test_one_outlier_raises_density_and_not_the_clipped_one() -> None:
    # A few real rows far out have huge balls, and what is generated lies there.
    real = torch.cat([normal32(200, 2, 0), 40 * normal32(6, 2, 1)])
    found = quick(real, normal32(100, 2, 2, shift=12.0))
    assert found["density"].value > 0.15
    assert found["clipped_density"].value < 0.02


def test_nulls_without_a_formula_are_what_no_difference_gives() -> None:
    cards = [
        prdc(normal32(80, 8, 2 * i), normal32(60, 8, 2 * i + 1), resamples=0) for i in range(60)
    ]
    for name in ("clipped_density", "clipped_coverage"):
        gaps = np.array([card[name].value - float(card[name].null or 0) for card in cards])
        assert abs(gaps.mean()) < 4 * gaps.std() / 60**0.5
        assert max(card[name].value for card in cards) == 1.0
    for name in ("precision", "recall"):
        gaps = np.array([card[name].value - float(card[name].null or 0) for card in cards])
        assert abs(gaps.mean()) < 4 * gaps.std() / 60**0.5
        assert 0.7 < cards[0][name].value < 0.97  # far from where nothing could be told


@pytest.mark.parametrize(("n", "m"), [(80, 160), (160, 40)])
def test_the_null_does_not_depend_on_the_generator(n: int, m: int) -> None:
    real = normal32(n, 4, 0)
    good, bad = (prdc(real, normal32(m, 4, 1, shift=s), resamples=0) for s in (0.0, 9.0))
    assert [good[name].null for name in MEASURES] == [bad[name].null for name in MEASURES]
    assert bad["precision"].value < 0.1
    assert (bad["precision"].null or 0) > 0.5


def test_the_null_of_copies_is_what_two_samples_of_copies_give() -> None:
    """Twelve places, visited by all rows: of 80 rows, no ball among 6.7 copies has a radius."""
    cards = []
    for seed in range(60):
        rng = torch.Generator().manual_seed(seed)
        x, y = (torch.randint(12, (size, 1), generator=rng).float() for size in (80, 60))
        cards.append(prdc(x, y, resamples=0))
    for name in ("precision", "recall", "density", "coverage"):
        gaps = np.array([card[name].value - float(card[name].null or 0) for card in cards])
        # Four standard errors; splits have half of the sizes, which a copy more or less shifts.
        assert abs(gaps.mean()) < 4 * gaps.std() / 60**0.5 + 0.03 * cards[0][name].value, name


@pytest.fixture(scope="module")
def repeated() -> list[Scorecard]:
    """The same comparison of other rows, 200 times."""
    pairs = [(normal32(100, 5, 2 * i), normal32(80, 5, 2 * i + 1, 0.5)) for i in range(200)]
    return [prdc(x, y, splits=0, resamples=10, seed=i) for i, (x, y) in enumerate(pairs)]


# At a true coverage of 95 %, 200 repetitions hold the truth in fewer than 180 or more than 198 with
# a probability of 0.1 % and 0.05 %. Where intervals are cut off at 1, near the truth, only their
# lower ends miss: at 97.5 %, 199 or 200 have a probability of 4 %.
@pytest.mark.parametrize("name", list(MEASURES))
def test_intervals_hold_the_expectation_at_these_sizes(
    repeated: list[Scorecard], name: str
) -> None:
    raw = [card[name].extra.get("unclipped", card[name].value) for card in repeated]
    truth = float(np.mean(raw))
    intervals = [card[name].interval for card in repeated]
    held = sum(low <= truth <= high for low, high in filter(None, intervals))
    assert 180 <= held <= (200 if name.startswith("clipped") else 198)


@pytest.mark.parametrize("columns", [9, 143, 144, 163, 1000])
def test_the_smallest_values_are_found_by_the_minima_of_groups(columns: int) -> None:
    values = torch.randint(300, (40, columns), generator=torch.Generator().manual_seed(0)).float()
    values[:, ::7] = torch.inf  # with ties, too
    found, index = _search._smallest(values, 9)
    assert torch.equal(found, values.sort(1).values[:, :9])
    assert torch.equal(values.gather(1, index), found)
    assert all(len(row.unique()) == 9 for row in index)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("itself", [True, False])
def test_neighbours_are_exact_where_float32_is_not(seed: int, itself: bool) -> None:
    # Far from the origin and close together: float32 products of these rows have errors as large as
    # the distances between them.
    rng = np.random.default_rng(seed)
    points = torch.from_numpy(1000 + 1e-3 * rng.normal(size=(400, 6)))
    points[0] = -1000  # an outlier, so that centring alone does not help
    queries = points if itself else torch.from_numpy(1000 + 1e-3 * rng.normal(size=(50, 6)))
    exact = (queries[:, None] - points[None]).square().sum(2)
    if itself:
        exact.fill_diagonal_(torch.inf)
    expected = exact.sort(1)
    found = _search.nearest(queries, points, 4, chunk=64, itself=itself)
    assert torch.equal(found.index, expected.indices[:, :4])
    torch.testing.assert_close(found.squared, expected.values[:, :4], rtol=1e-12, atol=0)


def exactly(queries: Tensor, reference: Tensor, k: int, itself: bool = False) -> Tensor:
    """Squared distances to the k nearest, by differences."""
    squared = (queries.double()[:, None] - reference.double()[None]).square().sum(2)
    if itself:
        squared.fill_diagonal_(torch.inf)
    return squared.sort(1).values[:, :k]


HARD: dict[str, Callable[[Tensor], Tensor]] = {
    # Of 400 standard normal rows in 4 columns:
    "a large offset": lambda x: x + 1e6,
    "copies": lambda x: x[torch.arange(400) // 40],
    "near copies": lambda x: x[torch.arange(400) // 100] + 1e-9 * x,
    "one point": torch.zeros_like,
    "clusters far apart": lambda x: x + 1e10 * (torch.arange(400) % 2)[:, None],
    "clusters of other sizes": lambda x: x * 10.0 ** (torch.arange(400) % 4 * 4 - 12)[:, None],
    "an outlier": lambda x: torch.cat([1e-12 * x[:-1], torch.ones_like(x[:1])]),
    "close to the largest": lambda x: 1e140 * x,
}


@pytest.mark.parametrize("case", list(HARD))
@pytest.mark.parametrize("chunk", [None, 37])
def test_neighbours_and_balls_are_exact_on_hard_cases(case: str, chunk: int | None) -> None:
    rng = torch.Generator().manual_seed(0)
    points = HARD[case](torch.randn(400, 4, generator=rng).double())
    queries = HARD[case](torch.randn(400, 4, generator=rng).double())[:150]
    among = _search.nearest(points, points, 5, chunk=chunk, itself=True)
    assert torch.equal(among.squared, exactly(points, points, 5, itself=True))
    assert (among.index != torch.arange(400)[:, None]).all()
    found = _search.nearest(queries, points, 3, chunk=chunk)
    assert torch.equal(found.squared, exactly(queries, points, 3))
    assert torch.equal(
        _search.squared_distance(queries[:, None], points[found.index]), found.squared
    )
    radii = among.squared[:, -1]
    sets = [radii, radii.clamp(max=float(radii.median()))]
    squared = (queries[:, None] - points[None]).square().sum(2)
    for balls, limits in zip(_search.balls(queries, points, *sets, chunk=chunk), sets, strict=True):
        inside = squared <= limits[None]
        assert torch.equal(balls.of_point, inside.sum(1))
        assert torch.equal(balls.of_ball, inside.sum(0))


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_with_fewer_digits_are_made_up_for(precision: str) -> None:
    # What "medium" may do on some processors: products of bfloat16, that is, of 8 digits.
    points = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    prepare = _search._Product._prepare
    kept = torch.get_float32_matmul_precision()

    def rounded(self: _search._Product, x: Tensor, dtype: torch.dtype) -> Tensor:
        exact = prepare(self, x, dtype)
        coarse = precision == "medium" and dtype == torch.float32
        return exact.bfloat16().float() if coarse else exact

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_search._Product, "_prepare", rounded)
        try:
            torch.set_float32_matmul_precision(precision)
            found = _search.nearest(points, points, 4, chunk=None, itself=True)
        finally:
            torch.set_float32_matmul_precision(kept)
    assert torch.equal(found.squared, exactly(points, points, 4, itself=True))


def test_points_on_the_edge_of_a_ball_are_inside() -> None:
    # Distances of a grid are shared by many pairs; the closed ball holds all of them.
    grid = torch.cartesian_prod(*[torch.arange(6.0)] * 3) / 10
    radii = _search.nearest(grid, grid, 6, chunk=50, itself=True).squared[:, -1]
    (found,) = _search.balls(grid, grid, radii, chunk=50)
    exact = (grid.double()[:, None] - grid.double()[None]).square().sum(2) <= radii[:, None]
    assert torch.equal(found.of_ball, exact.sum(1))
    assert torch.equal(found.of_point, exact.sum(0))


def test_balls_around_points_are_those_of_changed_places() -> None:
    points, centres = normal32(70, 3, 0), normal32(50, 3, 1)
    of_centres, of_points = torch.rand(50).double() + 0.5, 3 * torch.rand(70).double()
    first, last = _search.balls(points, centres, of_centres, chunk=11, of_points=of_points)
    (expected,) = _search.balls(points, centres, of_centres, chunk=None)
    (swapped,) = _search.balls(centres, points, of_points, chunk=None)
    for found, answer in ((first, expected), (last, swapped)):
        assert torch.equal(found.of_point, answer.of_point)
        assert torch.equal(found.of_ball, answer.of_ball)


@pytest.mark.parametrize("unit", [2.0**-1000, 1e-200, 1e-30, 1e30])
def test_units_do_not_matter(unit: float) -> None:
    x, y = normal32(60, 4, 0).double(), normal32(50, 4, 1, shift=0.5).double()
    expected = [m.value for m in quick(x, y).values()]
    assert [m.value for m in quick(unit * x, unit * y).values()] == expected


def test_memory_is_bounded_by_the_chunk() -> None:
    sizes: list[int] = []
    product = _search._Product.__call__

    def watched(self: _search._Product, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sizes.append(len(queries))
        return product(self, queries)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_search._Product, "__call__", watched)
        quick(normal32(300, 2, 0), normal32(200, 2, 1), chunk=11)
    assert max(sizes) == 11


def test_copies_of_real_rows_lie_in_their_balls() -> None:
    x = normal32(50, 3, 0)
    found = quick(x, x.clone())
    assert found["precision"].value == found["recall"].value == found["coverage"].value == 1.0


def test_point_masses_are_matched_and_have_a_null_of_their_own() -> None:
    # All rows of both samples at one point: every ball has radius 0 and holds everything.
    found = prdc(torch.ones(20, 2), torch.ones(30, 2))
    assert values(found, list(MEASURES)) == [1.0, 1.0, 20 / 5, 1.0, 1.0, 1.0]
    assert [m.null for m in found.values()] == [1.0, 1.0, 4.0, 1.0, 1.0, 1.0]
    apart = quick(torch.ones(20, 2), torch.zeros(20, 2))
    assert values(apart, list(MEASURES)) == [0.0] * 6


def test_a_collapsed_generator_is_dense_and_covers_little() -> None:
    found = quick(normal32(200, 20, 0), 0.3 * normal32(200, 20, 1))
    assert found["precision"].value == 1.0
    assert found["density"].value > 2
    assert found["recall"].value < 0.05
    assert quick(normal32(200, 2, 0), 0.01 * normal32(200, 2, 1))["coverage"].value < 0.1


def test_seeds_sizes_and_readings() -> None:
    x, y = normal32(90, 2, 0), normal32(40, 2, 1)
    found = prdc(x, y, limit=50, seed=1)
    assert found == prdc(x, y, limit=50, seed=1)
    assert found["recall"] != prdc(x, y, limit=50, seed=2)["recall"]
    assert (found["recall"].n, found["recall"].m) == (50, 40)
    assert found["recall"].rows_used == "50 of 90 real and 40 of 40 generated rows"
    assert [found[name].better for name in FOUR] == ["higher", "higher", "null", "higher"]


@pytest.mark.parametrize("measure", [prdc, *MEASURES.values()])
@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (torch.zeros(11, 2), torch.zeros(50, 2), {}, "at least 12 rows on each side"),
        (torch.zeros(50, 2), torch.zeros(50, 3), {}, "same columns"),
        (torch.zeros(50, 2), torch.full((50, 2), torch.nan), {}, "generated sample has NaN"),
        (torch.zeros(50, 2), torch.zeros(50, 2), {"k": 0}, "k must be at least 1"),
        (torch.zeros(50, 2), torch.zeros(50, 2), {"chunk": 0}, "chunk must be at least 1"),
    ],
)
def test_bad_input_is_refused(
    measure: Callable[..., object], x: Tensor, y: Tensor, options: dict[str, int], message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        measure(x, y, **options)
