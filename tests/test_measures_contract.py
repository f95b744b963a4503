"""One contract for every measure that takes two samples: what it measures, what it refuses."""

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
from numpy.typing import NDArray
from torch.distributions import Normal

from pushforward.errors import MeasureError
from pushforward.measures import Measurement, all_measures, prdc
from samples import normal

# they take densities, decoders, data frames, and draws for each row
OTHER = ("closed_form", "likelihood", "tables", "conditional")
QUICK = {"permutations": 39, "resamples": 4, "steps": 20}
PROBABILITIES = "inception_score"  # it takes class probabilities alone


def quick(name: str) -> Callable[..., Measurement]:
    """The measure with few permutations, and training rows where it takes them."""
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


def array(n: int, d: int, seed: int) -> NDArray[np.float64]:
    rows: NDArray[np.float64] = normal(n, d, seed).numpy()
    return rows


def assert_sound(found: Measurement) -> None:
    """Everything that a measurement promises."""
    assert math.isfinite(found.value), found
    for number in (found.low, found.high, found.null):
        assert number is None or math.isfinite(number), found
    if found.interval is not None:
        assert found.interval[0] <= found.interval[1]
        assert found.covers
    assert found.p_value is None or 0 < found.p_value <= 1
    assert found.reading
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_gives_a_whole_measurement(name: str) -> None:
    state = torch.get_rng_state()
    x, y = array(60, 2, 0), array(50, 2, 1)
    found = quick(name)(x, y, seed=1)
    assert_sound(found)
    assert found.name == name
    assert found.null is not None
    assert found.interval is not None
    assert (found.n, found.m) in {(60, 50), (50, 50)}, "all rows, or equal sizes"
    assert torch.equal(torch.get_rng_state(), state), "the global random state is the user's"
    assert quick(name)(x, y, seed=1) == found


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_takes_numbers_of_any_type_and_container(name: str) -> None:
    x, y = (array(40, 2, seed).round(1) for seed in range(2))
    expected = quick(name)(x, y)
    frames = [pl.DataFrame(z, schema=["a", "b"]) for z in (x, y)]
    for given_x, given_y in (frames, (torch.from_numpy(x), y.tolist()), (x.reshape(40, 1, 2), y)):
        found = quick(name)(given_x, given_y)
        # Columns that lie otherwise in memory are summed in another order: the last digits.
        assert found.value == pytest.approx(expected.value, rel=1e-9, abs=1e-12)
        assert found.p_value == expected.p_value
    assert_sound(quick(name)((10 * x).astype(np.int64), (10 * y).astype(np.int64)))
    assert_sound(quick(name)(x > 0, y > 0))
    assert_sound(quick(name)(x.astype(np.float32), y))


STRANGE: dict[str, tuple[Any, Any]] = {
    "one and the same row": (np.ones((30, 2)), np.ones((30, 2))),
    "two different constants": (np.zeros((30, 2)), np.ones((30, 2))),
    "a constant beside a sample": (np.zeros((30, 2)), array(30, 2, 0)),
    "a sample beside a constant": (array(30, 2, 0), np.zeros((30, 2))),
    "a constant column": (array(30, 2, 0) * [1, 0], array(30, 2, 1) * [1, 0]),
    "the same rows": (array(30, 2, 0), array(30, 2, 0)),
    "rows many times over": (array(6, 2, 0).repeat(6, 0), array(6, 2, 1).repeat(6, 0)),
    "tiny numbers": (1e-9 * array(30, 2, 0), 1e-9 * array(30, 2, 1)),
    "huge numbers": (1e9 * array(30, 2, 0), 1e9 * array(30, 2, 1)),
    "far from zero": (1e6 + array(30, 2, 0), 1e6 + array(30, 2, 1)),
    "far from each other": (array(30, 2, 0), 1e6 + array(30, 2, 1)),
    "one outlier": (array(30, 2, 0), np.vstack([array(29, 2, 1), [[1e8, -1e8]]])),
    "more columns than rows": (array(30, 50, 0), array(30, 50, 1)),
    "unequal sizes": (array(30, 2, 0), array(300, 2, 1)),
}


HISTOGRAMS = ("histogram_js", "histogram_kl")
NOT_FOR = {(name, "more columns than rows"): "one or two columns" for name in HISTOGRAMS}


@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("name", MEASURES)
def test_strange_samples_are_measured(name: str, what: str) -> None:
    if (name, what) not in NOT_FOR:
        assert_sound(quick(name)(*STRANGE[what]))
        return
    with pytest.raises(MeasureError, match=NOT_FOR[name, what]):
        quick(name)(*STRANGE[what])


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "other widths": (array(30, 2, 0), array(30, 3, 1), "same columns"),
    "NaN": (np.full((30, 2), np.nan), array(30, 2, 1), "NaN or infinity"),
    "infinity": (array(30, 2, 0), np.full((30, 2), np.inf), "NaN or infinity"),
    "one row": (array(1, 2, 0), array(1, 2, 1), "at least"),
    "no row": (array(0, 2, 0), array(30, 2, 1), "at least"),
    "no column": (np.zeros((30, 0)), np.zeros((30, 0)), "needs rows and columns"),
    "text": (np.array([["a"]] * 30), array(30, 1, 1), "needs numbers"),
    "ragged rows": ([[1.0], [1.0, 2.0]], array(30, 1, 1), "rows of equal length"),
    "a density": (Normal(0.0, 1.0), array(30, 1, 1), "is a density"),
    "squares that overflow": (1e200 * array(30, 2, 0), array(30, 2, 1), "rescale"),
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
    "splits": (-1,),
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
                    array(30, 2, 0), array(30, 2, 1), **{key: value}, **needed(known)
                )


def needed(known: Mapping[str, Any]) -> dict[str, Any]:
    return {"train": array(30, 2, 2)} if "train" in known else {}


MIN_ROWS = {  # on each side
    **dict.fromkeys(("closest_record", "exact_matches", "sinkhorn"), 2),
    **dict.fromkeys(("sliced_wasserstein", "vendi"), 2),
    **dict.fromkeys(("authenticity", "energy", "frechet", "kid", "mmd"), 3),
    "max_sliced_wasserstein": 4,
    **dict.fromkeys((*HISTOGRAMS, "nearest_neighbour_test"), 5),
    **dict.fromkeys((*prdc(array(12, 2, 0), array(12, 2, 1), splits=0, resamples=0), "knn_kl"), 12),
    **dict.fromkeys(("classifier_test", "membership_inference", "memorisation"), 20),
    **dict.fromkeys(("f_divergence", "jensen_shannon", "wasserstein_critic"), 20),
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_takes_as_few_rows_as_it_says(name: str) -> None:
    least, enough = MIN_ROWS[name], array(30, 2, 0)
    few = array(least, 2, 1)
    for x, y in ((few, enough), (enough, few), (few, few)):
        assert_sound(quick(name)(x, y))
    for x, y in ((few[1:], enough), (enough, few[1:])):
        with pytest.raises(MeasureError, match=f"at least {least} rows"):
            quick(name)(x, y)


TIED = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 25), st.just(2)), elements=st.sampled_from([0.0, 1.0, 2.5])
)


@pytest.mark.parametrize("name", MEASURES)
@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(x=TIED, y=TIED)
def test_few_rows_with_ties_are_measured(name: str, x: Any, y: Any) -> None:
    if min(len(x), len(y)) >= MIN_ROWS[name]:
        assert_sound(quick(name)(x, y))
        return
    with pytest.raises(MeasureError, match="at least"):
        quick(name)(x, y)
