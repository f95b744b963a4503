"""Where rows of a table come from: models of ours, references, models of other libraries.

`generated` gives each source a process of its own, and says what it costs there: the peak memory,
which for ours includes 0.4 GiB of imports, and where they are known the seconds of the fit and the
rows a second.
"""

from __future__ import annotations

import ast
import json
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from table_peer import peak_memory

import pushforward as pf
from pushforward.comparison.cart import cart_rows

SPLIT = (0.96, 0.03, 0.01)
OTHERS = ("TabularARGN", "TVAE", "CTGAN")

Costs = dict[str, float]
Generated = tuple[pl.DataFrame, Costs]


def generated(train: pl.DataFrame, source: str, seed: int, python: str | None = None) -> Generated:
    """Return as many rows as a source was fitted to, and what they cost.

    Args:
        train: the rows.
        source: MODEL=BUDGET or MODEL:OPTION=VALUE=BUDGET of ours, `cart`, `independent`, or the
            name of a model of another library, which may end in =EPOCHS.
        seed: of the fit and of the rows.
        python: one in which the other library is installed.
    """
    if source.partition("=")[0] in OTHERS:
        if python is None:
            raise SystemExit(f"{source} needs --peer-python, a Python in which it is installed")
        return _theirs(train, source, seed, python)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_ours, train, source, seed).result()


def parsed(what: str) -> tuple[str, dict[str, Any], str]:
    """Return model, options and budget of MODEL=BUDGET or MODEL:OPTION=VALUE=BUDGET."""
    name, _, budget = what.rpartition("=")
    model, *given = name.split(":")
    options = {key: _value(text) for key, text in (option.split("=") for option in given)}
    return model, options, budget.replace("steps", " steps")


def by_cart(train: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Generate as many rows as there are by a tree for each column."""
    data = pf.read(train, split=SPLIT, relations=False)
    generator = torch.Generator().manual_seed(seed)
    rows: pl.DataFrame = data.schema.decode(*cart_rows(data, len(train), generator), generator)
    return rows


def _value(text: str) -> Any:
    """Return a number as one, and text as it is."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _ours(train: pl.DataFrame, source: str, seed: int) -> Generated:
    start = time.perf_counter()
    if source == "cart":
        rows, costs = by_cart(train, seed), {"seconds": time.perf_counter() - start}
    elif source == "independent":
        rows, costs = _independent(train, seed), {}
    else:
        rows, costs = _fitted(train, source, seed)
    return rows, costs | {"peak memory, GiB": peak_memory()}


def _independent(train: pl.DataFrame, seed: int) -> pl.DataFrame:
    rng, n = np.random.default_rng(seed), len(train)
    return pl.DataFrame([column.gather(rng.integers(0, n, n)) for column in train])


def _fitted(train: pl.DataFrame, source: str, seed: int) -> Generated:
    model, options, budget = parsed(source)
    start = time.perf_counter()
    fitted = pf.fit(pf.read(train, split=SPLIT), model, budget=budget, seed=seed, **options)
    seconds, start = time.perf_counter() - start, time.perf_counter()
    rows: pl.DataFrame = fitted.sample(len(train), seed=seed)
    rate = len(train) / (time.perf_counter() - start)
    return rows, {"seconds": seconds, "steps": fitted.steps, "rows a second": rate}


def _theirs(train: pl.DataFrame, source: str, seed: int, python: str) -> Generated:
    name, _, epochs = source.partition("=")
    script = Path(__file__).with_name("table_peer.py")
    with tempfile.TemporaryDirectory() as folder:
        real, fake = Path(folder) / "real.csv", Path(folder) / "fake.csv"
        train.write_csv(real)
        command = [python, *map(str, (script, name, epochs or 0, seed, real, fake))]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows = pl.read_csv(fake, schema=train.schema)
    costs: Costs = json.loads(printed.splitlines()[-1])
    return rows, costs
