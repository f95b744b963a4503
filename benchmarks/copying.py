"""The alarm of copying: how often honest generators are accused, and how often copiers are.

    python benchmarks/copying.py [--only DATA ...] [--repeats 500] [--large 200] [--copiers 20]

An honest generator gives new rows of the distribution itself; a copier gives training rows for some
of its rows, exactly or with noise of a twentieth of the columns' spread. Small: 100 generated, 100
held-out and 300 training rows; large: 1,000, 1,000 and 3,000; one seed each time. For copiers the
means of the membership attacks' numbers stand beside the alarm. Data that are left out by --only
stay in the file as they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from pushforward.measures import Measurement, closest_record, exact_matches, membership_inference
from pushforward.measures.privacy import copying

SMALL, LARGE = (100, 100, 300), (1000, 1000, 3000)  # generated, held-out and training rows
NOISE = 0.05
Draw = Callable[[np.random.Generator, int], Tensor]
Case = dict[str, list[Measurement]]


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
    parser.add_argument("--only", nargs="*", choices=DATA, default=list(DATA))
    parser.add_argument("--repeats", type=int, default=500, help="honest generators, small")
    parser.add_argument("--large", type=int, default=200, help="honest generators, large")
    parser.add_argument("--copiers", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/copying.json"))
    arguments = parser.parse_args()
    out: Path = arguments.out
    found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    for name in arguments.only:
        draw = DATA[name]
        found[name] = {
            "small": rates(draw, SMALL, arguments.repeats, arguments.copiers, (0.1, 0.5, 1.0)),
            "large": rates(draw, LARGE, arguments.large, arguments.copiers, (0.04, 1.0)),
        }
        print(name, json.dumps(found[name], indent=1), flush=True)
        out.write_text(json.dumps(found, indent=1) + "\n")


def rates(
    draw: Draw, sizes: tuple[int, int, int], repeats: int, copiers: int, shares: tuple[float, ...]
) -> dict[str, Any]:
    """Return the share that is accused of honest generators, and of copiers."""
    honest = [measured(draw, sizes, 0.0, 0.0, seed) for seed in range(repeats)]
    found: dict[str, Any] = {"honest": summary(honest)}
    for share in shares:
        for noise, how in ((0.0, "copied"), (NOISE, "copied with noise")):
            cases = [measured(draw, sizes, share, noise, seed) for seed in range(copiers)]
            found[f"{100 * share:g} % {how}"] = summary(cases)
    return found


def measured(
    draw: Draw, sizes: tuple[int, int, int], share: float, noise: float, seed: int
) -> Case:
    rng = np.random.default_rng(seed)
    generated, held_out, training = sizes
    copied = round(share * generated)
    x, train, fresh = (draw(rng, n) for n in (held_out, training, generated - copied))
    copies = train[:copied] + noise * train.std(0) * torch.from_numpy(
        rng.normal(size=(copied, train.shape[1]))
    )
    y = torch.cat([copies, fresh])
    cards = [
        membership_inference(x, y, train=train, seed=seed),
        closest_record(x, y, train=train, seed=seed),
        exact_matches(x, y, train=train),
    ]
    return {card.name: [card] for card in cards}


def summary(cases: list[Case]) -> dict[str, Any]:
    """Return the share that is accused, by each test alone too, and what the attacks measure."""
    attacks = [case["membership_inference"][0] for case in cases]
    rates = [one.extra["true_positive_rate"] for one in attacks]
    return {
        "repeats": len(cases),
        "accused": interval([copying(case) is not None for case in cases]),
        "by": {
            name: interval([(case[name][0].p_value or 0.0) <= 0.025 / 3 for case in cases])[0]
            for name in cases[0]
        },
        "auc": round(fmean(one.value for one in attacks), 4),
        "true_positive_rate": {f: round(fmean(rate[f] for rate in rates), 4) for f in rates[0]},
        "median_p_value": float(np.median([one.p_value or 0.0 for one in attacks])),
    }


def interval(cases: list[bool]) -> list[float]:
    """Return a share with its Clopper-Pearson interval (95 %)."""
    ends = stats.binomtest(sum(cases), len(cases)).proportion_ci(0.95)
    return [round(x, 4) for x in (sum(cases) / len(cases), ends.low, ends.high)]


if __name__ == "__main__":
    main()
