"""Quality against epsilon on Adult: what differential privacy costs.

    python benchmarks/private.py [--epsilons 1 2.4 3 10 none] [--seeds 0] [--data ../shared/data]
                                 [--fits "vae:width=64:latent=16=300 steps" ...]

Trained on 80 % of adult-train.csv (which is what an (epsilon, 1e-5) guarantee is for), and measured
as `benchmarks/tables.py` does: shape and trend against the whole of adult-train.csv, detection and
utility by gradient boosting on adult-test.csv. And

accuracy   by the definition of mostlyai-qa: 1 minus the total variation of the tables of one, two
           and three columns (numbers in ten bins of equal mass, of categories the ten most frequent
           and the rest), the mean over columns, pairs and triples, and the mean of these three.

Coins and noise come from fresh entropy, so a second run of a seed differs. `none` is the same fit
without privacy.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from tables import Judge, Row, keep, utility

import pushforward as pf

DELTA = 1e-5
BINS = 10
SHOWN = {"accuracy": 3, "one": 3, "two": 3, "three": 3, "shape": 4, "trend": 4, "detection": 3}
SHOWN |= {"utility": 3, "spent": 3, "noise": 2, "seconds": 0}

Codes = NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--epsilons", nargs="*", default=["1", "2.4", "3", "10", "none"])
    parser.add_argument("--fits", nargs="*", default=["vae:width=64:latent=16=300 steps"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/private.json"))
    arguments = parser.parse_args()
    frames = [pl.read_csv(arguments.data / f"adult-{part}.csv") for part in ("train", "test")]
    judge, data = Quality(*frames), pf.read(frames[0], relations=False)
    machine: Row = {"cores": float(torch.get_num_threads())}
    found: dict[str, list[Any]] = {
        "machine": [machine | {"python": platform.python_version(), "torch": torch.__version__}],
        "half of the rows against the other": [judge.halves()],
    }
    for seed, what, epsilon in itertools.product(
        arguments.seeds, arguments.fits, arguments.epsilons
    ):
        name = f"{what}, epsilon {epsilon}"
        found.setdefault(name, []).append(run(judge, data, what, epsilon, seed))
        show(name, found[name][-1])
        keep(arguments.out, found)


def run(judge: Quality, data: Any, what: str, epsilon: str, seed: int) -> Row:
    """Fit MODEL:OPTION=VALUE=BUDGET under an epsilon, or without."""
    name, _, budget = what.rpartition("=")
    model, *given = name.split(":")
    keywords: dict[str, Any] = {"budget": budget, "seed": seed}
    keywords |= {key: float(v) if "." in v else int(v) for key, v in (o.split("=") for o in given)}
    if epsilon != "none":
        keywords |= {"epsilon": float(epsilon), "delta": DELTA}
    start = time.perf_counter()
    fitted = pf.fit(data, model, **keywords)
    seconds = time.perf_counter() - start
    found = judge(fitted.sample(len(judge.train), seed=seed)) | {"seconds": seconds}
    if spent := fitted.config.get("privacy"):
        found |= {"spent": spent["spent"], "noise": spent["training"]["noise_multiplier"]}
        found |= {"schema noise": spent["schema"]["noise"], "steps": spent["training"]["steps"]}
    return found


class Quality(Judge):
    """The measures of `tables.py` that privacy bears on, and mostlyai-qa's accuracy."""

    def __init__(self, train: pl.DataFrame, holdout: pl.DataFrame) -> None:
        super().__init__(train, holdout)
        self.edges = {
            name: np.unique(np.quantile(train[name], np.linspace(0, 1, BINS + 1)[1:-1]))
            for name in train.columns
            if train[name].dtype.is_numeric()
        }
        self.frequent = {
            name: train[name].value_counts(sort=True)[name].head(BINS).to_list()
            for name in train.columns
            if name not in self.edges
        }
        self.codes = self.binned(train)

    def __call__(self, fake: pl.DataFrame) -> Row:
        """Return the measures of generated rows."""
        fake = fake.select(self.train.columns)
        few = fake.head(len(self.holdout))
        found = self.accuracy(self.codes, self.binned(fake))
        return found | {
            "shape": pf.measures.column_shapes(self.train, fake).value,
            "trend": pf.measures.pair_trends(self.train, fake).value,
            "detection": pf.measures.classifier_test(
                self.holdout, few, classifier="xgboost", folds=3, limit=None
            ).extra["auc"],
            "utility": utility(fake, self.holdout),
        }

    def halves(self) -> Row:
        """Return the accuracy of real rows: those with even numbers against those with odd ones."""
        return self.accuracy(self.codes[::2], self.codes[1::2])

    def binned(self, frame: pl.DataFrame) -> Codes:
        """Return the bin (n, columns) of each value, the last one for what is missing or rare."""
        columns = []
        for name in self.train.columns:
            if name in self.edges:
                values = frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
                bins = np.searchsorted(self.edges[name], values, side="right")
                columns.append(np.where(np.isnan(values), BINS, bins))
            else:
                places = {level: i for i, level in enumerate(self.frequent[name])}
                columns.append(np.array([places.get(v, BINS) for v in frame[name].to_list()]))
        return np.stack(columns, 1).astype(np.int64)

    def accuracy(self, real: Codes, fake: Codes) -> Row:
        """Return 1 - total variation, the mean over columns, pairs and triples."""
        found: Row = {}
        for number, name in enumerate(("one", "two", "three"), start=1):
            each = itertools.combinations(range(real.shape[1]), number)
            found[name] = statistics.fmean(1 - _variation(real, fake, own) for own in each)
        return found | {"accuracy": statistics.fmean(found.values())}


def _variation(real: Codes, fake: Codes, columns: tuple[int, ...]) -> float:
    """Return the total variation of the joint tables of some columns."""
    base = (BINS + 1) ** np.arange(len(columns))
    shares = [
        np.bincount(codes[:, columns] @ base, minlength=(BINS + 1) ** len(columns)) / len(codes)
        for codes in (real, fake)
    ]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def show(name: str, row: Row) -> None:
    parts = (f"{key} {row[key]:.{digits}f}" for key, digits in SHOWN.items() if key in row)
    print(f"{name}: {'  '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
