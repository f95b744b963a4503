"""The 95 % intervals hold the truth as often as they should, on known distributions."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from pushforward.measures import Measurement, all_measures

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MADE: dict[str, Any] = runpy.run_path(str(BENCHMARKS / "coverage.py"))
EXACT = {"kl", "jeffreys", "frechet_gaussian"}  # they report no interval

# Wald's sequential test (1945) of the shares 95 % and 80 %: it needs 18 repetitions on average
# where 95 % of the intervals hold the truth. Who looks from the 10th on, and takes 68 of 80 for
# enough, refuses 95 % with a probability of 0.0004, 80 % with one of 0.74 and 67 % with one of
# 0.98. Forty repetitions of which 33 must hold it: 0.0007, 0.56 and 0.98.
HIT, MISS = math.log(0.8 / 0.95), math.log(0.2 / 0.05)
ACCEPT, REFUSE = math.log(0.2), math.log(0.8 / 0.0007)
FIRST, MOST, ENOUGH = 10, 80, 68


def test_every_measure_with_an_interval_has_a_case() -> None:
    named = {name.split(",")[0].split()[0] for name in MADE["CASES"]}
    assert named == set(all_measures()) - EXACT


@pytest.mark.parametrize("name", MADE["CASES"])
def test_intervals_hold_the_truth(name: str) -> None:
    case, found = MADE["CASES"][name], list[Measurement]()
    while len(found) < MOST:
        found.append(case.measure(len(found)))
        hits = hits_of(found, case.truth)
        evidence = hits * HIT + (len(found) - hits) * MISS
        assert evidence < REFUSE, f"{hits} of {len(found)}"
        if len(found) >= FIRST and evidence <= ACCEPT:
            return
    assert hits >= ENOUGH


def hits_of(found: list[Measurement], truth: float | None) -> int:
    """How many of the intervals hold the truth, or the mean of the values where it is not known."""
    middle = fmean(m.value for m in found) if truth is None else truth
    intervals = [m.interval for m in found]
    return sum(low <= middle <= high for low, high in filter(None, intervals))


@pytest.mark.parametrize(("every", "right"), [(20, True), (10, True), (3, False), (2, False)])
def test_narrow_intervals_would_be_found(
    every: int, right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of intervals of which one in so many does not hold the truth."""

    def measure(seed: int) -> Measurement:
        end = -1.0 if seed % every == every - 1 else 1.0
        return Measurement("energy", 0.0, -2.0, end, null=0.0)

    monkeypatch.setitem(MADE["CASES"], "made up", MADE["Case"](0.0, measure))
    if right:
        test_intervals_hold_the_truth("made up")
        return
    with pytest.raises(AssertionError):
        test_intervals_hold_the_truth("made up")
