"""Both families learn images: ahead of a Gaussian fit, and with codes that are used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pushforward as pf
from pushforward.comparison.facts import facts_of
from pushforward.comparison.references import first_rows, floor_rows
from pushforward.measures import Scorer
from pushforward.random import generator
from pushforward.sampling.request import SampleRequest
from read_tables import SHARED

MEASURES = ["energy", "precision", "recall", "coverage"]


@pytest.fixture(scope="module")
def digits() -> tuple[pf.Dataset, Scorer]:
    data = pf.read("digits")
    return data, Scorer(data, measures=MEASURES)


@pytest.mark.parametrize(("model", "steps"), [("vae", 160), ("gan", 160)])
def test_both_families_are_ahead_of_a_gaussian_fit(
    model: str, steps: int, digits: tuple[pf.Dataset, Scorer]
) -> None:
    data, scorer = digits
    fitted = pf.fit(data, model, budget=f"{steps} steps", seed=0, width=32)
    real = first_rows(data.subset("test"), 180)
    fake = SampleRequest(fitted.network(), fitted.schema, 180, 0).draw()
    own, floor = (
        scorer.score(real, rows, seed=0) for rows in (fake, floor_rows(data, 180, generator(0)))
    )
    # One standard error of the energy distance is about 0.02 here, of a share of 180 rows 0.037:
    # twice of each between the model and the Gaussian fit (0.58; 0.37, 0.45 and 0.34).
    assert own["energy"].value < floor["energy"].value - 0.08
    for name in ("precision", "recall", "coverage"):
        assert own[name].value > floor[name].value + 0.08, name


@pytest.mark.shared("mnist.npz")
@pytest.mark.parametrize("likelihood", ["logistic", "autoregressive"])
def test_the_code_is_used_from_the_start(likelihood: str) -> None:
    """With torch's own start of the layers there are 0.2 and 3.8 nats in the code by then."""
    with np.load(SHARED / "mnist.npz") as stored:
        images: Any = stored["x_train"][::12]
    options: Any = {"likelihood": likelihood, "width": 32, "beta": 1.0}
    fitted = pf.fit(images, "vae", budget="120 steps", seed=0, **options)
    rate = facts_of(fitted).rate
    assert rate is not None
    assert rate > 5  # measured 8.3 and 9.5
