"""Our measures beside their peers, in one process, alternating: equal values, ratios of times.

    python benchmarks/measures.py [--data ../shared/data/adult-train.csv] [--rounds 5] [--only TEXT]

Each pair does the same work on the same rows: the value alone, without intervals and nulls, which
the peers do not have. The peers come with `pip install -e ".[peers]"`: prdc, POT, geomloss and
sdmetrics (all of them MIT). A ratio above 1 says how many times as fast ours is.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import pushforward as pf
from pushforward import measures as pm

Values = Mapping[str, float]
MEASURED_MEMORY = """
import sys, torch
from pushforward import measures as pm
from pushforward.training.memory import PeakMemory
n = int(sys.argv[1])
x, y = (torch.randn(n, 64, generator=torch.Generator().manual_seed(i)) for i in range(2))
peak = PeakMemory(x.device)
pm.prdc(x, y, splits=0, resamples=0)
print(peak.peak())
"""


@dataclass(frozen=True)
class Duel:
    """One measure, ours and a peer's, on the same rows.

    Args:
        peer: the library.
        ours: its values by name.
        theirs: the same.
        within: the largest difference of the values (above 1: relative); larger is an error.
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


def frechet(size: int, *, of_covariances: bool) -> Duel:
    """Fréchet distance at d = 512, against the matrix square root that FID scripts take.

    From the samples, or from their means and covariances, which either side computes alike.
    """
    from scipy.linalg import sqrtm
    from torch import from_numpy as tensor
    from torch.distributions import MultivariateNormal

    x, y = rows(size, 512, 0), 1.1 * rows(size, 512, 1, 0.5)
    known = [(z.mean(0), np.cov(z, rowvar=False)) for z in (x, y)]

    def ours() -> Values:
        if of_covariances:
            p, q = (MultivariateNormal(tensor(m), tensor(c)) for m, c in known)
            return {"frechet": pm.frechet_gaussian(p, q).value}
        return {"frechet": pm.frechet(x, y, permutations=0, groups=0, limit=None).value}

    def theirs() -> Values:
        fit = known if of_covariances else [(z.mean(0), np.cov(z, rowvar=False)) for z in (x, y)]
        (mean, a), (other, b) = fit
        traces = np.trace(a) + np.trace(b) - 2 * np.trace(np.real(sqrtm(a @ b)))
        return {"frechet": float(np.square(mean - other).sum() + traces)}

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
        1e-5,  # their distance of a row to itself is 1e-4
        as_ours,
    )


EPSILON = 0.1  # of the pooled mean squared distance


