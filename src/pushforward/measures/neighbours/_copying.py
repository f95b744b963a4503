"""The statistics behind the measures of copies: which rows are nearer to the training rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._fitting import sklearn_context
from pushforward.measures.neighbours._shared import distances

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
MIN_CELL_ROWS = 20  # of each sample: from there on the rank sum is about normal
EXCHANGES_AT_ONCE = 64  # exchanges in memory at once


@dataclass(frozen=True)
class NearerShare:
    """The share of rows nearer to the training rows, its variance, and its permuted values (B,)."""

    share: float
    variance: float
    permuted: Floats


def nearer_share(
    to_training: tuple[Tensor, Tensor],
    to_held_out: tuple[Tensor, Tensor],
    size: int,
    permutations: int,
    rng: torch.Generator,
) -> NearerShare:
    """Compare the distances (m,) of generated rows to two reference samples of one size.

    Every row gives one point to its nearest reference row, or half a point to one on each side.
    Reference rows differ much in their points (those in the centre of the data are near many rows),
    so their points are the units of the variance, not the generated rows alone.

    Args:
        to_training: distances to the training sample, and its nearest rows.
        to_held_out: the same of the held-out sample.
        size: rows of each of the two.
        permutations: number of random exchanges.
        rng: draws them.
    """
    (near, i), (far, j) = to_training, to_held_out
    wins = (near < far).double() + 0.5 * (near == far).double()
    share = float(wins.mean())
    of_training = torch.zeros(size, dtype=torch.float64, device=near.device).index_add_(0, i, wins)
    of_held_out = torch.zeros_like(of_training).index_add_(0, j, 1 - wins)
    spread = (1 - share) ** 2 * of_training.var() + share**2 * of_held_out.var()
    variance = float(spread) * size / len(wins) ** 2
    # The share is that of the points of training rows: linear in which rows are exchanged.
    differences = (of_training - of_held_out).cpu()
    permuted = [signs @ differences for signs in _signs(permutations, size, rng)]
    return NearerShare(share, variance, 0.5 + torch.cat(permuted).numpy() / (2 * len(wins)))


def _signs(permutations: int, size: int, rng: torch.Generator) -> Iterator[Tensor]:
    for start in range(0, permutations, EXCHANGES_AT_ONCE):
        shape = (min(EXCHANGES_AT_ONCE, permutations - start), size)
        yield torch.randint(0, 2, shape, generator=rng).double() * 2 - 1


@dataclass(frozen=True)
class CellDistances:
    """The rows' cells (n,), and their distances to the cell's training rows (n,)."""

    cell: Indices
    distance: Floats

    def within(self, cell: int) -> Floats:
        """Return the distances in one cell."""
        here: Floats = self.distance[self.cell == cell]
        return here

    def resampled(self, rng: np.random.Generator) -> CellDistances:
        """Return as many rows, drawn with replacement."""
        rows = rng.integers(len(self.cell), size=len(self.cell))
        return CellDistances(self.cell[rows], self.distance[rows])


def cell_distances(
    held: Tensor, fake: Tensor, train: Tensor, cells: int, chunk: int | None, seed: int
) -> tuple[CellDistances, CellDistances]:
    """Split the training rows into cells, and place the rows of both samples in them."""
    from sklearn.cluster import KMeans

    samples = (train, held, fake)
    with sklearn_context(len(train)):
        means = KMeans(min(cells, len(torch.unique(train, dim=0))), n_init=1, random_state=seed)
        means.fit(train.double().cpu().numpy())
        inside = [means.predict(rows.double().cpu().numpy()).astype(np.int64) for rows in samples]
    distances_of = [np.zeros(len(rows)) for rows in samples]
    for cell in range(means.n_clusters):
        reference = train[torch.from_numpy(inside[0] == cell).to(train.device)]
        for rows, where, distance in zip(samples[1:], inside[1:], distances_of[1:], strict=True):
            here = where == cell
            if here.any():
                queries = rows[torch.from_numpy(here).to(rows.device)]
                distance[here] = distances(queries, reference, chunk)[0].cpu().numpy()
    return CellDistances(inside[1], distances_of[1]), CellDistances(inside[2], distances_of[2])


def usable_cells(held: CellDistances, fake: CellDistances, cells: int) -> list[int]:
    """Return the cells that have enough rows of both samples."""
    enough = [
        cell
        for cell in range(cells)
        if min((held.cell == cell).sum(), (fake.cell == cell).sum()) >= MIN_CELL_ROWS
    ]
    if not enough:
        raise MeasureError(
            f"none of {cells} cells has {MIN_CELL_ROWS} held-out and {MIN_CELL_ROWS} generated "
            "rows; take fewer cells or larger samples (and look at coverage: the generated rows "
            "may lie elsewhere)"
        )
    return enough


@dataclass(frozen=True)
class CopyingScore:
    """C_T, the z-scores of its cells, the rows in them, and the p-values of either side."""

    value: float
    scores: list[float]
    rows: dict[str, int]
    p_value: float
    p_value_above: float


def copying_score(held: CellDistances, fake: CellDistances, cells: list[int]) -> CopyingScore:
    """Return C_T over the given cells."""
    pairs = [(held.within(cell), fake.within(cell)) for cell in cells]
    sizes = np.array([len(h) for h, _ in pairs], dtype=np.float64)
    weights = sizes / sizes.sum()
    scores = np.array([mann_whitney_z(h, f) for h, f in pairs])
    value = float(weights @ scores)
    # The cells' scores are independent with variance 1 where there is no difference.
    tail = value / math.sqrt(2 * float(weights @ weights))
    rows = {"held_out": int(sizes.sum()), "generated": sum(len(f) for _, f in pairs)}
    return CopyingScore(value, scores.tolist(), rows, math.erfc(-tail) / 2, math.erfc(tail) / 2)


def mann_whitney_z(held: Floats, fake: Floats) -> float:
    """Return the z-score of the pairs in which `fake` is larger; 0 where all values are equal.

    Reference:
        Mann & Whitney 1947; for ties Lehmann 1975, "Nonparametrics", section 1.4.
    """
    n, m = len(held), len(fake)
    values, counts = np.unique(np.concatenate([held, fake]), return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2  # ranks from 1, ties at their mean
    larger = middle[np.searchsorted(values, fake)].sum() - m * (m + 1) / 2
    ties = (counts.astype(np.float64) ** 3 - counts).sum() / ((n + m) * (n + m - 1))
    variance = n * m * (n + m + 1 - ties) / 12
    return float((larger - n * m / 2) / math.sqrt(variance)) if len(values) > 1 else 0.0


def bootstrap(
    held: CellDistances, fake: CellDistances, cells: list[int], resamples: int, seed: int
) -> float | None:
    """Return the standard error of C_T over rows of both samples, or None for no resamples."""
    if resamples < 2:
        return None
    rng = np.random.default_rng(seed)
    bootstrapped = []
    for _ in range(resamples):
        one, other = held.resampled(rng), fake.resampled(rng)
        here = [c for c in cells if (one.cell == c).any() and (other.cell == c).any()]
        bootstrapped.append(copying_score(one, other, here).value if here else 0.0)
    return float(np.std(bootstrapped, ddof=1))
