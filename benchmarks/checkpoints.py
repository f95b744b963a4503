"""Which rule chooses the best checkpoint: by loss or by distance, with which slack.

Every run is trained once. At each check past the first quarter it is read as training reads it, on
validation rows, and its energy and Frechet distance to test rows are measured beside. Each rule
then chooses among the same checkpoints:

    last      the last one
    lowest    the lowest reading
    paired    the last one that is worse than the lowest by no more than 1.645 standard errors of
              the difference, row by row: same rows, same noise
    null      the last one within the 95 % point of the energy distance of two independent samples
              of real rows
    oracle    the lowest distance to the test rows

The table has, for each data set and model, the ratio of the chosen distance to the oracle's, as a
geometric mean over seeds and both distances.

    python benchmarks/checkpoints.py [--data ../shared/data] [--seeds 3] [--only wine,ring]
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import polars as pl
import torch
from torch import Tensor

import pushforward as pf
from pushforward.measures.samples import energy
from pushforward.models import find
from pushforward.random import isolated
from pushforward.runs.fitted import build
from pushforward.runs.folder import Json, new_config
from pushforward.sampling.blocks import imagine
from pushforward.training.loop import Loop
from pushforward.training.selection import Reading
from pushforward.training.settings import Settings

STEPS = {"wine": 1500, "ring": 1500, "digits": 400, "adult": 400}
MODELS = ("vae", "gan")
OPTIONS = {"width": 64}
ADULT_ROWS = 4000
DISTANCES = ("energy", "frechet")

Rule = Callable[[Sequence[Reading], float], int]


class Watched(Loop):
    """A loop that measures every checkpoint from which its validation chooses."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.readings: dict[str, list[Reading]] = {"loss": [], "distance": []}
        self.tested: list[dict[str, float]] = []

    def _choose(self, distance: Reading) -> Json:
        if 4 * self.step >= (self.total or 0):
            model = self.average.catch_up()
            self.readings["distance"].append(distance)
            if model.selection == "loss":
                self.readings["loss"].append(self.validation.loss(model))
            self.tested.append(self._test())
        return super()._choose(distance)

    def _test(self) -> dict[str, float]:
        """Return the distances between test rows and as many generated ones, noise of their own."""
        rows, schema = self.data.subset("test")[0], self.data.schema
        with isolated(self.device, self.settings.seed + 1000):
            fake = imagine(self.average.model, schema, len(rows), None)
        x, y = schema.features(rows), schema.features(fake)
        frechet = pf.measures.frechet(x, y, permutations=0)
        return {"energy": float(biased_energy(x, y)), "frechet": frechet.value}


def biased_energy(x: Tensor, y: Tensor) -> Tensor:
    """Return the energy distance of two empirical distributions, never below 0: fit for ratios."""
    return 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()


def lowest(readings: Sequence[Reading], null: float) -> int:
    del null
    return min(range(len(readings)), key=lambda i: readings[i].value)


def paired(readings: Sequence[Reading], null: float) -> int:
    best = readings[lowest(readings, null)]
    return max(i for i, reading in enumerate(readings) if reading.as_good_as(best))


def within_null(readings: Sequence[Reading], null: float) -> int:
    least = min(reading.value for reading in readings)
    return max(i for i, reading in enumerate(readings) if reading.value <= least + null)


RULES: dict[str, tuple[str, Rule]] = {
    "loss, lowest": ("loss", lowest),
    "loss, paired": ("loss", paired),
    "distance, lowest": ("distance", lowest),
    "distance, paired": ("distance", paired),
    "distance, null": ("distance", within_null),
}


def chosen(loop: Watched) -> dict[str, int]:
    """Return which checkpoint each rule chooses."""
    features, data = loop.data.schema.features, loop.data
    real, other = data.subset("validation")[0][:1000], data.subset("train")[0][:1000]
    null = energy(features(real), features(other[: len(real)]), permutations=99)
    return {"last": len(loop.tested) - 1} | {
        name: rule(loop.readings[kind], float(null.extra["null_95"]))
        for name, (kind, rule) in RULES.items()
        if loop.readings[kind]
    }


def run(data: pf.Dataset, model: str, seed: int, steps: int) -> dict[str, dict[str, float]]:
    """Train once; return the distances of each rule's checkpoint, and the oracle's."""
    settings, cls = Settings(f"{steps} steps", seed), find(model)
    network = build(model, data.schema, OPTIONS, seed, torch.device("cpu"))
    config = new_config(cls, OPTIONS, asdict(settings), data)
    loop = Watched(network, data, settings, None, config)
    loop.run()
    found = {rule: dict(loop.tested[i]) for rule, i in chosen(loop).items()}
    found["oracle"] = {name: min(own[name] for own in loop.tested) for name in DISTANCES}
    return found


def ratios(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, float]:
    """Return each rule's distance over the oracle's: geometric means over runs and distances."""
    return {
        rule: math.exp(
            fmean(math.log(run[rule][d] / run["oracle"][d]) for run in runs for d in DISTANCES)
        )
        for rule in runs[0]
        if rule != "oracle"
    }


def read(name: str, folder: Path) -> pf.Dataset:
    if name != "adult":
        return pf.read(name)
    return pf.read(pl.read_csv(folder / "adult-train.csv").sample(ADULT_ROWS, seed=0))


def main() -> None:
    """Train, print a table and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(STEPS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/checkpoints.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {}
    heads = ["last", *RULES]
    print(" " * 12 + "".join(f"{head:>18}" for head in heads))
    for name in arguments.only.split(","):
        data, steps = read(name, arguments.data), max(10, int(arguments.scale * STEPS[name]))
        for model in MODELS:
            runs = [run(data, model, seed, steps) for seed in range(arguments.seeds)]
            row = ratios(runs)
            result[f"{name}, {model}"] = {"steps": steps, "ratios": row, "runs": runs}
            print(
                f"{name + ' ' + model:12}" + "".join(f"{row.get(h, math.nan):18.3f}" for h in heads)
            )
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
