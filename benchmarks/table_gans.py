"""GANs of tables at equal compute: which settings bring their rows nearer to real ones.

    python benchmarks/table_gans.py [--data ../shared/data] [--tables adult diamonds fraud]
                                    [--rows 10000] [--scale 1] [--seeds 1] [--only FIT ...]

Each fit has the steps that take about as much processor time, on one thread, as 800 of `r3gan` do
whose columns are drawn together: 20 s or so. The seconds that it took are said. `--scale`
multiplies the steps. `fraud` is made up: 10,000 rows with a target that 0.7 % of them have.

detection    ROC AUC of XGBoost telling training rows from as many generated ones (detection.py);
information  `pair_information`, against the training rows;
utility      `utility` on the holdout: of Adult the income, of diamonds the price, of fraud the rare
             target is predicted by trees that learned from generated rows.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from detection import judged, load
from table_sources import SPLIT, parsed

import pushforward as pf

TARGETS = {"adult": "income", "diamonds": "price", "fraud": "fraud"}
FITS = (
    "vae=1200steps",
    "r3gan:chain=True=550steps",
    "gan:chain=True=600steps",
    "r3gan=800steps",
    "gan=1000steps",
    "r3gan:chain=True:learning_rate=0.002=550steps",
    "r3gan:learning_rate=0.002=800steps",
    "r3gan:learning_rate=0.003=800steps",
    "r3gan:gamma=0.02=800steps",
    "r3gan:learning_rate=0.003:batch_size=128=1100steps",
    "r3gan:learning_rate=0.003:batch_size=512=600steps",
)


def main() -> None:
    """Train, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tables", nargs="+", choices=TARGETS, default=[*TARGETS])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=FITS)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/table_gans.json"))
    arguments = parser.parse_args()
    known: dict[str, list[dict[str, float]]] = {}
    for table in arguments.tables:
        train, holdout = (part[: arguments.rows] for part in parts(table, arguments.data))
        for seed in range(arguments.seeds):
            for fit in arguments.only:
                found = measured(train, holdout, TARGETS[table], fit, seed, arguments.scale)
                known.setdefault(f"{table} {fit}", []).append(found)
                print(f"{table:9} {fit:40} seed {seed} {found}", flush=True)
                arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def parts(table: str, folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return training rows and others."""
    if table != "fraud":
        return load(table, folder)
    rows = fraud(np.random.default_rng(0), 20_000)
    return rows.head(10_000), rows.tail(10_000)


def fraud(rng: np.random.Generator, n: int) -> pl.DataFrame:
    """Return payments, of which 0.7 % are fraud: large ones, wired, at night, to some countries."""
    amount, hour = rng.lognormal(3, 1, n), rng.integers(0, 24, n)
    country = rng.choice([*"ABCDE"], n, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    kind = rng.choice(["card", "cash", "wire"], n, p=[0.7, 0.2, 0.1])
    age, over = np.round(rng.gamma(6, 7, n) + 18).astype(int), rng.normal(1, 0.5, n)
    logit = -6.75 + 0.9 * (np.log(amount) - 3) - 0.8 * (over - 1) + 1.2 * (age < 30)
    logit += 1.6 * np.isin(country, ["D", "E"]) + 1.5 * (kind == "wire") + 1.3 * (abs(hour - 3) < 3)
    is_fraud = rng.random(n) < 1 / (1 + np.exp(-logit))
    columns = {
        "amount": amount.round(2),
        "hour": hour,
        "country": country,
        "kind": kind,
        "age": age,
    }
    columns |= {"balance": (amount * np.exp(over)).round(2)}
    return pl.DataFrame(columns | {"fraud": np.where(is_fraud, "yes", "no")})


def measured(
    train: pl.DataFrame, holdout: pl.DataFrame, target: str, fit: str, seed: int, scale: float
) -> dict[str, Any]:
    """Fit what `parsed` reads, with so many times its steps, and measure generated rows."""
    model, options, budget = parsed(fit)
    data = pf.read(train, split=SPLIT)
    steps = max(1, round(scale * int(budget.split()[0])))
    start = time.process_time()
    fitted = pf.fit(data, model, budget=steps, seed=seed, **options)
    seconds = time.process_time() - start
    fake = fitted.sample(len(train), seed=seed)
    useful = pf.measure(holdout, fake, measures=["utility"], target=target)["utility"].value
    found = {**judged(train, fake), "utility": useful}
    return {n: round(v, 4) for n, v in found.items()} | {"steps": steps, "cpu": round(seconds, 1)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
