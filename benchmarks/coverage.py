"""How often a measure's 95 % interval holds the truth, over repetitions on known distributions.

Between 90 % and 99 % of them must: fewer, and the interval promises what it does not keep; more,
and it says less than is known. `python benchmarks/coverage.py` does 200 repetitions of every case;
the tests do the same with the cases that are quick, and fewer of the others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from pushforward import measures as pm
from pushforward.measures import Measurement
from pushforward.measures.learned import critics
from pushforward.measures.learned._split import Split, SplitSample, split
from pushforward.measures.learned._variational import BOUNDS, F_GAN, Bound
from pushforward.measures.learned.classifier import (
    accuracy_measurement,
    classifier_score,
)
from pushforward.measures.neighbours._balls import CLIPPED
from pushforward.measures.selftest.cases import AT_THE_MEAN
from pushforward.measures.selftest.table_cases import flags, information_error

REPETITIONS = 200


@dataclass(frozen=True)
class Case:
    """One measure on one pair of known distributions.

    Args:
        truth: what the interval has to hold; or None for the mean of the values themselves (the
            expectation at these sizes), for measures whose interval is for that.
        measure: seed of a repetition -> the measurement of fresh samples.
    """

    truth: float | None
    measure: Callable[[int], Measurement]


def normal(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    """Return n rows of N(shift e1, scale^2 I), float64."""
    x = scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()
    x[:, 0] += shift
    return x


def shifted(
    measure: Callable[..., Measurement], n: int, d: int, shift: float, **options: object
) -> Callable[[int], Measurement]:
    """Return the measure on n rows of N(0, I_d) and n of N(shift e1, I_d), fresh for each seed."""

    def repetition(seed: int) -> Measurement:
        x, y = normal(n, d, 2 * seed), normal(n, d, 2 * seed + 1, shift)
        return measure(x, y, seed=seed, **options)

    return repetition


def shifted_and_scaled(
    measure: Callable[..., Measurement],
    n: int,
    d: int,
    shift: float,
    scale: float,
    **options: object,
) -> Callable[[int], Measurement]:
    """Return the measure on n rows of N(0, I_d) and n of N(shift e1, scale^2 I_d)."""

    def repetition(seed: int) -> Measurement:
        x, y = normal(n, d, 2 * seed), normal(n, d, 2 * seed + 1, shift, scale)
        return measure(x, y, seed=seed, **options)

    return repetition


def correlated(n: int, d: int, seed: int, rho: float = 0.5, shift: float = 0.0) -> pl.DataFrame:
    """Return a table of d columns N(0, 1) with correlations rho, the first one shifted."""
    x = (1 - rho) ** 0.5 * normal(n, d, seed) + rho**0.5 * normal(n, 1, seed + 10**6)
    x[:, 0] += shift
    return pl.DataFrame(x.numpy(), schema=[f"column {i}" for i in range(d)])


def tables(
    measure: Callable[..., Measurement], n: int, d: int, **change: float
) -> Callable[[int], Measurement]:
    """Return the measure on two tables of n rows, correlations 1/2 and no shift in the real one."""

    def repetition(seed: int) -> Measurement:
        return measure(
            correlated(n, d, 2 * seed), correlated(n, d, 2 * seed + 1, **change), seed=seed
        )

    return repetition


def informed(n: int, other: tuple[float, float]) -> Callable[[int], Measurement]:
    """Return `pair_information` of n rows of flags, and n of other ones."""

    def repetition(seed: int) -> Measurement:
        x, y = flags(n, 2 * seed, (0.1, 0.2)), flags(n, 2 * seed + 1, other)
        return pm.pair_information(x, y, seed=seed)

    return repetition


def used(n: int, rho: float) -> Callable[[int], Measurement]:
    """Return `utility` of one generated table, the same for every seed, on fresh real rows."""
    fake, train = correlated(200, 3, -1, rho), correlated(200, 3, -2)

    def repetition(seed: int) -> Measurement:
        return pm.utility(correlated(n, 3, seed), fake, train=train, seed=seed)

    return repetition


def own(
    learn: Callable[[Tensor, Tensor, int], Any],
    judge: Callable[[Any, Split], Measurement],
    shift: float,
    n: int = 200,
    test: int = 60,
) -> Callable[[int], Measurement]:
    """Return a learned measure, less what its own critic gives in expectation: the truth is then 0.

    Its interval is for this critic over fresh test rows. So 20 repetitions share one, learned
    from n rows a side, and each judges it on fresh ones; 20,000 a side give its expectation.
    """

    def rows(seed: int, size: int) -> Split:
        x, y = normal(size, 1, 2 * seed), normal(size, 1, 2 * seed + 1, shift)
        none, every = torch.arange(0), torch.arange(size)
        return Split(SplitSample(x, none, every), SplitSample(y, none, every), {})

    @cache
    def critic(seed: int) -> tuple[Any, float]:
        x, y = normal(n, 1, 2 * seed), normal(n, 1, 2 * seed + 1, shift)
        learnt = learn(x, y, seed)
        return learnt, judge(learnt, rows(10**6 + seed, 20_000)).value

    def repetition(seed: int) -> Measurement:
        learnt, truth = critic(seed // 20)
        found = judge(learnt, rows(1000 + seed, test))
        assert found.low is not None
        assert found.high is not None
        low, high = found.low - truth, found.high - truth
        return replace(found, value=found.value - truth, low=low, high=high)

    return repetition


def own_bound(bound: Bound, shift: float) -> Callable[[int], Measurement]:
    """Return `own` for a variational bound."""
    return own(
        lambda x, y, seed: critics.ratio_critic(x, y, bound, None, None, seed),
        lambda evaluated, both: replace(evaluated, both=both).measurement("bound", 0, 0),
        shift,
    )


def own_distance(shift: float) -> Callable[[int], Measurement]:
    """Return `own` for the Wasserstein critic."""
    return own(
        lambda x, y, seed: critics.lattice_critic(x, y, None, None, seed)[0],
        lambda evaluated, both: replace(evaluated, both=both).measurement(
            "wasserstein_critic", 0, 0
        ),
        shift,
    )


def halved(x: Tensor, y: Tensor, seed: int) -> Split:
    """Return two samples, half of which train."""
    rng = torch.Generator().manual_seed(seed)
    return split(x, y, share=0.5, limit=None, features=None, generator=rng)


def own_accuracy(classifier: str, shift: float) -> Callable[[int], Measurement]:
    """Return `own` for a classifier."""
    return own(
        lambda x, y, seed: classifier_score(classifier, *halved(x, y, seed).training_rows(), seed),
        lambda score, both: accuracy_measurement([(both, score)], classifier),
        shift,
    )


def likelihood(
    measure: Callable[..., Measurement], n: int, **options: object
) -> Callable[[int], Measurement]:
    """Return the measure on n rows x = (2, 1) z + eps / 2, under the decoder that wrote them."""
    weights = torch.tensor([[2.0, 1.0]], dtype=torch.float64)
    decoder = pm.LatentDecoder(lambda z: z @ weights, 1, dtype=torch.float64)

    def repetition(seed: int) -> Measurement:
        x = normal(n, 1, 2 * seed) @ weights + 0.5 * normal(n, 2, 2 * seed + 1)
        return measure(decoder, x, sigma=0.5, seed=seed, **options)

    return repetition


def unsure(n: int, classes: int) -> Callable[[int], Measurement]:
    """Return the inception score of n rows softmax(z) with z of N(0, I), fresh for each seed."""

    def repetition(seed: int) -> Measurement:
        x, y = (normal(n, classes, 2 * seed + side).softmax(1) for side in (0, 1))
        return pm.inception_score(x, y, permutations=0, seed=seed)

    return repetition


CASES: dict[str, Case] = {
    # energy distance of N(0, I) and N(e1, I): see tests/test_measures_samples.py for the integral
    "energy, d = 1, shift 1": Case(0.541807, shifted(pm.energy, 200, 1, 1.0, permutations=99)),
    "energy, d = 5, shift 1": Case(0.295673, shifted(pm.energy, 200, 5, 1.0, permutations=99)),
    "energy, d = 5, none": Case(0.0, shifted(pm.energy, 200, 5, 0.0, permutations=99)),
    "mmd, d = 1, shift 1": Case(
        0.177268, shifted(pm.mmd, 200, 1, 1.0, bandwidth=1.0, permutations=99)
    ),
    **{
        f"{name}, its own, d = 1, {label}": Case(0.0, own_bound(bound, shift))
        for name, bound in {
            "jensen_shannon": F_GAN["js"],
            "f_divergence kl dv": BOUNDS["dv"]["kl"],
            **{f"f_divergence {name}": bound for name, bound in F_GAN.items() if name != "js"},
        }.items()
        for shift, label in ((1.0, "shift 1"), (0.0, "none"))
    },
    **{
        f"wasserstein_critic, its own, d = 1, {label}": Case(0.0, own_distance(shift))
        for shift, label in ((1.0, "shift 1"), (0.0, "none"))
    },
    **{
        f"classifier_test {name}, its own, d = 1": Case(0.0, own_accuracy(name, 1.0))
        for name in ("trees", "logistic", "network")
    },
    # minus the entropy of N(0, [[4.25, 2], [2, 1.25]]): -log(2 pi e) - log(1.3125) / 2
    "importance_bound, linear, by the mode": Case(
        -2.973844, likelihood(pm.importance_bound, 30, samples=2)
    ),
    "importance_bound, linear, by the prior": Case(
        -2.973844, likelihood(pm.importance_bound, 30, samples=500, proposal="prior")
    ),
    "annealed_importance, linear": Case(
        -2.973844,
        likelihood(pm.annealed_importance, 30, steps=30, chains=8, leapfrog=2, simulated=0),
    ),
    # MMD^2 of Gaussians: 2 (s / (s + 2))^(d/2) (1 - exp(-1 / (2 (s + 2)))), s the squared bandwidth
    "mmd, d = 20, shift 1": Case(
        0.017327, shifted(pm.mmd, 100, 20, 1.0, bandwidth=20**0.5, permutations=99)
    ),
    "mmd, d = 20, none": Case(0.0, shifted(pm.mmd, 100, 20, 0.0, permutations=99)),
    "mmd, d = 1, none, n = 400": Case(0.0, shifted(pm.mmd, 400, 1, 0.0, permutations=99)),
    "mmd linear, d = 5, shift 0.3": Case(
        0.09, shifted(pm.mmd, 100, 5, 0.3, kernel="linear", permutations=99)
    ),
    "energy, d = 1, none": Case(0.0, shifted(pm.energy, 200, 1, 0.0, permutations=99)),
    "energy, d = 20, none": Case(0.0, shifted(pm.energy, 100, 20, 0.0, permutations=99)),
    "energy, d = 1, shift 1, n = 400": Case(
        0.541807, shifted(pm.energy, 400, 1, 1.0, permutations=99)
    ),
    "kid, d = 2, shift 1": Case(4.625, shifted(pm.kid, 200, 2, 1.0, permutations=99)),
    "kid, d = 8, none": Case(0.0, shifted(pm.kid, 200, 8, 0.0, permutations=99)),
    **{
        f"sliced_wasserstein p = {p}, d = {d}, {label}": Case(
            truth,
            shifted(pm.sliced_wasserstein, 100, d, shift, p=p, projections=lines, permutations=39),
        )
        # shift |delta|: |delta| / sqrt(d) for p = 2, |delta| E|theta_1| for p = 1
        for p, d, shift, lines, label, truth in (
            (2, 1, 1.0, 1, "shift 1", 1.0),
            (2, 5, 1.0, 20, "shift 1", 5**-0.5),
            (2, 5, 0.0, 20, "none", 0.0),
            (2, 20, 1.0, 100, "shift 1", 20**-0.5),
            (1, 1, 1.0, 1, "shift 1", 1.0),
            (1, 5, 1.0, 20, "shift 1", 0.375),
            (1, 1, 0.0, 1, "none", 0.0),
        )
    },
    # along a line that was sought on few rows in many dimensions, the shift is shorter: d <= 5
    **{
        f"max_sliced_wasserstein p = {p}, d = {d}, {label}": Case(
            shift, shifted(pm.max_sliced_wasserstein, 200, d, shift, p=p, permutations=39)
        )
        for p, d, shift, label in (
            (2, 1, 1.0, "shift 1"),
            (2, 5, 1.0, "shift 1"),
            (2, 5, 0.0, "none"),
            (1, 5, 1.0, "shift 1"),
        )
    },
    **{
        f"sinkhorn, d = {d}, {label}": Case(shift**2, shifted(pm.sinkhorn, 100, d, shift))
        for d, shift, label in (
            (1, 1.0, "shift 1"),
            (1, 0.0, "none"),
            (2, 8.0, "shift 8"),
            (5, 1.0, "shift 1"),
            (5, 0.0, "none"),
            (20, 1.0, "shift 1"),
            (20, 0.0, "none"),
        )
    },
    "classifier_test, d = 1, shift 1": Case(
        0.691462, shifted(pm.classifier_test, 400, 1, 1.0, classifier="logistic")
    ),
    "frechet, d = 3, shift 1, scale 2": Case(4.0, shifted_and_scaled(pm.frechet, 100, 3, 1.0, 2.0)),
    "frechet, d = 20, shift 1": Case(1.0, shifted(pm.frechet, 100, 20, 1.0)),
    "frechet, d = 5, none": Case(0.0, shifted(pm.frechet, 100, 5, 0.0)),
    "knn_kl, d = 1, shift 1": Case(None, shifted(pm.knn_kl, 100, 1, 1.0, permutations=0)),
    "knn_kl, d = 2, none": Case(0.0, shifted(pm.knn_kl, 100, 2, 0.0, permutations=0)),
    "histogram_kl, shift 1": Case(None, shifted(pm.histogram_kl, 200, 1, 1.0, permutations=39)),
    "histogram_kl, none": Case(0.0, shifted(pm.histogram_kl, 200, 1, 0.0, permutations=39)),
    "histogram_js, shift 1": Case(None, shifted(pm.histogram_js, 200, 1, 1.0, permutations=39)),
    "histogram_js, none": Case(0.0, shifted(pm.histogram_js, 200, 1, 0.0, permutations=39)),
    "vendi, rbf, d = 3": Case(None, shifted(pm.vendi, 200, 3, 1.0, bandwidth=1.0)),
    "vendi, cosine, d = 5": Case(None, shifted(pm.vendi, 100, 5, 1.0, kernel="cosine")),
    # probabilities softmax(z), z ~ N(0, I_5): 1.35402 in 200,000 rows
    "inception_score, 5 classes": Case(1.35402, unsure(100, 5)),
    "tarp": Case(
        AT_THE_MEAN,
        lambda seed: pm.tarp(normal(1000, 1, seed), torch.zeros(1000, 1), seed=seed),
    ),
}


CASES |= {
    # Kolmogorov-Smirnov: 2 Phi(shift / 2) - 1
    "column_shapes, d = 1, shift 1": Case(0.382925, tables(pm.column_shapes, 200, 1, shift=1.0)),
    "column_shapes, d = 1, none": Case(0.0, tables(pm.column_shapes, 200, 1)),
    "column_shapes, d = 4, shift 1/2": Case(
        0.197413 / 4, tables(pm.column_shapes, 200, 4, shift=0.5)
    ),
    "column_shapes, d = 4, none": Case(0.0, tables(pm.column_shapes, 200, 4)),
    "pair_trends, d = 2, correlation 1/2 and 0": Case(0.25, tables(pm.pair_trends, 150, 2, rho=0)),
    "pair_trends, d = 2, none": Case(0.0, tables(pm.pair_trends, 150, 2)),
    "pair_trends, d = 4, correlation 1/2 and 0.3": Case(
        0.1, tables(pm.pair_trends, 150, 4, rho=0.3)
    ),
    "pair_trends, d = 4, none": Case(0.0, tables(pm.pair_trends, 150, 4)),
    **{
        f"pair_information, three flags, {label}": Case(
            information_error((0.1, 0.2), other), informed(300, other)
        )
        for label, other in (("other flips", (0.3, 0.05)), ("none", (0.1, 0.2)))
    },
    # the score of one trained model on fresh rows
    "utility, good": Case(None, used(200, 0.5)),
    "utility, no relation": Case(None, used(200, 0.0)),
}


@cache
def balls(n: int, m: int, d: int, shift: float, seed: int) -> Mapping[str, Measurement]:
    """Return `prdc` of n rows of N(0, I_d) and m of N(shift e1, I_d); six cases share it."""
    x, y = normal(n, d, 2 * seed), normal(m, d, 2 * seed + 1, shift)
    return pm.prdc(x, y, splits=0, seed=seed)


def in_balls(name: str, n: int, m: int, d: int, shift: float) -> Callable[[int], Measurement]:
    """Return one of the measures of `balls`; a clipped one with its value before the clip."""

    def repetition(seed: int) -> Measurement:
        found = balls(n, m, d, shift, seed)[name]
        return replace(found, value=found.extra.get("unclipped", found.value))

    return repetition


def area(n: int, shift: float, folds: int | None = None) -> Callable[[int], Measurement]:
    """Return a classifier's area under the curve; on a line every rising score has the same."""
    test = shifted(pm.classifier_test, n, 1, shift, classifier="logistic", folds=folds)

    def repetition(seed: int) -> Measurement:
        found = test(seed)
        value, low, high = (found.extra[f"auc{end}"] for end in ("", "_low", "_high"))
        return replace(found, value=value, low=low, high=high)

    return repetition


