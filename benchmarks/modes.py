"""Modes that are captured: the ring of 8 and the grid of 25 Gaussians, by the published protocol.

    python benchmarks/modes.py [--only ring grid] [--models gan r3gan ...] [--seeds 10]
                               [--steps 10000] [--jobs 2] [--batched]

Ring: radius 1, standard deviation 0.01; grid: {-4, -2, 0, 2, 4}^2, standard deviation 0.05; 100,000
points, codes of 2 dimensions, 2,500 samples; of high quality is what lies within 3 standard
deviations of a mode, which is captured if such a sample is nearest to it (Metz et al. 2017;
Srivastava et al. 2017; Lin et al. 2018). The reverse KL is that of the shares of the modes among
samples of high quality from equal ones. The penalty of `r3gan` falls. `--batched` measures instead
how much faster the gradients of ten seeds are as one batched step (`torch.func.vmap` over their
weights).
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

import pushforward as pf
from pushforward.runs.fitted import build

POINTS, SAMPLES, WIDTH = 100_000, 2500, 128
MODELS = ("gan", "lsgan", "hinge-gan", "wgan-gp", "r3gan", "vae", "sinkhorn")
OWN: dict[str, dict[str, float]] = {"r3gan": {"gamma": 0.1, "gamma_end": 0.0001}}
ANGLES = 2 * np.pi * np.arange(8) / 8
SIDE = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
MIXTURES = {
    "ring": (np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1), 0.01),
    "grid": (np.stack(np.meshgrid(SIDE, SIDE), -1).reshape(-1, 2), 0.05),
}


def main() -> None:
    """Train, count, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="+", choices=MIXTURES, default=[*MIXTURES])
    parser.add_argument("--models", nargs="+", default=[*MODELS])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--batched", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/modes.json"))
    arguments = parser.parse_args()
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for key, found in (measured(arguments) if not arguments.batched else batched()).items():
        known.setdefault(key, {}).update(found)
    arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the table by mixture and model."""
    table: dict[str, Any] = {}
    for name in arguments.only:
        for model in arguments.models:
            calls = (
                delayed(one)(name, model, seed, arguments.steps) for seed in range(arguments.seeds)
            )
            runs = Parallel(n_jobs=arguments.jobs)(calls)
            found = {key: round(fmean(run[key] for run in runs), 4) for key in runs[0]}
            found |= {"seeds": len(runs), "steps": arguments.steps}
            table.setdefault(name, {})[model] = found
            print(f"{name:5} {model:16} {found}", flush=True)
    return table


def one(name: str, model: str, seed: int, steps: int) -> dict[str, float]:
    """Train once on points of one mixture."""
    torch.set_num_threads(1)
    centres, sigma = MIXTURES[name]
    rng = np.random.default_rng(seed)
    noise = sigma * rng.standard_normal((POINTS, 2))
    points = centres[rng.integers(len(centres), size=POINTS)] + noise
    shared: dict[str, Any] = {"latent": 2, "width": WIDTH, "device": "cpu"}
    own = shared | OWN.get(model, {})
    fitted = pf.fit(points, model, budget=f"{steps} steps", seed=seed, **own)
    return captured(fitted.sample(SAMPLES, seed=1000 + seed), centres, sigma)


def captured(samples: np.ndarray, centres: np.ndarray, sigma: float) -> dict[str, float]:
    """Count modes, samples of high quality, and the reverse KL of the modes' shares."""
    distance = np.linalg.norm(samples[:, None] - centres, axis=2)
    good = distance.min(1) <= 3 * sigma
    count = np.bincount(distance.argmin(1)[good], minlength=len(centres))
    share = count[count > 0] / max(count.sum(), 1)
    return {
        "modes": float((count > 0).sum()),
        "high quality, %": 100 * float(good.mean()),
        "reverse KL": float((share * np.log(share * len(centres))).sum())
        if len(share)
        else math.inf,
    }


# --- ten seeds as one step


class Loss(nn.Module):
    """The sum of the means of one turn's terms."""

    def __init__(self, model: nn.Module, turn: str) -> None:
        super().__init__()
        self.model, self.turn = model, turn

    def forward(self, x: Tensor) -> Tensor:
        """Return the loss of rows x."""
        terms: dict[str, Tensor] = getattr(self.model, self.turn)(x, None)
        return torch.stack([term.mean() for term in terms.values()]).sum()


TURNS = {"measure": "critic", "close_in": "generator"}


def batched(seeds: int = 10, rows: int = 128) -> dict[str, Any]:
    """Time the gradients of a round of r3gan: seed after seed, and all at once."""
    torch.set_num_threads(1)
    data = pf.read(np.random.default_rng(0).normal(size=(2000, 2)))
    own = {"width": WIDTH, "latent": 2}
    models = [build("r3gan", data.schema, own, s, torch.device("cpu")) for s in range(seeds)]
    x = torch.randn(seeds, rows, 2)
    weights, buffers = stack_module_state(list(models))
    base: Any = copy.deepcopy(models[0])

    def in_turn() -> None:
        for model, own_rows in zip(models, x, strict=True):
            for turn, player in TURNS.items():
                torch.autograd.grad(
                    Loss(model, turn)(own_rows), [*model.player(player).parameters()]
                )

    def at_once() -> None:
        for turn, player in TURNS.items():
            moved = {f"model.{k}": v for k, v in weights.items() if k.startswith(player)}
            still = {f"model.{k}": v for k, v in weights.items() if not k.startswith(player)}
            still |= {f"model.{k}": v for k, v in buffers.items()}
            loss = Loss(base, turn)

            def of_seed(own: Any, others: Any, own_rows: Tensor, loss: Loss = loss) -> Any:
                return functional_call(loss, {**own, **others}, (own_rows,))

            vmap(grad(of_seed), randomness="different")(moved, still, x)

    first, second = (seconds(play) for play in (in_turn, at_once))
    found = {"in turn, s": first, "as one, s": second, "ratio": first / second, "seeds": seeds}
    print(found)
    return {"batched": found}


def seconds(play: Callable[[], None], times: int = 20) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(times + 2):
        start = time.perf_counter()
        play()
        taken.append(time.perf_counter() - start)
    return median(taken[2:])


if __name__ == "__main__":
    main()
