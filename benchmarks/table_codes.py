"""A table's VAE whose code does the work, beside the default, whose likelihood does most of it.

    python benchmarks/table_codes.py [--data ../shared/data] [--rows 10000] [--steps 600]
                                     [--batch-size 512] [--seeds 2] [--only "vae, default" ...]

Adult: the first rows of adult-train.csv are trained on, as many of adult-test.csv are the holdout.
Every model has the same networks, batches and steps; but for the first, columns are independent
given z. Each is trained once a seed, and its samplers are fitted to the same codes. *own codes* are
those of the training rows, drawn from q(z|x): as good as any sampler can get.

nats       in the code of a holdout row: E KL(q(z|x) || p(z));
-ELBO      of holdout rows, in nats;
XGBoost    ROC AUC of XGBoost telling training rows from as many generated ones, as in detection.py;
classifier the same of the library's own `classifier_test`, against the holdout;
utility    ROC AUC on the holdout of trees that learned the income from generated rows.

Shown are means over seeds, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import polars as pl
import torch
from detection import detection
from samplers import settled
from table_sources import SPLIT

import pushforward as pf
from pushforward.random import isolated

CPU = torch.device("cpu")
SETTLED = ("mixture", "flow")
OWN = "own codes"
INDEPENDENT: dict[str, Any] = {"likelihood": "categorical"}
MODELS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "vae, default": ("vae", {}, ()),
    "vae, 16 latents": ("vae", INDEPENDENT | {"latent": 16}, SETTLED),
    "vae, 64 latents": ("vae", INDEPENDENT | {"latent": 64}, SETTLED),
    "vae, 128 latents": ("vae", INDEPENDENT | {"latent": 128}, SETTLED),
    "vamp-vae, 64 latents": ("vamp-vae", INDEPENDENT | {"latent": 64}, ()),
    "flow-vae, 64 latents": ("flow-vae", INDEPENDENT | {"latent": 64}, ()),
    "ladder-vae, 64 latents": ("ladder-vae", INDEPENDENT | {"latent": 64}, ()),
}
Found = dict[str, float]


def main() -> None:
    """Train, measure, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/table_codes.json"))
    arguments = parser.parse_args()
    train, holdout = (
        pl.read_csv(arguments.data / f"adult-{part}.csv", n_rows=arguments.rows)
        for part in ("train", "test")
    )
    known: dict[str, list[Found]] = {"the holdout": [judged(train, holdout, train)]}
    for seed in range(arguments.seeds):
        for name in arguments.only:
            for sampler, found in rows(name, train, holdout, seed, arguments):
                key = f"{name}, codes from the {sampler}" if sampler != OWN else f"{name}, {OWN}"
                known.setdefault(key, []).append(found)
                print(f"{key:50} seed {seed} {found}", flush=True)
                arguments.out.write_text(json.dumps(known, indent=1) + "\n")
    for key, runs in known.items():
        print(f"{key:50} " + "  ".join(f"{what} {spread(runs, what)}" for what in runs[0]))


def rows(
    name: str,
    train: pl.DataFrame,
    holdout: pl.DataFrame,
    seed: int,
    arguments: argparse.Namespace,
) -> Iterator[tuple[str, Found]]:
    """Train once, and yield what codes from each source come to."""
    model, options, samplers = MODELS[name]
    data = pf.read(train, split=SPLIT)
    fitted = pf.fit(
        data,
        model,
        budget=f"{arguments.steps} steps",
        seed=seed,
        device="cpu",
        batch_size=arguments.batch_size,
        sampler="prior",
        **options,
    )
    costs = nats(fitted, holdout)
    yield "prior", costs | judged(train, fitted.sample(len(train), seed=seed), holdout)
    for sampler in samplers:
        fake = settled(fitted, data, sampler, seed).sample(len(train), seed=seed)
        yield sampler, costs | judged(train, fake, holdout)
    yield OWN, costs | judged(train, decoded(fitted, train, seed), holdout)


@torch.no_grad()
def nats(fitted: pf.Fitted, holdout: pl.DataFrame) -> Found:
    """Return the rate and -ELBO of holdout rows."""
    network: Any = fitted.network()
    with isolated(CPU, 0):
        terms = network.elbo(fitted.schema.expand(fitted.schema.encode(holdout)), None)
    means = {what: float(values.mean()) for what, values in terms.items()}
    return {"nats": round(means["rate"], 3), "-ELBO": round(sum(means.values()), 3)}


@torch.no_grad()
def decoded(fitted: pf.Fitted, train: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return rows that are generated from the training rows' own codes."""
    network: Any = fitted.network()
    schema = fitted.schema
    place = torch.Generator().manual_seed(seed)
    with isolated(CPU, seed):
        z, _ = network.codes(schema.expand(schema.encode(train)))
        x = network.generate(z)
    fake: pl.DataFrame = schema.decode(schema.quantise(x, place), None, place)
    return fake


def judged(train: pl.DataFrame, fake: pl.DataFrame, holdout: pl.DataFrame) -> Found:
    """Return how well rows are told from real ones, and of what use they are."""
    card = pf.measure(holdout, fake, measures=["classifier_test", "utility"], target="income")
    return {
        "XGBoost": round(detection(train, fake), 3),
        "classifier": round(card["classifier_test"].extra["auc"], 3),
        "utility": round(card["utility"].value, 4),
    }


def spread(runs: list[Found], what: str) -> str:
    """Return the mean, the smallest and the largest."""
    values = [run[what] for run in runs]
    return f"{fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
