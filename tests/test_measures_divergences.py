"""KL and JS from samples: naive loops, closed forms, the normal CDF, known mistakes, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import norm
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import Measurement, histogram_js, histogram_kl, knn_kl
from pushforward.measures.samples import _binned
from samples import normal

JS = {0.5: 0.030311, 1.0: 0.111421, 2.0: 0.336831, 4.0: 0.632720}  # N(0, 1) and N(shift, 1), nats


def naive_knn(x: Tensor, y: Tensor, k: int) -> float:
    total = 0.0
    for i, a in enumerate(x.numpy()):
        others = np.sort([np.linalg.norm(a - b) for j, b in enumerate(x.numpy()) if j != i])
        fakes = np.sort([np.linalg.norm(a - b) for b in y.numpy()])
        total += x.shape[1] * math.log(fakes[k - 1] / others[k - 1])
    return total / len(x) + math.log(len(y) / (len(x) - 1))


@pytest.mark.parametrize(("n", "m", "d", "k"), [(15, 20, 3, 2), (30, 14, 1, 5)])
def test_knn_kl_is_the_double_loop(n: int, m: int, d: int, k: int) -> None:
    x, y = normal(n, d, 0), normal(m, d, 1, shift=0.5)
    found = knn_kl(x, y, k=k, permutations=0, resamples=0)
    assert found.value == pytest.approx(naive_knn(x, y, k), abs=1e-10)
    assert found.extra["reverse"] == pytest.approx(naive_knn(y, x, k), abs=1e-10)
    assert found.extra["jeffreys"] == found.value + found.extra["reverse"]
    assert (found.interval, found.null, found.p_value) == (None, None, None)


def test_the_reading_warns_where_the_generated_rows_do_not_reach() -> None:
    wide, narrow = normal(1000, 1, 0, scale=2.0), normal(1000, 1, 1)
    short = knn_kl(wide, narrow, permutations=1)
    # Beyond the outermost of 1,000 rows of N(0, 1), near 3.2, lie 2 F(-1.6) = 11 % of N(0, 4), of
    # which those right outside are still within reach.
    assert 0.02 < short.extra["beyond"] < 0.11
    assert f"{short.extra['beyond']:.1%}" in short.reading
    same = knn_kl(normal(1000, 1, 2), narrow, permutations=1)
    assert same.extra["beyond"] < 0.02
    assert f"{same.extra['beyond']:.1%}" not in same.reading


@pytest.mark.parametrize(
    ("shift", "scale", "truth", "reverse"), [(1.0, 1.0, 0.5, 0.47), (0.0, 2.0, 0.318147, 0.55)]
)
def test_knn_kl_of_gaussians(shift: float, scale: float, truth: float, reverse: float) -> None:
    x, y = normal(3000, 1, 0), normal(3000, 1, 1, shift, scale)
    found = knn_kl(x, y, permutations=0, resamples=0, limit=None)
    # Standard errors over seeds: 0.017, and 0.03 for a shift and the reverse. A wrong factor or
    # direction is off by 0.16 or more; a lost log m/(n - 1) is for the double loop to find.
    assert found.value == pytest.approx(truth, abs=0.1)
    # The reverse has a bias that its docstring tells: 0.806853 is the truth of the second.
    assert found.extra["reverse"] == pytest.approx(reverse, abs=0.12)


def test_knn_kl_of_copies_counts_them() -> None:
    # Wholly discrete: the ratio of the shares, with the row itself left out of its own sample.
    x = torch.tensor([0.0] * 30 + [1.0] * 10)
    y = torch.tensor([0.0] * 20 + [1.0] * 20)
    expected = 0.75 * math.log(29 / 39 / 0.5) + 0.25 * math.log(9 / 39 / 0.5)
    found = knn_kl(x, y, permutations=5, resamples=0)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.extra["copies"] == 1.0
    assert "100.0%" in found.reading


def test_knn_kl_marks_too_many_columns() -> None:
    found = knn_kl(normal(40, 6, 0), normal(40, 6, 1), permutations=2, resamples=2)
    assert found.extra["too_many_columns"]
    few = knn_kl(normal(40, 5, 0), normal(40, 5, 1), permutations=2, resamples=2)
    assert not few.extra["too_many_columns"]


def test_knn_kl_of_no_difference_is_about_zero() -> None:
    values = [
        knn_kl(normal(60, 2, 2 * i), normal(90, 2, 2 * i + 1), permutations=0, resamples=0)
        for i in range(60)
    ]
    each = np.array([m.value for m in values])
    assert each.mean() == pytest.approx(0.0, abs=4 * each.std() / math.sqrt(60))


def binned_truth(pooled: Tensor, bins: int, shift: float, kind: str) -> float:
    """The divergence of N(0, 1) and N(shift, 1) in the measure's own bins, by the normal CDF."""
    inner = _binned.edges(pooled[:, 0], bins).numpy()
    cuts = np.concatenate([[-np.inf], inner, [np.inf]])
    p, q = np.diff(norm.cdf(cuts)), np.diff(norm.cdf(cuts - shift))
    if kind == "kl":
        return float((p * np.log(p / q)).sum())
    mixture = (p + q) / 2
    return float((p * np.log(p / mixture) + q * np.log(q / mixture)).sum() / 2)


