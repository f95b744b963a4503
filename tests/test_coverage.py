"""The 95 % intervals hold the truth as often as they should, on known distributions."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from pushforward.measures import all_measures

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MADE: dict[str, Any] = runpy.run_path(str(BENCHMARKS / "coverage.py"))
RECORDED: dict[str, Any] = json.loads((BENCHMARKS / "results" / "coverage.json").read_text())
FEW = 40  # repetitions here; the benchmark does 200
EXACT = {"kl", "jeffreys", "frechet_gaussian"}  # they report no interval


def test_every_measure_with_an_interval_has_a_case() -> None:
    named = {name.split(",")[0].split()[0] for name in MADE["CASES"]}
    assert named == set(all_measures()) - EXACT


def test_the_full_benchmark_is_within_its_limits() -> None:
    """As recorded by `python benchmarks/coverage.py --out benchmarks/results/coverage.json`."""
    assert RECORDED["repetitions"] == 200
    assert RECORDED["cases"].keys() == MADE["CASES"].keys()
    outside = {
        name: case["covered"]
        for name, case in RECORDED["cases"].items()
        if not 0.90 <= case["covered"] <= 0.99
    }
    assert outside == {}


@pytest.mark.parametrize("name", MADE["CASES"])
def test_intervals_hold_the_truth(name: str) -> None:
    hits, _ = MADE["covered"](MADE["CASES"][name], FEW)
    # An interval that holds the truth in 95 % of cases does so in fewer than 33 of 40 with a
    # probability of 0.0007, one that holds it in 80 % with one of 0.57.
    assert hits >= 33