def _clouds(size: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return two samples in the plane, and the entropy's weight in squared units."""
    x, y = (torch.from_numpy(rows(size, 2, s, float(s))) for s in range(2))
    pooled = torch.cat([x, y])
    return x, y, EPSILON * float(torch.cdist(pooled, pooled).square().mean())


def _sinkhorn(size: int) -> Callable[[], Values]:
    x, y, _ = _clouds(size)
    return lambda: {"sinkhorn": pm.sinkhorn(x, y, epsilon=EPSILON, permutations=0).value}


def sinkhorn_geomloss(size: int) -> Duel:
    """Sinkhorn divergence; geomloss's cost is |x - y|^2 / 2, its blur^2 is half of our epsilon."""
    from geomloss import SamplesLoss

    x, y, weight = _clouds(size)
    loss = SamplesLoss("sinkhorn", p=2, blur=(weight / 2) ** 0.5, scaling=0.9, backend="tensorized")
    return Duel(
        "geomloss, scaling 0.9",
        _sinkhorn(size),
        lambda: {"sinkhorn": float(loss(x, y))},
        1e-2,  # their annealing stops early
        lambda found: {"sinkhorn": 2 * found["sinkhorn"]},
    )


def sinkhorn_pot(size: int) -> Duel:
    """Sinkhorn divergence; POT's ot.solve with the entropy against the product measure."""
    import ot

    x, y, weight = _clouds(size)

    def cost(a: torch.Tensor, b: torch.Tensor) -> float:
        squared = torch.cdist(a, b).square()
        return float(ot.solve(squared, reg=weight, reg_type="KL", tol=1e-6, max_iter=2000).value)

    def theirs() -> Values:
        return {"sinkhorn": cost(x, y) - (cost(x, x) + cost(y, y)) / 2}

    return Duel("POT, ot.solve", _sinkhorn(size), theirs, 1e-3)


@dataclass(frozen=True)
class Adult:
    """Rows of Adult, drawn with replacement, and their columns' kinds as sdmetrics names them."""

    frame: Any

    @classmethod
    def read(cls, data: Path) -> Adult:
        """Read the table."""
        import pandas as pd

        return cls(pd.read_csv(data))

    def drawn(self, size: int, seed: int) -> Any:
        """Return that many rows."""
        rows = self.frame.sample(size, replace=True, random_state=seed)
        return rows.reset_index(drop=True)

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the metadata that sdmetrics asks for."""
        from pandas.api.types import is_numeric_dtype

        kinds = {True: "numerical", False: "categorical"}
        columns = {c: {"sdtype": kinds[is_numeric_dtype(self.frame[c])]} for c in self.frame}
        return {"columns": columns}


def shapes(data: Path, size: int) -> Duel:
    """Mean error of the columns' shapes."""
    from sdmetrics.reports.single_table._properties import ColumnShapes

    return _property(ColumnShapes, Adult.read(data), size, pm.column_shapes)


def trends(data: Path, size: int) -> Duel:
    """Mean error of the pairs' trends, by sdmetrics' own convention."""
    from sdmetrics.reports.single_table._properties import ColumnPairTrends

    ours = partial(pm.pair_trends, convention="sdmetrics")
    return _property(ColumnPairTrends, Adult.read(data), size, ours)


def _property(theirs: Any, adult: Adult, size: int, ours: Callable[..., pm.Measurement]) -> Duel:
    real, fake, metadata = adult.drawn(size, 0), adult.drawn(size, 1), adult.metadata

    def score() -> Values:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {"error": 1 - theirs().get_score(real.copy(), fake.copy(), metadata)}

    return Duel("sdmetrics", lambda: {"error": ours(real, fake, permutations=0).value}, score, 1e-9)


def closest_record(data: Path, size: int) -> Duel:
    """Distances to the closest record. sdmetrics' are Gower's and ours Euclidean: times alone."""
    from sdmetrics.single_table.privacy.dcr_utils import calculate_dcr

    adult = Adult.read(data)
    train, real, fake = (adult.drawn(size, seed) for seed in range(3))

    def ours() -> Values:
        pm.measure(real, fake, train=train, measures="closest_record")
        return {}

    def theirs() -> Values:
        for reference in (train, real):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                calculate_dcr(fake, reference, adult.metadata)
        return {}

    return Duel("sdmetrics", ours, theirs, 0.0)


def alone(data: Path, size: int) -> float:
    """Return our seconds for the closest records of more rows than sdmetrics can join."""
    given = pf.read(data)
    columns = given.schema.features(given.rows).float()
    rng = np.random.default_rng(0)
    train, real, fake = (columns[rng.integers(len(columns), size=size)] for _ in range(3))
    return _seconds(lambda: pm.closest_record(real, fake, train=train))


def memory(size: int) -> float:
    """Return the peak of a whole process that takes `prdc` at d = 64, in gigabytes."""
    command = [sys.executable, "-c", MEASURED_MEMORY, str(size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1e9


def fought(duel: Duel, rounds: int) -> dict[str, Any]:
    """Return both medians and their ratio, after a look at the values, which must agree."""
    expected, found = duel.as_ours(duel.theirs()), duel.ours()
    for name, value in ((n, found[n]) for n in expected):
        if abs(value - expected[name]) > duel.within * max(abs(expected[name]), 1.0):
            msg = f"{name}: {value} here, {expected[name]} by {duel.peer}"
            raise ValueError(msg)
    times = [(_seconds(duel.ours), _seconds(duel.theirs)) for _ in range(rounds)]
    ratios = sorted(theirs / ours for ours, theirs in times)
    ours, theirs = (median(side) for side in zip(*times, strict=True))
    return {
        "peer": duel.peer,
        "ours": ours,
        "theirs": theirs,
        "ratio": median(ratios),
        "ratios": [ratios[0], ratios[-1]],
        "values": dict(found),
    }


def _seconds(call: Callable[[], object]) -> float:
    time.sleep(0.3)  # the other library's threads wait for more work by spinning, for a while
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def duels(data: Path, scale: float) -> dict[str, Callable[[], Duel]]:
    """Return all duels by name; `scale` makes them smaller."""

    def size(n: int) -> int:
        return max(200, int(n * scale))

    many, some, few = size(10_000), size(5000), size(1000)
    found: dict[str, Callable[[], Duel]] = {
        f"precision, recall, density, coverage, n = {many:,}": partial(neighbours, many),
        "frechet, d = 512, of covariances": partial(frechet, 2000, of_covariances=True),
        "frechet, d = 512, of 2,000 rows": partial(frechet, 2000, of_covariances=False),
        f"energy, n = {some:,}": partial(energy, some),
        f"sinkhorn, n = {few:,}": partial(sinkhorn_geomloss, few),
        f"sinkhorn, n = {few:,}, POT": partial(sinkhorn_pot, few),
    }
    if data.exists():
        found[f"column shapes, n = {size(30_000):,}"] = partial(shapes, data, size(30_000))
        found[f"pair trends, n = {size(30_000):,}"] = partial(trends, data, size(30_000))
        found[f"closest record, n = {few:,}"] = partial(closest_record, data, few)
    return found


def main() -> None:
    """Fight, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/adult-train.csv"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="duels whose name holds this text")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of rows")
    parser.add_argument("--memory", type=int, default=50_000, help="rows; 0 leaves it out")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/measures.json"))
    given = parser.parse_args()
    results: dict[str, Any] = {"machine": platform.machine(), "threads": torch.get_num_threads()}
    print(f"{'':44}{'ours, s':>9}{'theirs, s':>11}{'ratio':>8}  peer")
    for name, duel in duels(given.data, given.scale).items():
        if given.only in name:
            r = results[name] = fought(duel(), given.rounds)
            spread = f"({r['ratios'][0]:.1f} to {r['ratios'][1]:.1f})"
            times = f"{r['ours']:9.4f}{r['theirs']:11.4f}{r['ratio']:8.1f}"
            print(f"{name:44}{times}  {r['peer']} {spread}", flush=True)
    if given.memory:
        peak = memory(given.memory)
        results["peak memory, GB"] = {given.memory: peak}
        print(f"prdc, n = {given.memory:,}: peak {peak:.2f} GB of the process")
    if given.data.exists() and not given.only:
        size = max(200, int(30_000 * given.scale))
        results["closest record alone, s"] = {size: alone(given.data, size)}
        print(f"closest record, n = {size:,}: {results['closest record alone, s'][size]:.1f} s")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
