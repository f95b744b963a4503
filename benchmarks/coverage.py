"""How often a ruler's 95 % interval holds the truth, over repetitions on known distributions.

Between 90 % and 99 % of them must: fewer, and the interval promises what it does not keep; more,
and it says less than is known. `python benchmarks/coverage.py` does 200 repetitions of every case;
the tests do the same with the cases that are quick, and fewer of the others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pushforward import measures as pm
from pushforward.measures import Measurement

REPETITIONS = 200


@dataclass(frozen=True)
class Case:
    """One ruler on one pair of known distributions.

    Args:
        truth: what the interval has to hold; or None for the mean of the values themselves (the
            expectation at these sizes), for rulers whose interval is for that.
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
    ruler: Callable[..., Measurement], n: int, d: int, shift: float, **options: object
) -> Callable[[int], Measurement]:
    """Return the ruler on n rows of N(0, I_d) and n of N(shift e1, I_d), fresh for each seed."""

    def measure(seed: int) -> Measurement:
        x, y = normal(n, d, 2 * seed), normal(n, d, 2 * seed + 1, shift)
        return ruler(x, y, seed=seed, **options)

    return measure


CASES: dict[str, Case] = {
    # energy distance of N(0, I) and N(e1, I): see tests/test_measures_samples.py for the integral
    "energy, d = 1, shift 1": Case(0.541807, shifted(pm.energy, 200, 1, 1.0, permutations=99)),
    "energy, d = 5, shift 1": Case(0.295673, shifted(pm.energy, 200, 5, 1.0, permutations=99)),
    "energy, d = 5, none": Case(0.0, shifted(pm.energy, 200, 5, 0.0, permutations=99)),
    "mmd, d = 1, shift 1": Case(
        0.177268, shifted(pm.mmd, 200, 1, 1.0, bandwidth=1.0, permutations=99)
    ),
    "classifier_test, d = 1, shift 1": Case(
        0.691462, shifted(pm.classifier_test, 400, 1, 1.0, classifier="logistic")
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
        told = {"repetitions": given.repetitions, "cases": results}
        given.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
