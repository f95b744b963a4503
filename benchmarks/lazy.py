"""What it saves, and costs, to penalise the critic's slopes only every so many of its turns.

For each data set and model, `penalty_every` (k) is 1, 4, 8 and 16:

    time      processor milliseconds of a round, one thread, of the default networks and of the
              small ones below; stretches of 16 rounds take turns, and shown is the median
    quality   of the small networks at equal time: k = 1 is trained for the steps of the table
              below, k for as many as take the same time; energy, Fréchet and sliced Wasserstein
              distance of generated rows to validation rows. Shown is each one's ratio to k = 1,
              a geometric mean over seeds, with the smallest and the largest. The energy distance
              is the biased one, which is never below 0.

    python benchmarks/lazy.py [--data ../shared/data] [--seeds 3] [--only ring,wine] [--scale 1.0]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import torch

import pushforward as pf
from pushforward.models import find
from pushforward.random import isolated
from pushforward.runs.fitted import build
from pushforward.runs.folder import new_config
from pushforward.training.loop import Loop
from pushforward.training.settings import Settings

STEPS = {"ring": 800, "wine": 800, "digits": 300, "adult": 200}
WIDTH = {"ring": 64, "wine": 64, "digits": 32, "adult": 64}  # of the small networks
BATCH = {"ring": 128, "wine": 128, "digits": 64, "adult": 256}
MODELS = ("gan", "r3gan")
EVERY = (1, 4, 8, 16)
MEASURES = ("energy", "frechet", "sliced_wasserstein")
ADULT_ROWS = 10_000
GENERATED = 2000  # rows to measure
STRETCH = 16  # rounds: a multiple of every k

Quality = dict[str, float]
Small = dict[str, int]


def read(name: str, folder: Path) -> pf.Dataset:
    if name != "adult":
        return pf.read(name)
    return pf.read(pl.read_csv(folder / "adult-train.csv").sample(ADULT_ROWS, seed=0))


def rounds(data: pf.Dataset, model: str, every: int, small: Small) -> Loop:
    """Return a loop that is ready to be played."""
    options = {n: v for n, v in small.items() if n == "width"} | {"penalty_every": every}
    settings = Settings("1000000 steps", 0, batch_size=small.get("batch_size"))
    network = build(model, data.schema, options, 0, torch.device("cpu"))
    config = new_config(find(model), options, asdict(settings), data)
    return Loop(network, data, settings, None, config)


def milliseconds(data: pf.Dataset, model: str, small: Small, stretches: int) -> dict[int, float]:
    """Return the processor time of a round for each k."""
    loops = {every: rounds(data, model, every, small) for every in EVERY}
    laps: dict[int, list[float]] = {every: [] for every in EVERY}
    for i in range(stretches + 1):
        for every, loop in loops.items():
            seconds = stretch(loop)
            if i > 0:  # the first is a warm-up
                laps[every].append(1000 * seconds / STRETCH)
    return {every: statistics.median(found) for every, found in laps.items()}


def stretch(loop: Loop) -> float:
    """Play some rounds; return their processor seconds, to which a busy machine adds none."""
    start = time.process_time()
    with isolated(loop.device, 0):
        for _ in range(STRETCH):
            loop.round()
    return time.process_time() - start


def quality(
    data: pf.Dataset, model: str, every: int, small: Small, steps: int, seed: int
) -> Quality:
    """Train for so many steps, and measure generated rows on those for validation."""
    options: dict[str, Any] = {**small, "penalty_every": every}
    fitted = pf.fit(data, model, budget=f"{steps} steps", seed=seed, **options)
    real = data.subset("validation")[0]
    fake = fitted.sample(GENERATED, seed=seed)
    x, y = data.schema.features(real), data.schema.features(data.schema.encode(fake))
    energy = 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()
    found = {name: getattr(pf.measures, name)(x, y, permutations=0).value for name in MEASURES[1:]}
    return {"energy": float(energy)} | found


def ratios(runs: dict[int, list[Quality]]) -> dict[int, dict[str, list[float]]]:
    """Return each k's distances over those of k = 1, seed by seed: mean, lowest, highest."""
    found: dict[int, dict[str, list[float]]] = {}
    for every, own in runs.items():
        found[every] = {}
        for name in MEASURES:
            logs = [math.log(a[name] / b[name]) for a, b in zip(own, runs[1], strict=True)]
            found[every][name] = [math.exp(f(logs)) for f in (statistics.fmean, min, max)]
    return found


def compared(
    data: pf.Dataset, model: str, small: Small, steps: int, seeds: int, laps: int
) -> dict[str, Any]:
    """Return times, steps and distances of every k on one data set."""
    times = milliseconds(data, model, small, max(1, laps))
    budget = {every: max(STRETCH, round(steps * times[1] / times[every])) for every in EVERY}
    runs: dict[int, list[Quality]] = {every: [] for every in EVERY}
    for seed in range(seeds):
        for every in EVERY:
            runs[every].append(quality(data, model, every, small, budget[every], seed))
    return {"ms": times, "steps": budget, "runs": runs, "ratios": ratios(runs)}


def show(name: str, found: dict[str, Any]) -> None:
    for every in EVERY:
        parts: Sequence[str] = [
            f"{r[0]:6.2f} ({r[1]:.2f} to {r[2]:.2f})" for r in found["ratios"][every].values()
        ]
        speeds = [ms[1] / ms[every] for ms in (found["default ms"], found["ms"]) if ms]
        print(f"{name:14} k = {every:2}" + "".join(f"{s:6.2f}x" for s in speeds) + "".join(parts))


def main() -> None:
    """Measure, print a table and write the numbers: those of a data set replace older ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(STEPS))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    parser.add_argument("--laps", type=int, default=3, help="stretches; 0: small networks alone")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/lazy.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for name in arguments.only.split(","):
        data, steps = read(name, arguments.data), max(1, round(arguments.scale * STEPS[name]))
        for model in arguments.models.split(","):
            small = {"width": WIDTH[name], "batch_size": BATCH[name]}
            found = compared(data, model, small, steps, arguments.seeds, arguments.laps)
            default = milliseconds(data, model, {}, arguments.laps) if arguments.laps else {}
            found["default ms"] = default
            show(f"{name}, {model}", found)
            result[f"{name}, {model}"] = found
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
