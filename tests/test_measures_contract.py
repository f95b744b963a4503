"""One contract for every measure that takes two samples: what it gives, and what it refuses."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.distributions import Normal

from pushforward.errors import MeasureError
from pushforward.measures import Measurement, all_measures, prdc

OTHER = ("closed_form", "likelihood", "tables")  # they take densities, decoders, data frames
QUICK = {"permutations": 39, "resamples": 4, "steps": 20}
PROBABILITIES = "inception_score"  # it takes class probabilities alone


def quick(name: str) -> Callable[..., Measurement]:
    """The measure with few permutations; training rows where it wants them."""
    measure = all_measures()[name]
    known = inspect.signature(measure).parameters
    options = {key: value for key, value in QUICK.items() if key in known}

    def run(x: Any, y: Any, **more: Any) -> Measurement:
        if "train" in known:
            more = {"train": x, **more}
        return measure(x, y, **options, **more)

    return run


MEASURES = [
    name
    for name, measure in all_measures().items()
    if measure.__module__.split(".")[2] not in OTHER and name != PROBABILITIES
]


def normal(n: int, d: int, seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=(n, d))


def measured_or_refused(name: str, x: Any, y: Any) -> Measurement | None:
    """The measurement, or None where the measure refuses with a MeasureError."""
    try:
        return quick(name)(x, y)
    except MeasureError:
        return None


def sound(found: Measurement) -> bool:
    """Everything that a measurement promises."""
    assert math.isfinite(found.value), found
    for number in (found.low, found.high, found.null):
        assert number is None or math.isfinite(number), found
    if found.interval is not None:
        assert found.interval[0] <= found.interval[1]
        assert found.covers
    assert found.p_value is None or 0 < found.p_value <= 1
    assert found.reading
    return bool(json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json())


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_gives_a_whole_measurement(name: str) -> None:
    state = torch.get_rng_state()
    x, y = normal(60, 2, 0), normal(50, 2, 1)
    found = quick(name)(x, y, seed=1)
    assert sound(found)
    assert found.name == name
    assert found.null is not None
    assert found.interval is not None
    assert (found.n, found.m) in {(60, 50), (50, 50)}, "all rows, or equal sizes"
    assert torch.equal(torch.get_rng_state(), state), "the global random state is the user's"
    assert quick(name)(x, y, seed=1) == found


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_takes_numbers_of_any_type_and_container(name: str) -> None:
    x, y = (normal(40, 2, seed).round(1) for seed in range(2))
    expected = quick(name)(x, y)
    frames = [pl.DataFrame(z, schema=["a", "b"]) for z in (x, y)]
    for given_x, given_y in (frames, (torch.from_numpy(x), y.tolist()), (x.reshape(40, 1, 2), y)):
        found = quick(name)(given_x, given_y)
        # Columns that lie otherwise in memory are summed in another order: the last digits.
        assert found.value == pytest.approx(expected.value, rel=1e-9, abs=1e-12)
        assert found.p_value == expected.p_value
    assert sound(quick(name)((10 * x).astype(np.int64), (10 * y).astype(np.int64)))
    assert sound(quick(name)(x > 0, y > 0))
    assert sound(quick(name)(x.astype(np.float32), y))


STRANGE: dict[str, tuple[Any, Any]] = {
    "one and the same row": (np.ones((30, 2)), np.ones((30, 2))),
    "two different constants": (np.zeros((30, 2)), np.ones((30, 2))),
    "a constant beside a sample": (np.zeros((30, 2)), normal(30, 2, 0)),
    "a sample beside a constant": (normal(30, 2, 0), np.zeros((30, 2))),
    "a constant column": (normal(30, 2, 0) * [1, 0], normal(30, 2, 1) * [1, 0]),
    "the same rows": (normal(30, 2, 0), normal(30, 2, 0)),
    "rows many times over": (normal(6, 2, 0).repeat(6, 0), normal(6, 2, 1).repeat(6, 0)),
    "tiny numbers": (1e-9 * normal(30, 2, 0), 1e-9 * normal(30, 2, 1)),
    "huge numbers": (1e9 * normal(30, 2, 0), 1e9 * normal(30, 2, 1)),
    "far from zero": (1e6 + normal(30, 2, 0), 1e6 + normal(30, 2, 1)),
    "far from each other": (normal(30, 2, 0), 1e6 + normal(30, 2, 1)),
    "one outlier": (normal(30, 2, 0), np.vstack([normal(29, 2, 1), [[1e8, -1e8]]])),
    "more columns than rows": (normal(30, 50, 0), normal(30, 50, 1)),
    "unequal sizes": (normal(30, 2, 0), normal(300, 2, 1)),
}


@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("name", MEASURES)
def test_strange_samples_give_a_number_or_a_reason(name: str, what: str) -> None:
    found = measured_or_refused(name, *STRANGE[what])
    assert found is None or sound(found)


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "other widths": (normal(30, 2, 0), normal(30, 3, 1), "same columns"),
    "NaN": (np.full((30, 2), np.nan), normal(30, 2, 1), "NaN or infinity"),
    "infinity": (normal(30, 2, 0), np.full((30, 2), np.inf), "NaN or infinity"),
    "one row": (normal(1, 2, 0), normal(1, 2, 1), "at least"),
    "no row": (normal(0, 2, 0), normal(30, 2, 1), "at least"),
    "no column": (normal(30, 0, 0), normal(30, 0, 1), "needs rows and columns"),
    "text": (np.array([["a"]] * 30), normal(30, 1, 1), "needs numbers"),
    "ragged rows": ([[1.0], [1.0, 2.0]], normal(30, 1, 1), "one length"),
    "a density": (Normal(0.0, 1.0), normal(30, 1, 1), "is a density"),
    "squares that overflow": (1e200 * normal(30, 2, 0), normal(30, 2, 1), "rescale"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("name", MEASURES)
def test_what_cannot_be_measured_is_refused_with_the_reason(name: str, what: str) -> None:
    x, y, message = REFUSED[what]
    with pytest.raises(MeasureError, match=message):
        quick(name)(x, y)


NUMBERS = {
    "limit": (-3, 0, 1),
    "permutations": (-1,),
    "resamples": (-1,),
    "groups": (-1, 1),
    "chunk": (-1, 0),
    "k": (0,),
    "bins": (1,),
    "cells": (0,),
    "iterations": (0,),
}


@pytest.mark.parametrize("name", MEASURES)
def test_numbers_that_make_no_sense_are_refused_by_name(name: str) -> None:
    known = {**inspect.signature(all_measures()[name]).parameters}
    known |= inspect.signature(prdc).parameters if "options" in known else {}
    for key, values in NUMBERS.items():
        for value in values if key in known else ():
            with pytest.raises(MeasureError, match=key):
                all_measures()[name](
                    normal(30, 2, 0), normal(30, 2, 1), **{key: value}, **needed(known)
                )


def needed(known: Mapping[str, Any]) -> dict[str, Any]:
    return {"train": normal(30, 2, 2)} if "train" in known else {}


FEW_VALUES = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 25), st.just(2)), elements=st.sampled_from([0.0, 1.0, 2.5])
)


@pytest.mark.parametrize("name", [n for n in MEASURES if "train" not in n])
@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(x=FEW_VALUES, y=FEW_VALUES)
def test_few_rows_with_ties_give_a_number_or_a_reason(name: str, x: Any, y: Any) -> None:
    found = measured_or_refused(name, x, y)
    assert found is None or sound(found)
