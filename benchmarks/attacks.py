"""Membership attacks on Adult: honest generators, copiers of all and of 4 %, models.

    python benchmarks/attacks.py [--splits 10] [--copiers 3] [--fits vae=500steps ...]

All of Adult's 32,561 rows are split anew each time: 26,047 training rows, 3,257 held-out ones, and
3,257 that an honest generator gives. A copier gives training rows for a share of them, exactly, or
with age and hours a year or an hour off and fnlwgt up to 500. Models are trained on the training
rows. Shown are, as means over the splits, the AUC, the share of training rows found at 1 % and
0.1 % false alarms, and the AUC among outliers and rare groups; the median p-value; and how often
PF401 accuses, by all tests, and by the membership attacks alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import polars as pl

import pushforward as pf
from pushforward.measures import PRIVACY, Scorecard
from pushforward.measures.privacy import copying

HELD = 3257
NOISE = {"age": 1, "hours-per-week": 1, "fnlwgt": 500}
Split = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]  # training, held-out, fresh
Generate = Callable[[Split, int], pl.DataFrame]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--splits", type=int, default=10, help="of the honest generator")
    parser.add_argument("--copiers", type=int, default=3, help="splits of each other one")
    parser.add_argument("--fits", nargs="*", default=["vae=500steps"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/attacks.json"))
    arguments = parser.parse_args()
    rows = pl.concat(
        [pl.read_csv(arguments.data / f"adult-{part}.csv") for part in ("train", "test")]
    )
    generators: dict[str, tuple[Generate, int]] = {
        "new rows": (lambda split, _: split[2], arguments.splits)
    }
    for share in (0.04, 1.0):
        for noise, how in ((0, "copied"), (1, "copied, with noise")):
            generators[f"{100 * share:g} % {how}"] = (copier(share, noise), arguments.copiers)
    generators |= {fit: (model(fit), arguments.copiers) for fit in arguments.fits}
    found: dict[str, Any] = {}
    for name, (generate, splits) in generators.items():
        found[name] = summary([attacked(rows, generate, seed) for seed in range(splits)])
        print(name, json.dumps(found[name]), flush=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def copier(share: float, noise: int) -> Generate:
    """Return a generator that gives training rows for a share of its rows."""

    def generate(split: Split, seed: int) -> pl.DataFrame:
        train, _, fresh = split
        size = round(share * HELD)
        rng = np.random.default_rng(seed)
        off = [
            pl.col(name) + noise * rng.integers(-most, most + 1, size)
            for name, most in NOISE.items()
        ]
        return pl.concat([train[:size].with_columns(off), fresh[size:]])

    return generate


def model(fit: str) -> Generate:
    """Return MODEL=BUDGET, trained on the training rows."""
    name, _, budget = fit.rpartition("=")

    def generate(split: Split, seed: int) -> pl.DataFrame:
        generated = pf.fit(split[0], name, budget=budget, seed=seed).sample(HELD, seed=seed)
        return pl.DataFrame(generated).select(split[0].columns)

    return generate


def attacked(rows: pl.DataFrame, generate: Generate, seed: int) -> tuple[Scorecard, float]:
    """Return the privacy measures on a split of its own, and how long they kept a core busy."""
    mixed = rows.sample(fraction=1.0, shuffle=True, seed=seed)
    split = mixed[2 * HELD :], mixed[:HELD], mixed[HELD : 2 * HELD]
    fake = generate(split, seed)
    start = time.process_time()
    card = pf.measure(split[1], fake, train=split[0], measures=PRIVACY, seed=seed)
    return card, time.process_time() - start


def summary(cases: list[tuple[Scorecard, float]]) -> dict[str, Any]:
    cards = [card for card, _ in cases]
    attacks = [card[PRIVACY[0]] for card in cards]
    rates = [one.extra["true_positive_rate"] for one in attacks]
    evidence = [copying({name: [card[name]] for name in PRIVACY}) for card in cards]
    accused = [found.measures if found else () for found in evidence]
    return {
        "auc": round(fmean(one.value for one in attacks), 4),
        **{f"found at {f}": round(fmean(rate[f] for rate in rates), 5) for f in ("1 %", "0.1 %")},
        **{
            group: round(fmean(one.extra["apart"][group]["auc"] for one in attacks), 4)
            for group in ("outliers", "rare groups")
        },
        "median p": float(f"{median(one.p_value or 0.0 for one in attacks):.2g}"),
        "accused": f"{sum(map(bool, accused))} of {len(cases)}",
        "by the attacks": f"{sum(PRIVACY[0] in own for own in accused)} of {len(cases)}",
        "attacks": sorted({one.extra["top"]["attack"] for one in attacks}),
        "seconds of a core": round(median(seconds for _, seconds in cases), 1),
    }


if __name__ == "__main__":
    main()
