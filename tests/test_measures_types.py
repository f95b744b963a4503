"""What is wrong with a whole generated column is seen, whatever the column's type."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pushforward.errors import MeasureError
from pushforward.measures import (
    Scorecard,
    all_measures,
    association,
    column_shapes,
    exact_matches,
    measure,
    pair_trends,
    prdc,
    utility,
)
from pushforward.measures._registry import DEFAULT, MEASURES
from pushforward.measures.tables import _forms, _types

ROWS = 150
START = dt.datetime(2024, 3, 1)
QUICK = ["column_shapes", "energy"]  # of the default measures, the quickest that have a p-value
Array = np.ndarray[Any, Any]


def hours(u: Array) -> list[dt.datetime]:
    """Times within 20 days."""
    return [START + dt.timedelta(seconds=int(3600 * 24 * 20 * x)) for x in u]


# One column of each type, by a uniform u in [0, 1).
COLUMNS: dict[str, Callable[[Array], pl.Series]] = {
    "float": lambda u: pl.Series(100 * u),
    "float32": lambda u: pl.Series(100 * u, dtype=pl.Float32),
    "integer": lambda u: pl.Series((1000 * u).astype(int)),
    "small integer": lambda u: pl.Series((4 * u).astype(int), dtype=pl.Int8),
    "unsigned": lambda u: pl.Series((60_000 * u).astype(int), dtype=pl.UInt16),
    "decimal": lambda u: pl.Series((100 * u).round(2)).cast(pl.Decimal(10, 2)),
    "truth values": lambda u: pl.Series(u < 0.4),
    "text": lambda u: pl.Series([["low", "mid", "high"][int(3 * x)] for x in u]),
    "categorical": lambda u: pl.Series([f"c{int(5 * x)}" for x in u]).cast(pl.Categorical),
    "enum": lambda u: pl.Series([f"c{int(5 * x)}" for x in u]).cast(pl.Enum([*map(_c, range(5))])),
    "date": lambda u: pl.Series([(START + dt.timedelta(days=int(400 * x))).date() for x in u]),
    "date-time": lambda u: pl.Series(hours(u)),
    "zoned": lambda u: pl.Series(hours(u)).dt.replace_time_zone("Europe/Berlin"),
    "time of day": lambda u: pl.Series([dt.time(int(24 * x), int(1440 * x) % 60) for x in u]),
    "duration": lambda u: pl.Series([dt.timedelta(seconds=int(9999 * x)) for x in u]),
    "identifier": lambda u: pl.Series([f"K-{int(1e8 * x):08d}" for x in u]),
    "uuid": lambda u: pl.Series([str(uuid.UUID(int=int(2**128 * x))) for x in u]),
    "missing in half": lambda u: pl.Series([None if i % 2 else 100 * x for i, x in enumerate(u)]),
}
IDENTIFIERS = ("identifier", "uuid")


def _c(code: int) -> str:
    return f"c{code}"


def uniform(seed: int, n: int = ROWS) -> Array:
    return np.random.default_rng(seed).random(n)


def table(column: pl.Series, seed: int) -> pl.DataFrame:
    """A table with two good columns beside the one that matters."""
    rng = np.random.default_rng(100 + seed)
    n = len(column)
    other = {"number": rng.normal(size=n), "label": rng.choice(["u", "v"], n)}
    return pl.DataFrame({"it": column, **other})


def zoned(kind: str, u: Array) -> pl.Series | None:
    """The same column in another zone, or without one."""
    good = COLUMNS[kind](u)
    if kind == "zoned":
        return good.dt.convert_time_zone("Asia/Kolkata")
    return good.dt.replace_time_zone("UTC") if kind == "date-time" else None


def mistyped(kind: str, u: Array) -> pl.Series:
    good = COLUMNS[kind](u)
    if good.dtype in (pl.String, pl.Categorical, pl.Enum):
        return pl.Series(1000 * u)
    if good.dtype == pl.Duration:
        return good.dt.to_string()
    return good.cast(pl.String)


def shifted(kind: str, u: Array) -> pl.Series:
    """The upper half of the values alone; of identifiers, another form."""
    if kind in IDENTIFIERS:
        return pl.Series([f"{int(1e8 * x)}/x" for x in u])
    return COLUMNS[kind](0.5 + u / 2)


FAULTS: dict[str, Callable[[str, Array], pl.Series | None]] = {
    "empty": lambda kind, u: pl.Series([None] * len(u), dtype=COLUMNS[kind](u).dtype),
    "empty, of no type": lambda kind, u: pl.Series([None] * len(u)),
    "NaN": lambda kind, u: pl.Series([float("nan")] * len(u)),
    "constant": lambda kind, u: pl.Series([COLUMNS[kind](u)[0]] * len(u), dtype=_dtype(kind, u)),
    "mistyped": mistyped,
    "words": lambda kind, u: pl.Series(["n/a"] * len(u)),
    "shifted": shifted,
    "other zone": zoned,
    "no zone": lambda kind, u: (
        COLUMNS[kind](u).dt.replace_time_zone(None) if kind == "zoned" else None
    ),
}


def _dtype(kind: str, u: Array) -> pl.DataType:
    return COLUMNS[kind](u).dtype


def differs(card: Scorecard) -> bool:
    return any(m.p_value is not None and m.p_value < 0.03 for m in card.values())


@cache
def real(kind: str) -> pl.DataFrame:
    return table(COLUMNS[kind](uniform(0)), 0)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", COLUMNS)
def test_a_fault_of_a_whole_column_is_noticed(kind: str, fault: str) -> None:
    column = FAULTS[fault](kind, uniform(1))
    if column is None:
        pytest.skip("times only")
    assert set(QUICK) <= set(DEFAULT["table"])
    card = measure(real(kind), table(column, 1), measures=QUICK)
    assert differs(card), (kind, fault, card)
    worst = card["column_shapes"].extra["columns"]
    assert max(worst, key=lambda name: worst[name]) == "it"
    if fault not in ("shifted",):
        assert card.notes[0].startswith("check: column 'it' "), card.notes


@pytest.mark.parametrize("kind", COLUMNS)
def test_new_real_rows_are_no_fault(kind: str) -> None:
    for seed in (2, 3):
        card = measure(real(kind), table(COLUMNS[kind](uniform(seed)), seed), measures=QUICK)
        assert not any(note.startswith("check: ") for note in card.notes)
        found = card["column_shapes"].extra["columns"]["it"]
        # Kolmogorov's 0.1 % quantile is 1.95; total variation of five cells stays below it as well.
        assert found < 1.95 * (2 / ROWS) ** 0.5
