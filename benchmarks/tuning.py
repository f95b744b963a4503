"""What tuning gains: nothing where there is nothing to gain; and what a pruner would have cost.

    null      An option that turns nothing but the random numbers of the start is tuned, over and
              over. Shown is by how much the best trial seems to be better than the defaults (on
              the validation rows that chose it), and by how much its option is: the energy
              distance to test rows of runs on fresh seeds with the default, less that of as many
              with the chosen value. Means over the studies with their standard errors, in units
              of the mean distance with the default.
    pruner    Fits with options drawn from their ranges. For each share of the budget: the rank
              correlation between the distance to validation rows then and that of the trial, and
              in how many of 10,000 studies of 8 such fits the best one would have been stopped by
              a pruner that stops whoever is then worse than the median.

    python benchmarks/tuning.py [--only null,pruner] [--models vae,gan] [--studies 20] [--fits 24]
                                [--steps 1.0] [--data ring]

What is measured is added to what the file has.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

import numpy as np
import torch
from scipy.stats import spearmanr

import pushforward as pf
from pushforward.comparison.bench import Bench, MeasureChoice
from pushforward.comparison.folder import ComparisonFolder
from pushforward.comparison.jobs import find_site
from pushforward.comparison.references import first_rows
from pushforward.comparison.tuning import Tuner, distance, free_options
from pushforward.families.model import Model
from pushforward.families.options import Range, log_range
from pushforward.measures import Scorer
from pushforward.models import find
from pushforward.sampling.request import SampleRequest
from pushforward.space import Space
from pushforward.training.settings import Settings

TRIALS = 8  # of a study
FRESH = 3  # seeds of the runs after tuning
STEPS = {"null": 100, "pruner": 400}
SMALL: dict[str, Any] = {"width": 32, "depth": 1}
DRAWS = 10_000


def noisy(base: type[Model]) -> type[Model]:
    """Return the model with an option that turns nothing but the random numbers of its start."""

    class Noisy(base):  # type: ignore[misc, valid-type]  # a class that is known when it runs
        name = f"noisy-{base.name}"

        def __init__(
            self,
            space: Space,
            classes: int = 0,
            *,
            knob: Annotated[float, "Random numbers to skip.", log_range(1, 1000)] = 30.0,
            **shared: Any,
        ) -> None:
            torch.rand(round(knob))
            super().__init__(space, classes, **shared)

    return Noisy


def hide(stage: str, record: Mapping[str, Any]) -> None:
    """Show nothing."""


class OnTest:
    """The energy distance of a fit's rows to the test rows."""

    def __init__(self, data: pf.Dataset) -> None:
        self.data, self.scorer = data, Scorer(data, measures=["energy"])
        self.test = first_rows(data.subset("test"), data.sizes["validation"])

    def __call__(self, model: type[Model], seed: int, options: Mapping[str, Any]) -> float:
        """Return the distance of a fit that is made here."""
        fitted = pf.fit(self.data, model, budget=STEPS["null"], seed=seed, **options)
        n = len(self.test[0])
        fake = SampleRequest(fitted.network("best"), fitted.schema, n, seed).draw()
        return self.scorer.score(self.test, fake, seed=seed)["energy"].value


def null(data: pf.Dataset, name: str, studies: int) -> dict[str, Any]:
    """Return what each study seems to gain, and gains."""
    model = noisy(find(name))
    given = {n: o.default for n, o in free_options(find(name).options(), {}).items()} | SMALL
    score, seeming, real, plain = OnTest(data), [], [], []
    for study in range(studies):
        with tempfile.TemporaryDirectory() as folder:
            place, settings = ComparisonFolder(Path(folder)), Settings(STEPS["null"], study)
            bench = Bench(data, place, MeasureChoice(), "cpu", hide)
            tuner = Tuner(bench, settings, TRIALS, find_site(1, 1))
            tuning = tuner.tune({model.name: model}, {model.name: given})[model.name]
        knobs = (30.0, tuning.best.options["knob"])
        seeds = range(FRESH * study, FRESH * (study + 1))
        both = [fmean(score(model, s, {**given, "knob": knob}) for s in seeds) for knob in knobs]
        seeming.append(tuning.trials[0].distance - tuning.best.distance)
        real.append(both[0] - both[1])
        plain.append(both[0])
    return {"studies": studies, "seems": share(seeming, plain), "is": share(real, plain)}


def share(gains: list[float], plain: list[float]) -> dict[str, float]:
    """Return the mean gain and its standard error, in units of the mean distance."""
    unit = fmean(plain)
    error = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
    return {"gain": fmean(gains) / unit, "error": error / unit}


def drawn(searched: Range, rng: np.random.Generator) -> float:
    """Return a value drawn from a range."""
    u = float(rng.random())
    if searched.log:
        return float(searched.low * (searched.high / searched.low) ** u)
    return searched.low + u * (searched.high - searched.low)


def pruner(data: pf.Dataset, name: str, fits: int) -> dict[str, Any]:
    """Return how well the distance at each share of the budget foretells that of the trial."""
    rng, found = np.random.default_rng(0), []
    free = free_options(find(name).options(), {})
    for seed in range(fits):
        options: dict[str, Any] = {n: drawn(o.range, rng) for n, o in free.items() if o.range}
        fitted = pf.fit(data, name, budget=STEPS["pruner"], seed=seed, **SMALL, **options)
        checks = [record["validation"] for record in fitted.history if "validation" in record]
        found.append([*checks, distance(fitted)])
    *checks, final = np.array(found).T
    groups = np.array([rng.permutation(fits)[:TRIALS] for _ in range(DRAWS)])
    return {
        f"{(k + 1) / len(checks):.0%}": {
            "correlation": float(spearmanr(early, final).statistic),
            "best stopped": stopped(early[groups], final[groups]),
        }
        for k, early in enumerate(checks)
    }


def stopped(early: np.ndarray[Any, Any], final: np.ndarray[Any, Any]) -> float:
    """Return the share of studies (rows) whose best trial was then worse than the median."""
    best = early[np.arange(len(early)), final.argmin(1)]
    return float((best > np.median(early, 1)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="null,pruner")
    parser.add_argument("--models", default="vae,gan")
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--fits", type=int, default=24)
    parser.add_argument("--steps", type=float, default=1.0, help="factor of the lengths of fits")
    parser.add_argument("--data", default="ring")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/tuning.json")
    given = parser.parse_args()
    STEPS.update({part: round(given.steps * steps) for part, steps in STEPS.items()})
    known: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    data = pf.read(given.data)
    work: dict[str, Callable[[str], dict[str, Any]]] = {
        "null": lambda name: null(data, name, given.studies),
        "pruner": lambda name: pruner(data, name, given.fits),
    }
    for part in given.only.split(","):
        for name in given.models.split(","):
            known[f"{part}, {name}"] = work[part](name)
            print(part, name, json.dumps(known[f"{part}, {name}"]))
            given.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