def copied(
    measure: Callable[..., Measurement], n: int, d: int, share: float, fresh: bool = False
) -> Callable[[int], Measurement]:
    """Return a measure of copies: of the generated rows some are training rows with noise of 0.1.

    Args:
        measure: takes held-out and generated rows, and `train`.
        n: rows of each sample.
        d: columns, N(0, I_d).
        share: the chance of a generated row to be a copy; the others are new.
        fresh: whether the training rows are drawn anew for each seed, or the same for all.
    """

    def repetition(seed: int) -> Measurement:
        x, y = normal(n, d, 3 * seed), normal(n, d, 3 * seed + 1)
        train = normal(n, d, 3 * seed + 2 if fresh else 10**6)
        # Drawn from the training rows, so that generated rows are independent given these.
        rng = torch.Generator().manual_seed(seed)
        rows, copies = torch.randint(n, (n,), generator=rng), torch.rand(n, generator=rng) < share
        y[copies] = train[rows[copies]] + 0.1 * y[copies]
        return measure(x, y, train=train, seed=seed)

    return repetition


def repeated(n: int, share: float) -> Callable[[int], Measurement]:
    """Return `exact_matches` of rows of which each is a training row with a certain chance."""

    def repetition(seed: int) -> Measurement:
        x, y, train = normal(n, 2, 2 * seed), normal(n, 2, 2 * seed + 1), normal(n, 2, 10**6)
        rng = torch.Generator().manual_seed(seed)
        rows, copies = torch.randint(n, (n,), generator=rng), torch.rand(n, generator=rng) < share
        y[copies] = train[rows[copies]]
        return pm.exact_matches(x, y, train=train)

    return repetition


