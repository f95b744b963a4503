"""What "the VAE loses" usually means: its likelihood, what is shown, whence codes are drawn.

    python benchmarks/vae_choices.py [--data ../shared/data] [--only digits mnist] [--seeds 5]

A VAE is trained with each likelihood for the same steps with the same networks. Of each training
means and draws are shown, with codes from the prior, a mixture and a flow fitted to the codes of
the training rows. Means over seeds with Student's 95 % intervals, of measures against test rows.
"""

from __future__ import annotations

import argparse
import json
import math
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from joblib import Parallel, delayed
from samplers import settled
from scipy.stats import t

import pushforward as pf
from pushforward.comparison.references import first_rows
from pushforward.measures import Scorer
from pushforward.sampling.request import SampleRequest

STEPS = {"digits": 1500, "mnist": 600}
LIKELIHOODS = ("unit-gaussian", "gaussian", "logistic", "autoregressive")
SHOWN = (False, True)  # draws?
SAMPLERS = ("prior", "mixture", "flow")
MEASURES = ("energy", "classifier_test", "precision", "coverage")
ROWS = 1000


def main() -> None:
    """Train, measure, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="*", default=[*STEPS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/vae_choices.json"))
    arguments = parser.parse_args()
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.only:
        every = [*product(LIKELIHOODS, range(arguments.seeds))]
        calls = (delayed(cells)(name, arguments, likelihood, seed) for likelihood, seed in every)
        found = Parallel(n_jobs=arguments.jobs)(calls)
        known[name] = table(found)
        print(name, json.dumps(known[name], indent=1), flush=True)
        arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def cells(
    name: str, arguments: argparse.Namespace, likelihood: str, seed: int
) -> dict[str, dict[str, float]]:
    """Train once; return the measures of each way to show it."""
    torch.set_num_threads(1)
    data = pf.read(name if name == "digits" else arguments.data / "mnist.npz")
    budget = f"{max(20, round(arguments.scale * STEPS[name]))} steps"
    own: dict[str, Any] = {"likelihood": likelihood, "sampler": "prior", "beta": 1.0}
    fitted = pf.fit(data, "vae", budget=budget, seed=seed, device="cpu", **own)
    scorer, real = Scorer(data, measures=list(MEASURES)), first_rows(data.subset("test"), ROWS)
    found = {}
    for sampler, draws in product(SAMPLERS, SHOWN):
        shown = settled(fitted, data, sampler, seed, noise=draws)
        request = SampleRequest(shown.network(), shown.schema, len(real[0]), 100 + seed)
        card = scorer.score(real, request.draw(), seed=0, strict=False)
        what = "a draw" if draws else "its mean"
        found[f"{likelihood}, {what}, codes: {sampler}"] = {m: card[m].value for m in MEASURES}
    return found


def table(found: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Return the mean and half the interval over seeds of each measure, by case."""
    cases: dict[str, list[dict[str, float]]] = {}
    for of_run in found:
        for case, measured in of_run.items():
            cases.setdefault(case, []).append(measured)
    return {
        case: {m: spread([r[m] for r in runs]) for m in MEASURES} for case, runs in cases.items()
    }


def spread(of_seeds: list[float]) -> list[float]:
    """Return the mean, and half of Student's interval."""
    n = len(of_seeds)
    half = float(t.ppf(0.975, n - 1)) * stdev(of_seeds) / math.sqrt(n) if n > 1 else math.nan
    return [round(fmean(of_seeds), 4), round(half, 4)]


if __name__ == "__main__":
    main()
