"""How wide networks of images should be: each width gets the same time, not the same steps.

    python benchmarks/image_sizes.py [--data ../shared/data] [--only digits mnist cifar10]

What a step costs is measured first, in seconds of CPU time of one thread, so that a busy machine
changes nothing; a budget in such seconds is then a number of steps. Two budgets for each data set,
three widths, both families, one seed; measured against validation rows. *dial* marks the width that
the size dial chooses for that budget.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

import pushforward as pf
from pushforward.comparison.references import first_rows
from pushforward.measures import Scorer
from pushforward.nn.sizes import Means, size_of
from pushforward.sampling.request import SampleRequest
from pushforward.space import Image

BUDGETS = {"digits": (10, 30), "mnist": (30, 60), "cifar10": (30, 90)}
FILES = {"digits": "digits", "mnist": "mnist.npz", "cifar10": "cifar10"}
WIDTHS = (16, 32, 64)
SHOWN = ["energy", "classifier_test", "precision", "recall", "coverage"]
ROWS = 1000  # that are measured
WARM, TIMED = 50, 100  # steps; both runs make as many checks, whose cost cancels
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="*", default=[*BUDGETS])
    parser.add_argument("--models", nargs="*", default=["vae", "gan"])
    parser.add_argument("--widths", nargs="*", type=int, default=[*WIDTHS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="of the budgets")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/image_sizes.json"))
    arguments = parser.parse_args()
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.only:
        data = pf.read(name if name == "digits" else arguments.data / FILES[name])
        scorer = Scorer(data, measures=SHOWN)
        for model in arguments.models:
            for width in arguments.widths:
                cost = seconds_a_step(data, model, width)
                for budget in BUDGETS[name]:
                    steps = max(2, round(arguments.scale * budget / cost))
                    row = run(data, scorer, model, width, steps, arguments.seed)
                    dial = chosen(data, budget) == width
                    case = f"{name}, {budget} s, {model}, width {width}{' (dial)' * dial}"
                    known[case] = row
                    print(f"{case:42} {row}", flush=True)
                    arguments.out.write_text(json.dumps(known, indent=1) + "\n")


def seconds_a_step(data: Any, model: str, width: int) -> float:
    """Return the CPU seconds of one more step: of long runs less short ones."""

    def seconds(steps: int) -> float:
        start = time.process_time()
        pf.fit(data, model, budget=f"{steps} steps", seed=0, width=width)
        return time.process_time() - start

    return median((seconds(WARM + TIMED) - seconds(WARM)) / TIMED for _ in range(REPEATS))


def run(
    data: Any, scorer: Scorer, model: str, width: int, steps: int, seed: int
) -> dict[str, float]:
    """Train once, and return what is measured."""
    fitted = pf.fit(data, model, budget=f"{steps} steps", seed=seed, width=width)
    real = first_rows(data.subset("validation"), ROWS)
    fake = SampleRequest(fitted.network(), fitted.schema, len(real[0]), seed).draw()
    card = scorer.score(real, fake, seed=0, strict=False)
    return {m: round(card[m].value, 3) for m in SHOWN if m in card} | {"steps": steps}


def chosen(data: Any, seconds: float) -> int:
    """Return the width that the dial chooses."""
    space = data.schema.space
    assert isinstance(space, Image)
    means = Means(distinct=len(data.raw("train")), seconds=seconds)
    return size_of(space, means).width


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
