"""The alarm of copying: how often honest generators are accused, and how often copiers are.

    python benchmarks/copying.py [--repeats 500] [--copiers 20]

An honest generator gives new rows of the distribution itself; a copier gives training rows for 10,
50 or 100 % of its rows. 100 generated, 100 held-out and 300 training rows, one seed each time. The
rule of before accused where any measure's 95 % interval lay above its null.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from pushforward.measures import Measurement, closest_record, exact_matches, membership_inference
from pushforward.measures.privacy import copying

GENERATED, HELD_OUT, TRAINING = 100, 100, 300
Draw = Callable[[np.random.Generator, int], Tensor]


def normal(rng: np.random.Generator, n: int) -> Tensor:
    return torch.from_numpy(rng.normal(size=(n, 5)))


def rounded(rng: np.random.Generator, n: int) -> Tensor:
    return torch.from_numpy(rng.gamma(4, size=(n, 11)).round(1))


def categories(rng: np.random.Generator, n: int) -> Tensor:
    return torch.from_numpy(rng.integers(5, size=(n, 4)).astype(float))


DATA: dict[str, Draw] = {
    "five normal columns": normal,
    "eleven rounded columns": rounded,
    "four columns of five categories": categories,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--copiers", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/copying.json"))
    arguments = parser.parse_args()
    found = {}
    for name, draw in DATA.items():
        honest = [measured(draw, 0, seed) for seed in range(arguments.repeats)]
        rates = {
            "false alarms": share([copying(own) is not None for own in honest]),
            "false alarms before": share([before(own) for own in honest]),
        }
        for copied in (10, 50, 100):
            copiers = [measured(draw, copied, seed) for seed in range(arguments.copiers)]
            rates[f"{copied} % copied"] = share([copying(own) is not None for own in copiers])
        found[name] = rates
        texts = [f"{what} {r[0]:.3f} [{r[1]:.3f}, {r[2]:.3f}]" for what, r in rates.items()]
        print(name, *texts, sep="\n  ", flush=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def measured(draw: Draw, copied: int, seed: int) -> dict[str, list[Measurement]]:
    rng = np.random.default_rng(seed)
    x, train, fresh = (draw(rng, n) for n in (HELD_OUT, TRAINING, GENERATED - copied))
    y = torch.cat([train[:copied], fresh])
    cards = [
        membership_inference(x, y, train=train, seed=seed),
        closest_record(x, y, train=train, seed=seed),
        exact_matches(x, y, train=train),
    ]
    return {card.name: [card] for card in cards}


def before(measurements: dict[str, list[Measurement]]) -> bool:
    return any((m.low or 0.0) > (m.null or 0.0) for (m,) in measurements.values())


def share(cases: list[bool]) -> list[float]:
    """Return a share with its Clopper-Pearson interval (95 %)."""
    ends = stats.binomtest(sum(cases), len(cases)).proportion_ci(0.95)
    return [round(x, 4) for x in (sum(cases) / len(cases), ends.low, ends.high)]


if __name__ == "__main__":
    main()
