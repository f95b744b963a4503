"""Free nats for arrays: what a VAE comes to with all nats paid for, and with four free at first.

    python benchmarks/free_nats.py [--only ring moons grid digits breast-cancer diabetes wine]
                                   [--models vae] [--free 0 4] [--seeds 3] [--steps 600] [--jobs 2]

Networks of width 128, batches of 256. Shown are -ELBO of test rows, the energy distance of 1,000
generated rows from test rows (from validation rows too, where there are fewer than 200 of them),
and the nats in the codes of training rows, where the prior is N(0, I): means over seeds, the
smallest and the largest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from joblib import Parallel, delayed
from sklearn import datasets

import pushforward as pf
from pushforward.measures.closed_form import gaussian_rate
from pushforward.measures.samples import energy
from pushforward.random import isolated

ARRAYS: dict[str, Callable[[], Any] | None] = {
    "ring": None,
    "moons": None,
    "grid": None,
    "digits": datasets.load_digits,
    "breast-cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
    "wine": datasets.load_wine,
}
CPU = torch.device("cpu")
Found = dict[str, float]


def main() -> None:
    """Train, measure, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="+", choices=ARRAYS, default=[*ARRAYS])
    parser.add_argument("--models", nargs="+", default=["vae"])
    parser.add_argument("--free", nargs="+", type=float, default=[0.0, 4.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/free_nats.json"))
    arguments = parser.parse_args()
    known: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for case in product(arguments.only, arguments.models, arguments.free):
        calls = (delayed(one)(*case, seed, arguments.steps) for seed in range(arguments.seeds))
        runs: list[Found] = Parallel(n_jobs=arguments.jobs)(calls)
        name = "{}, {}, {:g} free".format(*case)
        known[name] = {key: spread([run[key] for run in runs]) for key in runs[0]}
        print(f"{name:32} {known[name]}", flush=True)
        arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def one(name: str, model: str, free: float, seed: int, steps: int) -> Found:
    """Train once, and measure."""
    torch.set_num_threads(1)
    load = ARRAYS[name]
    data = pf.read(name if load is None else load().data)
    shared: dict[str, Any] = {"width": 128, "batch_size": 256, "free": free, "device": "cpu"}
    network: Any = pf.fit(data, model, budget=f"{steps} steps", seed=seed, **shared).network()
    train, validation, test = (
        data.schema.expand(data.subset(part)[0]) for part in ("train", "validation", "test")
    )
    with torch.no_grad(), isolated(CPU, 100):
        loss = float(network.loss(test).mean())
        fake = network.imagine(max(len(test), 1000))
        _, code = network.encode(train[:2000]).drawn()
    real = test if len(test) >= 200 else torch.cat([test, validation])
    found = {"-ELBO, nats": loss, "energy": energy(real, fake, permutations=0, seed=0).value}
    if code is not None and network.prior.standard:
        found["nats in the code"] = float(gaussian_rate(code.mean, code.log_var).mean())
    return found


def spread(of_seeds: list[float]) -> list[float]:
    """Return the mean, the smallest and the largest."""
    return [round(v, 4) for v in (fmean(of_seeds), min(of_seeds), max(of_seeds))]


if __name__ == "__main__":
    main()