def attacked(n: int, d: int, share: float) -> Callable[[int], Measurement]:
    """Return `membership_inference` where each training row is copied with a certain chance.

    The others leave no trace: as many new rows are generated as they are.
    """

    def repetition(seed: int) -> Measurement:
        x, y, train = (normal(m, d, 3 * seed + i) for i, m in enumerate((n, n, 2 * n)))
        copies = torch.rand(2 * n, generator=torch.Generator().manual_seed(seed)) < share
        return pm.membership_inference(x, torch.cat([train[copies], y]), train=train, seed=seed)

    return repetition


CASES |= {
    # Without a difference the clipped ones expect 1 before the clip, and their intervals end there.
    f"{name}, d = {d}, {label}": Case(
        1.0 if name in CLIPPED and label == "none" else None, in_balls(name, 200, 200, d, shift)
    )
    for d, shift, label in ((2, 1.0, "shift 1"), (5, 0.5, "shift 1/2"), (10, 0.0, "none"))
    for name in ("precision", "recall", "density", "coverage", *CLIPPED)
}
CASES |= {
    f"{name}, d = 2, {n} and {m} rows": Case(None, in_balls(name, n, m, 2, 1.0))
    for n, m in ((200, 800), (800, 200))
    for name in ("precision", "recall", "density")
}
CASES["classifier_test, area, d = 1, shift 1"] = Case(0.760250, area(400, 1.0))
CASES["classifier_test, area, d = 1, shift 1, 3 folds"] = Case(0.760250, area(200, 1.0, folds=3))
CASES |= {
    "authenticity, d = 2, none": Case(None, copied(pm.authenticity, 200, 2, 0.0)),
    "authenticity, d = 5, half copies": Case(None, copied(pm.authenticity, 200, 5, 0.5)),
    "closest_record, d = 2, none": Case(0.5, copied(pm.closest_record, 100, 2, 0.0, fresh=True)),
    "closest_record, d = 30, none": Case(0.5, copied(pm.closest_record, 100, 30, 0.0, fresh=True)),
    "closest_record, d = 5, half copies": Case(
        None, copied(pm.closest_record, 100, 5, 0.5, fresh=True)
    ),
    "memorisation, d = 2, none": Case(0.0, copied(pm.memorisation, 200, 2, 0.0)),
    "memorisation, d = 5, half copies": Case(None, copied(pm.memorisation, 200, 5, 0.5)),
    "exact_matches, 5 % copies": Case(0.05, repeated(400, 0.05)),
    "exact_matches, half copies": Case(0.5, repeated(200, 0.5)),
    "membership_inference, d = 2, none": Case(0.5, attacked(200, 2, 0.0)),
    "membership_inference, d = 20, none": Case(0.5, attacked(200, 20, 0.0)),
    # a copied row is nearer than all new ones, and of the others each is as near as a new one
    "membership_inference, d = 5, half copied": Case(0.75, attacked(200, 5, 0.5)),
    "nearest_neighbour_test, d = 2, none": Case(
        199 / 399, shifted(pm.nearest_neighbour_test, 200, 2, 0.0, permutations=19)
    ),
    "nearest_neighbour_test, d = 2, shift 1": Case(
        None, shifted(pm.nearest_neighbour_test, 200, 2, 1.0, permutations=19)
    ),
    "nearest_neighbour_test, d = 5, shift 1/2": Case(
        None, shifted(pm.nearest_neighbour_test, 200, 5, 0.5, permutations=19)
    ),
}


