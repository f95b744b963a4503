"""How well XGBoost tells generated rows from training rows, on tables of several kinds.

    python benchmarks/detection.py [--tables adult diamonds flights swirl chain]
                                   [--fits vae=1500steps cart independent TabularARGN] [--seeds 1]
                                   [--rows ROWS] [--halves] [--parts] [--peer-python PYTHON]

detection    ROC AUC of `classifier_test_xgboost`: XGBoost with its defaults, 3-fold, telling all
             training rows from as many generated ones (the protocol of TabPC, 2026);
information  `pair_information`: the weighted error of the normalised mutual information of pairs.

Beside the fits: real rows against real rows, two halves of all there are. With `--parts` also where
it is lost: half of the rows against the other half redrawn within their cells (`redrawn`; a row and
itself redrawn are twins, which puts the AUC below 0.5); the cells themselves, real against
generated (`cells`); and the gain of each column in one booster. With `--halves` a fit is given half
of the rows, and judged against the other half, too, which it has not seen.
A fit is MODEL=BUDGET, MODEL:OPTION=VALUE=BUDGET, `cart` (a tree for each column given those before
it), `independent` (columns drawn from the training values, each for itself), or TabularARGN, TVAE
or CTGAN under a Python that has `mostlyai-engine` or `ctgan`. Each has a process of its own, whose
peak memory stands beside it, and where they are known the seconds of the fit and the rows a second.
`swirl` and `chain` are made up: noisy nonlinear relations of continuous columns, and columns that
nearly follow from one another.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from table_sources import SPLIT, generated
from xgboost import XGBClassifier

import pushforward as pf
from pushforward.measures.tables._matrix import matrices

ROWS = 20_000  # of a table that is made up
FILES = ("adult", "diamonds", "flights")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tables", nargs="*", default=[*FILES, "swirl", "chain"])
    parser.add_argument("--fits", nargs="*", default=["vae=1500steps"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, help="take only so many of either part of a table")
    parser.add_argument("--peer-python", help="a Python in which the other library is installed")
    parser.add_argument("--halves", action="store_true", help="judge against unseen rows, too")
    parser.add_argument("--parts", action="store_true", help="where detection is lost")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/detection.json"))
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for table in arguments.tables:
        train, holdout = (part[: arguments.rows] for part in load(table, arguments.data))
        say(table, "real rows, two halves", judged(*halves(pl.concat([train, holdout]))))
        train, unseen = halves(train) if arguments.halves else (train, None)
        for fit in arguments.fits:
            for seed in range(arguments.seeds):
                fake, costs = generated(train, fit, seed, arguments.peer_python)
                row = judged(train, fake) | costs
                if unseen is not None:
                    row |= {
                        f"{name}, unseen": value for name, value in judged(unseen, fake).items()
                    }
                if arguments.parts:
                    row |= lost(pf.read(train, split=SPLIT), train, fake)
                say(table, fit, row)
                case = f"{table} {fit}, half of the rows" if arguments.halves else f"{table} {fit}"
                found.setdefault(case, []).append(row)
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                arguments.out.write_text(json.dumps(known | found, indent=1) + "\n")


def load(table: str, folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return training rows and others."""
    if table in FILES:
        train, holdout = (pl.read_csv(folder / f"{table}-{part}.csv") for part in ("train", "test"))
        return train, holdout
    made = {"swirl": swirl, "chain": chain}[table](np.random.default_rng(0), ROWS + ROWS // 10)
    return made.head(ROWS), made.tail(ROWS // 10)


def swirl(rng: np.random.Generator, n: int) -> pl.DataFrame:
    """Return continuous columns with noisy nonlinear relations, and a class."""
    kind, turn = rng.integers(0, 3, n), rng.gamma(2.0, 1.0, n)
    angle = turn + 2.0 * kind + rng.normal(0, 0.1, n)
    x, y = turn * np.cos(angle), turn * np.sin(angle)
    width = rng.lognormal(0.3 * x, 0.4)
    length = width * (1.5 + 0.3 * np.tanh(y)) + rng.normal(0, 0.02, n)
    area = width * length * rng.normal(1, 0.01, n)
    energy = np.log1p(area) + 0.3 * np.sin(3 * x) + rng.standard_t(4, n) * 0.1
    label = np.array(["a", "b", "c"])[kind]
    columns = {"x": x, "y": y, "width": width, "length": length, "area": area, "energy": energy}
    return pl.DataFrame({**columns, "label": label})


def chain(rng: np.random.Generator, n: int) -> pl.DataFrame:
    """Return monthly balances that follow from those before, with zeros, and what was paid."""
    limit = rng.choice([10, 20, 50, 80, 100, 200, 300, 500], n) * 1000
    use = rng.beta(0.5, 1.0, n)
    bill = np.round(limit * use * rng.lognormal(0, 0.1, n)) * (rng.random(n) > 0.1)
    columns = {"limit": limit}
    for month in range(1, 5):
        full = rng.random(n) < 0.2
        paid = np.where(full, bill, np.round(bill * rng.beta(1, 8, n), -2))
        columns |= {f"bill_{month}": bill.astype(int), f"paid_{month}": paid.astype(int)}
        bill = np.round((bill - paid) * 1.015 + limit * 0.05 * rng.gamma(1, 1, n) * (use > 0.02))
    return pl.DataFrame(columns)


def lost(data: pf.Dataset, train: pl.DataFrame, fake: pl.DataFrame) -> dict[str, Any]:
    """Return where detection is lost: within cells, among them, and in which columns."""
    schema, place = data.schema, torch.Generator().manual_seed(0)
    first, second = data.rows.tensor_split(2)
    redrawn = schema.decode(schema.quantise(schema.expand(second), place), None, place)
    cells = [schema.compact(schema.encode(rows)).numpy() for rows in (train, fake)]
    return {
        "redrawn": detection(schema.decode(first), redrawn),
        "cells": detection(*cells),
        "gain": gains(train, fake),
    }


def halves(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    mixed, half = rows.sample(fraction=1, shuffle=True, seed=0), len(rows) // 2
    return mixed.head(half), mixed.tail(half)


def judged(real: pl.DataFrame, fake: pl.DataFrame) -> dict[str, Any]:
    information = pf.measures.pair_information(real, fake, permutations=0).value
    return {"detection": detection(real, fake), "information": information}


def detection(real: Any, fake: Any) -> float:
    """Return the ROC AUC of XGBoost with its defaults, out of three folds."""
    found = pf.measures.classifier_test(real, fake, classifier="xgboost", folds=3, limit=None)
    return float(found.extra["auc"])


def gains(real: pl.DataFrame, fake: pl.DataFrame) -> dict[str, float]:
    """Return the share of each column in the gain of one booster."""
    each = [np.concatenate(matrices(real.select(c), fake.select(c), 2)) for c in real.columns]
    is_real = np.repeat([1, 0], [len(real), len(fake)])
    booster = XGBClassifier(n_jobs=1, importance_type="total_gain")
    gain = booster.fit(np.concatenate(each, 1), is_real).feature_importances_
    starts = np.cumsum([0, *(encoded.shape[1] for encoded in each[:-1])])
    shares = map(float, np.add.reduceat(gain, starts))
    return dict(sorted(zip(real.columns, shares, strict=True), key=lambda item: -item[1]))


def say(table: str, fit: str, row: dict[str, Any]) -> None:
    shown = "  ".join(
        f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in row.items()
    )
    print(f"{table}, {fit}: {shown}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
