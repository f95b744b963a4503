"""Missing values are learned together with the rest: what is missing depends on other columns."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import pushforward as pf

N = 4000
MISSING_RATES = (0.1, 0.8)  # how often b is missing, below and above a = 0


def dependent_missing_values() -> pl.DataFrame:
    """Where a > 0, b is missing in 80 % of the rows, else in 10 %; kind is missing with b."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=N)
    missing = rng.random(N) < np.where(a > 0, MISSING_RATES[1], MISSING_RATES[0])
    kind = np.where(rng.random(N) < 0.5, "x", "y").astype(object)
    frame = pl.DataFrame({"a": a, "b": rng.normal(size=N) + a, "kind": list(kind)})
    is_missing = pl.Series(missing)
    return frame.with_columns(
        pl.when(is_missing).then(None).otherwise(pl.col("b")).alias("b"),
        pl.when(is_missing).then(None).otherwise(pl.col("kind")).alias("kind"),
    )


def rates(frame: pl.DataFrame) -> list[float]:
    """The share of missing b below and above a = 0, and of rows in which only one is missing."""
    missing = frame["b"].is_null()
    sides = [float(missing.filter(side).mean()) for side in (frame["a"] <= 0, frame["a"] > 0)]  # type: ignore[arg-type]  # of truth values
    return [*sides, float((missing != frame["kind"].is_null()).mean())]  # type: ignore[arg-type]  # likewise


@pytest.mark.parametrize(("model", "steps"), [("vae", 400), ("r3gan", 600)])
def test_missing_values_depend_on_the_same_columns(model: str, steps: int) -> None:
    fitted = pf.fit(pf.read(dependent_missing_values()), model, budget=steps, seed=0, width=64)
    below, above, apart = rates(fitted.sample(N, seed=1))
    # Independent columns would have 0.45 on both sides and 0.5 apart. A share of about 2,000 rows
    # has a standard error of at most 0.011, in the training rows as in these: four of both is 0.06.
    assert below == pytest.approx(MISSING_RATES[0], abs=0.06)
    assert above == pytest.approx(MISSING_RATES[1], abs=0.06)
    assert apart < 0.06