@pytest.mark.parametrize("shift", list(JS))
def test_histogram_js_of_shifts(shift: float) -> None:
    x, y = normal(20_000, 1, 0), normal(20_000, 1, 1, shift)
    found = histogram_js(x, y, limit=None, permutations=39)
    assert found.interval is not None
    binned = binned_truth(torch.cat([x, y]), found.extra["cells"], shift, "js")
    assert binned < JS[shift] < binned + 0.002  # fine bins lose little, and always lose
    # The interval's width is four standard errors: at most 0.012 here.
    assert abs(found.value - binned) < found.interval[1] - found.interval[0] < 0.012


def test_histogram_kl_of_a_shift() -> None:
    x, y = normal(20_000, 1, 0), normal(20_000, 1, 1, 1.0)
    found = histogram_kl(x, y, limit=None, permutations=39)
    assert found.interval is not None
    binned = binned_truth(torch.cat([x, y]), found.extra["cells"], 1.0, "kl")
    assert 0.49 < binned < 0.5
    assert abs(found.value - binned) < found.interval[1] - found.interval[0] < 0.06
    assert found.extra["jeffreys"] == pytest.approx(1.0, abs=0.06)


def test_two_columns_see_what_each_alone_does_not() -> None:
    x, y = normal(4000, 2, 0), normal(4000, 2, 1)
    y[:, 1] = 0.8 * y[:, 0] + 0.6 * y[:, 1]
    both, alone = histogram_kl(x, y), histogram_kl(x[:, 1:], y[:, 1:])
    # KL(N(0, I), N(0, R)) with correlation 0.8 is 1.78 - 0.51 = 1.267; coarse bins show a part.
    assert 0.6 < both.value < 1.267
    assert alone.interval is not None
    assert alone.interval[0] < 0.01


def test_js_of_disjoint_samples_is_log_two() -> None:
    # scipy's distance of normalised histograms is 0.833; a library that adds 1 to each of their 10
    # bins first gets 0.124.
    x, y = torch.zeros(50), torch.ones(50)
    p, q = np.eye(10)[0], np.eye(10)[1]
    assert jensenshannon(p + 1, q + 1) == pytest.approx(0.124, abs=5e-4)
    found = histogram_js(x, y)
    assert found.extra["distance"] == pytest.approx(jensenshannon(p, q), abs=1e-12)
    assert found.extra["distance"] == pytest.approx(0.833, abs=5e-4)
    assert found.value == pytest.approx(math.log(2), abs=1e-12)


def test_js_of_integers_is_scipys() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = (
        torch.multinomial(torch.tensor(p), 400, True, generator=rng).double()
        for p in ([0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4])
    )
    p, q = (np.bincount(side.long().numpy(), minlength=4) for side in (x, y))
    a, b = (torch.from_numpy(counts).double() for counts in (p, q))
    plug_in = histogram_js(x, y).value + float(_binned.js_bias(a, b))
    assert plug_in == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-12)


