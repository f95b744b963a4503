"""Which likelihood of images a VAE should have, and whether to show draws or means.

    python benchmarks/likelihoods.py [--data ../shared/data] [--seeds 1]
                                     [--only digits mnist cifar10]

A VAE with each likelihood is trained for the same seconds with the same networks, and measured
against validation rows, since a default is chosen by it. Shown are energy, accuracy of the
classifier, precision, recall and coverage, and the nats in the code.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pushforward as pf
from pushforward.comparison.facts import facts_of
from pushforward.comparison.references import first_rows, floor_rows
from pushforward.measures import Scorer
from pushforward.random import generator
from pushforward.sampling.request import SampleRequest

BUDGETS = {"digits": "15s", "mnist": "40s", "cifar10": "60s"}
CASES: dict[str, dict[str, Any]] = {
    "chain of pixels, drawn": {"likelihood": "autoregressive"},
    "discretised logistic, drawn": {"likelihood": "logistic"},
    "Gaussian, drawn": {"likelihood": "gaussian"},
    "Gaussian, its mean": {"likelihood": "gaussian", "noise": False},
    "Bernoulli, its mean": {"likelihood": "bernoulli", "noise": False},
}
SHOWN = ["energy", "classifier_test", "precision", "recall", "coverage"]
ROWS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="*", default=[*BUDGETS])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/likelihoods.json"))
    arguments = parser.parse_args()
    files = {"digits": "digits", "mnist": "mnist.npz", "cifar10": "cifar10"}
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.only:
        data = pf.read(name if name == "digits" else arguments.data / files[name])
        scorer = Scorer(data, measures=SHOWN)
        known[name] = {"Gaussian fit": floor(data, scorer)}
        print(f"{name}: {known[name]}", flush=True)
        for case, options in CASES.items():
            runs = [one(data, scorer, BUDGETS[name], s, options) for s in range(arguments.seeds)]
            known[name][case] = {key: round(fmean(run[key] for run in runs), 3) for key in runs[0]}
            print(f"{name:8} {case:28} {known[name][case]}", flush=True)
            arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def floor(data: Any, scorer: Scorer) -> dict[str, float]:
    real = first_rows(data.subset("validation"), ROWS)
    return measured(scorer, real, floor_rows(data, len(real[0]), generator(0)))


def one(
    data: Any, scorer: Scorer, budget: str, seed: int, options: dict[str, Any]
) -> dict[str, float]:
    """Train a VAE, and return what is measured of it."""
    fitted = pf.fit(data, "vae", budget=budget, seed=seed, **options)
    real = first_rows(data.subset("validation"), ROWS)
    fake = SampleRequest(fitted.network(), fitted.schema, len(real[0]), seed).draw()
    found = measured(scorer, real, fake)
    return found | {"steps": fitted.steps, "nats": facts_of(fitted).rate or 0.0}


def measured(scorer: Scorer, real: Any, fake: Any) -> dict[str, float]:
    card = scorer.score(real, fake, seed=0, strict=False)
    return {name: round(card[name].value, 3) for name in SHOWN if name in card}


if __name__ == "__main__":
    main()
