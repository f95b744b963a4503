"""Our rulers beside their peers, in one process, alternating: equal values, and the ratio of times.

    python benchmarks/measures.py [--data ../shared/data/adult-train.csv] [--rounds 5] [--only TEXT]

Each pair does the same work on the same rows: the value alone, without intervals and nulls, which
the peers do not have. The peers come with `pip install -e ".[peers]"`: prdc, POT, geomloss and
sdmetrics (all of them MIT). A ratio above 1 says how many times as fast ours is.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pushforward import measures as pm

Values = Mapping[str, float]
MEASURED_MEMORY = """
import sys, torch
from pushforward import measures as pm
from pushforward.memory import PeakMemory
n = int(sys.argv[1])
x, y = (torch.randn(n, 64, generator=torch.Generator().manual_seed(i)) for i in range(2))
with PeakMemory() as peak:
    pm.prdc(x, y, splits=0, resamples=0)
"""


@dataclass(frozen=True)
class Duel:
    """One ruler, ours and a peer's, on the same rows.

    Args:
        peer: the library.
        ours: its values by name.
        theirs: the same.
        within: the largest relative difference of the values; larger is an error.
        as_ours: brings their values to our convention; it is not timed.
    """

    peer: str
    ours: Callable[[], Values]
    theirs: Callable[[], Values]
    within: float
    as_ours: Callable[[Values], Values] = dict


def rows(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return n rows of N(shift e1, I_d)."""
    x = np.random.default_rng(seed).normal(size=(n, d))
    x[:, 0] += shift
    return x


def neighbours(size: int) -> Duel:
    """Precision, recall, density and coverage at d = 64, against the package of their authors."""
    from prdc import compute_prdc

    x, y = rows(size, 64, 0), rows(size, 64, 1, 0.5)

    def ours() -> Values:
        return {n: m.value for n, m in pm.prdc(x, y, splits=0, resamples=0).items()}

    def theirs() -> Values:
        with contextlib.redirect_stdout(io.StringIO()):
            return dict(compute_prdc(x, y, nearest_k=5))

    return Duel("prdc", ours, theirs, 1e-12)


def frechet(size: int) -> Duel:
    """Fréchet distance at d = 512, against the matrix square root that FID scripts take."""
    from scipy.linalg import sqrtm

    d = 512
    x, y = rows(size, d, 0), 1.1 * rows(size, d, 1, 0.5)

    def ours() -> Values:
        return {"frechet": pm.frechet(x, y, permutations=0, groups=0).value}

    def theirs() -> Values:
        a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
        root = np.real(sqrtm(a @ b))
        shift = np.square(x.mean(0) - y.mean(0)).sum()
        return {"frechet": float(shift + np.trace(a) + np.trace(b) - 2 * np.trace(root))}

    return Duel("scipy.linalg.sqrtm", ours, theirs, 1e-6)


def energy(size: int) -> Duel:
    """Energy distance at d = 10. geomloss has half of it, with the zeros of the diagonal."""
    from geomloss import SamplesLoss

    x, y = (torch.from_numpy(rows(size, 10, s, float(s))) for s in range(2))
    loss = SamplesLoss("energy", backend="tensorized")

    def as_ours(found: Values) -> Values:
        diagonal = sum(float(torch.cdist(z, z).sum()) / size**2 / (size - 1) for z in (x, y))
        return {"energy": 2 * found["energy"] - diagonal}

    return Duel(
        "geomloss",
        lambda: {"energy": float(pm.energy_statistic(x, y))},
        lambda: {"energy": float(loss(x, y))},
        1e-6,
        as_ours,
    )


def tables(data: Path, size: int) -> dict[str, Duel]:
    """Column shapes and pair trends of Adult, as sdmetrics' quality report defines them."""
    import pandas as pd
    from sdmetrics.reports.single_table._properties import ColumnPairTrends, ColumnShapes

    frame = pd.read_csv(data)
    real, fake = (frame.sample(size, replace=True, random_state=s) for s in range(2))
    numeric = {c for c in frame if pd.api.types.is_numeric_dtype(frame[c])}
    kinds = {c: "numerical" if c in numeric else "categorical" for c in frame}
    metadata = {"columns": {c: {"sdtype": kind} for c, kind in kinds.items()}}

    def theirs(score: Any) -> Callable[[], Values]:
        def run() -> Values:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return {"error": 1 - score().get_score(real.copy(), fake.copy(), metadata)}

        return run

    def shapes() -> Values:
        return {"error": pm.column_shapes(real, fake, resamples=0).value}

    def trends() -> Values:
        found = pm.pair_trends(real, fake, resamples=0, convention="sdmetrics")
        return {"error": found.value}

    return {
        "column shapes": Duel("sdmetrics", shapes, theirs(ColumnShapes), 1e-9),
        "pair trends": Duel("sdmetrics", trends, theirs(ColumnPairTrends), 1e-9),
    }