def drawn(p: list[float], n: int, repetitions: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).multinomial(n, p, repetitions)).double()


@pytest.mark.parametrize("of", [_binned.kl, _binned.js])
def test_estimates_from_counts_are_unbiased(of: Callable[[Tensor, Tensor], Tensor]) -> None:
    p, q = [0.5, 0.2, 0.2, 0.1], [0.2, 0.2, 0.3, 0.3]
    shares = torch.tensor([p, q]).double()
    middle = shares.mean(0)
    truth = float((shares[0] * (shares[0] / shares[1]).log()).sum())
    if of is _binned.js:
        truth = float((shares * (shares / middle).log()).sum() / 2)
    each = of(drawn(p, 80, 20_000, 0), drawn(q, 60, 20_000, 1))
    # Four standard errors: 0.003 for KL; the plug-in's bias is 0.04 (KL) and 0.01 (JS).
    error = float(each.std()) / math.sqrt(20_000)
    assert float(each.mean()) == pytest.approx(truth, abs=4 * error + 2e-4)


@pytest.mark.parametrize(
    ("of", "variance"), [(_binned.kl, _binned.kl_variance), (_binned.js, _binned.js_variance)]
)
def test_variances_are_those_of_repeated_draws(
    of: Callable[[Tensor, Tensor], Tensor], variance: Callable[[Tensor, Tensor], Tensor]
) -> None:
    p, q = [0.5, 0.2, 0.2, 0.1], [0.2, 0.2, 0.3, 0.3]
    a, b = drawn(p, 2000, 4000, 0), drawn(q, 1500, 4000, 1)
    expected = float(variance(2000 * torch.tensor(p).double(), 1500 * torch.tensor(q).double()))
    # The variance of 4,000 values is known to 2.2 %; second-order terms are below 2 %.
    assert float(of(a, b).var()) == pytest.approx(expected, rel=0.1)


def test_an_empty_bin_is_finite_and_told() -> None:
    x, y = torch.tensor([0.0, 1.0] * 20), torch.zeros(30)
    found = histogram_kl(x, y)
    harmonic = sum(1 / i for i in range(1, 31))
    psi = [float(torch.digamma(torch.tensor(v).double())) for v in (20, 40, 31)]
    expected = (psi[0] - psi[1]) + 0.5 * harmonic  # H_30 where none is generated, 0 where all are
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.extra["unmet"] == 0.5


@pytest.mark.parametrize("measure", [knn_kl, histogram_kl, histogram_js])
def test_constants_and_scales(measure: Callable[..., Measurement]) -> None:
    same = measure(torch.ones(40), torch.ones(40))
    assert same.value == pytest.approx(0.0, abs=1e-12)
    assert same.p_value == 1
    x, y = normal(60, 1, 0), normal(60, 1, 1, 0.5)
    plain = measure(x, y, permutations=3)
    for unit in (1e-120, 1e120):
        assert measure(unit * x, unit * y, permutations=3).value == pytest.approx(plain.value)
    assert measure(x, y, seed=3) == measure(x, y, seed=3)


@pytest.mark.parametrize(
    ("measure", "x", "options", "said"),
    [
        (knn_kl, torch.zeros(30, 2), {}, "same columns"),
        (knn_kl, torch.zeros(8, 1), {}, "at least 12 rows"),
        (knn_kl, torch.zeros(30, 1), {"k": 0}, "k must be at least 1"),
        (histogram_kl, torch.zeros(30, 2), {}, "same columns"),
        (histogram_js, torch.full((30, 1), math.inf), {}, "NaN or infinity"),
        (histogram_js, torch.zeros(30, 1), {"bins": 1}, "bins must be at least 2"),
        (histogram_kl, torch.zeros(4, 1), {}, "at least 5 rows"),
    ],
)
def test_bad_input_is_told(
    measure: Callable[..., Measurement], x: Tensor, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(MeasureError, match=said):
        measure(x, torch.zeros(30, 1), **options)


def test_histograms_take_no_more_than_two_columns() -> None:
    with pytest.raises(MeasureError, match="one or two columns, and was given 3"):
        histogram_kl(normal(30, 3, 0), normal(30, 3, 1))
