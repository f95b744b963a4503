"""Every model on three kinds of data: what each is good for.

    python benchmarks/every_model.py [--data ../shared/data] [--only ring digits adult] [--seeds 3]
                                     [--jobs 2] [--folder runs/every-model] [--models vae gan ...]

One comparison a data set, by the library's own `compare`: the same budget in seconds, one core a
run. Shown is the mean loss of each model by each aspect (0: as good as real rows, 1: as bad as the
floor), in how many aspects it is ahead of the floor, and which models none is shown to be better
than. The folder keeps finished runs: another model costs only its own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import polars as pl

import pushforward as pf
from pushforward.models import all_models

BUDGETS = {"ring": "12s", "digits": "6s", "adult": "8s"}
ROWS = 10_000


def main() -> None:
    """Compare, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", choices=BUDGETS, default=[*BUDGETS])
    parser.add_argument("--models", nargs="+", default=[*all_models()])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--budget", help="of each run; by data set when left out")
    parser.add_argument("--folder", type=Path, default=Path("runs/every-model"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/every_model.json"))
    arguments = parser.parse_args()
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.only:
        known[name] = compared(name, arguments)
        print(name, *map(line, known[name]["models"].items()), sep="\n", flush=True)
        arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def compared(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare all models on one data set."""
    source: Any = name
    if name == "adult":
        source = pl.read_csv(arguments.data / "adult-train.csv", n_rows=ROWS)
    budget = arguments.budget or BUDGETS[name]
    result = pf.compare(
        source,
        arguments.models,
        seeds=arguments.seeds,
        budget=budget,
        out=arguments.folder / name,
        n_jobs=arguments.jobs,
        device="cpu",
    )
    beaten = {worse(d) for d in result.differences if d.better}
    models = {model: of_model(model, result) for model in result.models}
    unbeaten = [model for model in result.models if model not in beaten]
    answer = result.recommendation.sentence
    return {"budget": budget, "answer": answer, "unbeaten": unbeaten, "models": models}


def worse(difference: Any) -> str:
    return str(difference.second if difference.better == difference.first else difference.first)


def of_model(model: str, result: pf.Comparison) -> dict[str, Any]:
    """Return the mean loss by aspect, and steps."""
    own = [loss for loss in result.losses if loss.model == model and loss.votes]
    aspects = list(dict.fromkeys(loss.aspect for loss in own))
    found = {a: round(fmean(loss.mean for loss in own if loss.aspect == a), 3) for a in aspects}
    steps = [run.steps for run in result.facts[model]]
    ahead = sum(loss < 1 for loss in found.values())
    return {"losses": found, "ahead of the floor": f"{ahead} of {len(found)}", "steps": steps}


def line(entry: tuple[str, dict[str, Any]]) -> str:
    model, found = entry
    losses = "  ".join(f"{aspect} {loss:6.3f}" for aspect, loss in found["losses"].items())
    return f"{model:18} {losses}  {found['ahead of the floor']}  {min(found['steps']):,} steps"


if __name__ == "__main__":
    main()