def covered(case: Case, repetitions: int = REPETITIONS) -> tuple[int, float]:
    """Return how many of the intervals hold the truth, and their mean width."""
    found = [case.measure(seed) for seed in range(repetitions)]
    values = torch.tensor([m.value for m in found])
    truth = float(values.mean()) if case.truth is None else case.truth
    intervals = [m.interval for m in found if m.interval is not None]
    if len(intervals) < repetitions:
        msg = f"{found[0].name} reports no interval in {repetitions - len(intervals)} repetitions"
        raise ValueError(msg)
    width = sum(high - low for low, high in intervals) / repetitions
    return sum(low <= truth <= high for low, high in intervals), width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    given = parser.parse_args()
    results = {}
    print(f"{'case':<48}{'truth':>10}{'width':>10}{'covered':>10}{'seconds':>10}")
    for name, case in CASES.items():
        if given.only not in name:
            continue
        start = time.perf_counter()
        hits, width = covered(case, given.repetitions)
        spent = time.perf_counter() - start
        share = hits / given.repetitions
        results[name] = {"covered": share, "width": width, "truth": case.truth}
        truth = "mean" if case.truth is None else f"{case.truth:.5g}"
        print(f"{name:<48}{truth:>10}{width:>10.3g}{share:>10.1%}{spent:>10.1f}", flush=True)
    if given.out:
        report = {"repetitions": given.repetitions, "cases": results}
        given.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
