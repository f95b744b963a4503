"""Where the codes of a VAE's new rows should come from: one training, every sampler.

    python benchmarks/samplers.py [--data ../shared/data] [--only ring moons digits ...] [--seeds 2]

The networks are the same for all samplers of a seed, so what differs is the codes alone. Energy and
the classifier's AUC are those of at most 2,000 generated rows against as many test rows.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import torch

import pushforward as pf
from pushforward.families.samplers import SAMPLERS
from pushforward.random import isolated
from pushforward.runs.fitted import Fitted, build
from pushforward.training.batches import Batches

CPU = torch.device("cpu")
STEPS = dict.fromkeys(("ring", "moons", "digits"), 1500) | {"mnist": 2000}
STEPS |= dict.fromkeys(("adult", "diamonds"), 1000)
ROWS = 2000  # that are measured, at most
TABLE = 5000  # rows of a table that are trained on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="*", default=[*STEPS])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/samplers.json"))
    arguments = parser.parse_args()
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    for name in arguments.only:
        data, steps = pf.read(source(name, arguments.data)), round(arguments.scale * STEPS[name])
        for seed in range(arguments.seeds):
            for row in rows(name, data, max(2, steps), seed):
                print(row, flush=True)
                known.append(row)
                arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def source(name: str, data: Path) -> Any:
    """Return what is read."""
    if name == "adult":
        return pl.read_csv(data / "adult-train.csv", n_rows=TABLE)
    if name == "diamonds":
        return pl.read_csv(data / "diamonds-train.csv").sample(TABLE, seed=0)
    return data / "mnist.npz" if name == "mnist" else name


def rows(name: str, data: pf.Dataset, steps: int, seed: int) -> Iterator[dict[str, Any]]:
    """Train once, and yield what each sampler comes to."""
    budget = f"{steps} steps"
    fitted = pf.fit(data, "vae", budget=budget, seed=seed, device="cpu", sampler="prior")
    real = data.raw("test")[:ROWS]
    for sampler in ("prior", *SAMPLERS):
        start = time.process_time()
        generated = settled(fitted, data, sampler, seed).sample(len(real), seed=100 + seed)
        card = pf.measure(real, generated, measures=["energy", "classifier_test"], seed=0)
        yield {
            "data": name,
            "seed": seed,
            "sampler": sampler,
            "CPU seconds": round(time.process_time() - start, 1),
            "energy": round(card["energy"].value, 4),
            "auc": round(card["classifier_test"].extra["auc"], 3),
        }


def settled(
    fitted: pf.Fitted, data: pf.Dataset, sampler: str, seed: int, **changed: Any
) -> pf.Fitted:
    """Return the fitted model with another sampler, fitted to its codes, and changed options."""
    identity = fitted.config["identity"]
    options = {**identity["options"], "sampler": sampler, **changed}
    network = build(identity["model"], data.schema, options, 0, CPU)
    network.load_state_dict(fitted.states["best"], strict=False)
    network.eval().requires_grad_(False)
    batches = Batches(data, 512, seed, CPU, network.classes)
    with isolated(CPU, seed):
        network.settle(batches.epoch())
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return Fitted(network, data.schema, {"best": state, "final": state}, fitted.config)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
