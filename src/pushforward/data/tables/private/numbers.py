"""The range, atoms and quantile bins of a column of numbers, from noisy counts.

Two things are asked. In which octave (sign and binary exponent) the values lie: the range is from
the lowest to the highest one that holds more than noise, and many zeros are an atom. Then the range
is cut into 16 parts, each part that holds many rows into 16 again, and so on: the leaves of this
tree are the pieces of the partition, and a leaf that is a single step of the column's grid and
holds many rows is an atom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pushforward.data.numeric import Floats, Mask
from pushforward.data.tables.partition import MAX_BINS, Partition
from pushforward.data.tables.private.counts import NoisyCounts

BRANCHES = 16
LEVELS = 4
QUESTIONS = 1 + LEVELS
OCTAVES = 128  # on either side of 0
CERTAIN = 5.0  # deviations: among 257 octaves, noise passes one by chance in 10,000 columns
MANY = 8.0  # deviations that a part holds whose own parts are asked for
SOME = 1.5  # deviations below which a part is taken to be empty ...
UNEVEN = 2.0  # ... where the parts differ by so many times the variance of the noise; else evenly


@dataclass(frozen=True)
class Leaves:
    """Neighbouring pieces of the number line, from one end of the range to the other.

    Args:
        start: (P,) ascending; each piece ends where the next one starts.
        end: of the last.
        mass: (P,) how many rows each is taken to hold.
        single: (P,) whether it is one step of the grid.
    """

    start: Floats
    end: float
    mass: Floats
    single: Mask


def noisy_partition(
    steps: Floats, counts: NoisyCounts, rows: int, *, integers: bool
) -> tuple[Partition, Floats]:
    """Return the partition of a column, and its values as they lie within it.

    Args:
        steps: (n,) the values in steps of the column's grid, NaN where missing.
        counts: answers `QUESTIONS` questions at most.
        rows: about how many there are.
        integers: whether all values are whole steps.
    """
    found = _octaves(steps, counts)
    missing = found.missing / rows if found.missing > counts.above(CERTAIN) else None
    top = found.high - 1 if integers else np.nextafter(found.high, -np.inf)
    inside = np.where(np.abs(steps) < 1, 0.0, steps.clip(found.low, top))
    many = found.zeros > max(rows / MAX_BINS, counts.above(MANY))
    present = inside[~np.isnan(inside) & ~(many & (inside == 0))]
    others = max(rows - found.missing - many * found.zeros, 1.0)
    leaves = _leaves(present, found.low, found.high, counts, others, integers)
    if many:
        leaves = _with_zero(leaves, found.zeros)
    partition = _partition(leaves, counts, missing, integers)
    if missing is None:
        usual = leaves.start[leaves.mass.argmax()]
        inside = np.where(np.isnan(inside), usual, inside)
    return partition, inside.clip(*partition.extent)


@dataclass(frozen=True)
class _Octaves:
    """Where values lie, [low, high), and about how many are 0 or missing."""

    low: float
    high: float
    zeros: float
    missing: float


def _octaves(steps: Floats, counts: NoisyCounts) -> _Octaves:
    """Ask in which octave each value lies."""
    exponent = np.frexp(steps)[1].clip(0, OCTAVES)  # |t| in [2^(e - 1), 2^e), or below 1
    octave = OCTAVES + np.where(steps < 0, -exponent, exponent)
    absent = 2 * OCTAVES + 1
    held = counts(np.bincount(np.where(np.isnan(steps), absent, octave), minlength=absent + 1))
    zeros, missing = float(held[OCTAVES]), max(float(held[absent]), 0.0)
    found = np.flatnonzero(held[:absent] > counts.above(CERTAIN)) - OCTAVES
    beside = found[found != 0]
    lowest, highest = (int(beside[0]), int(beside[-1])) if len(beside) else (0, 0)
    low = -(2.0**-lowest) if lowest < 0 else 2.0 ** (lowest - 1) if lowest > 0 else 0.0
    high = 2.0**highest if highest >= 0 else 1.0 - 2.0 ** (-highest - 1)
    if 0 in found:
        low, high = min(low, 0.0), max(high, 1.0)
    return _Octaves(low, high, zeros, missing)


def _leaves(
    values: Floats, low: float, high: float, counts: NoisyCounts, rows: float, integers: bool
) -> Leaves:
    """Return the leaves of the tree over `rows` values, about."""
    start, width = np.array([low]), 2.0 ** np.ceil(np.log2(high - low))
    mass = np.array([rows])
    done: list[tuple[float, float, bool]] = []
    many = max(rows / MAX_BINS, counts.above(MANY))
    for _ in range(LEVELS):
        parts = int(min(BRANCHES, width)) if integers else BRANCHES
        if parts < 2 or not len(start):
            break
        node = np.searchsorted(start, values, side="right") - 1
        offset = values - start[node.clip(0)]
        within = (node >= 0) & (offset < width)
        width /= parts
        part = node[within] * parts + (offset[within] // width).astype(np.int64)
        held = counts(np.bincount(part, minlength=len(start) * parts))
        start = (start[:, None] + width * np.arange(parts)).ravel()
        possible = start < high
        mass = _shared_out(mass, held.reshape(-1, parts), possible.reshape(-1, parts), counts)
        heavy = (held > many) & possible
        single = integers and width == 1
        done += [(s, m, single) for s, m in zip(start[~heavy], mass[~heavy], strict=True)]
        start, mass = start[heavy], mass[heavy]
    single = integers and width == 1
    done += [(s, m, single) for s, m in zip(start, mass, strict=True)]
    done = sorted(leaf for leaf in done if leaf[0] < high)
    first, held, alone = (np.array(own) for own in zip(*done, strict=True))
    return Leaves(first, high, held, alone)


def _with_zero(leaves: Leaves, zeros: float) -> Leaves:
    """Return leaves with one of 0 alone, cut out of those around it."""
    edges = np.append(leaves.start, leaves.end)
    finer = np.unique(np.append(edges, [0.0, 1.0]))
    start, width = finer[:-1], np.diff(finer)
    owner = np.searchsorted(edges, start, side="right") - 1
    within = (owner >= 0) & (start < leaves.end)
    owner = owner.clip(0, len(leaves.mass) - 1)
    own = width / np.diff(edges)[owner]
    mass = np.where(within, leaves.mass[owner] * own, 0.0) + np.where(start == 0, zeros, 0.0)
    single = (within & leaves.single[owner]) | (start == 0)
    return Leaves(start, float(finer[-1]), mass, single)


def _shared_out(mass: Floats, held: Floats, possible: Mask, counts: NoisyCounts) -> Floats:
    """Return the mass of each node's parts: the node's own, by what they hold (nodes, parts).

    Where that differs by no more than noise, each gets as much.
    """
    number = possible.sum(1, keepdims=True).clip(1)
    mean = (held * possible).sum(1, keepdims=True) / number
    scatter = ((held - mean) ** 2 * possible).sum(1, keepdims=True) / number
    some = np.where((held > counts.above(SOME)) & possible, held, 0.0)
    total = some.sum(1, keepdims=True)
    told = (total > 0) & (scatter > UNEVEN * counts.above(1.0) ** 2)
    shares = np.where(told, some / np.where(total > 0, total, 1.0), possible / number)
    parts: Floats = (mass[:, None] * shares).ravel()
    return parts


def _partition(
    leaves: Leaves, counts: NoisyCounts, missing: float | None, integers: bool
) -> Partition:
    """Return the cells: that of missing values, if any, the atoms, the bins."""
    mass, rows = leaves.mass, float(leaves.mass.sum())
    least = max(rows / MAX_BINS, counts.above(MANY / 2))
    is_atom = leaves.single & (mass >= least)
    number = np.cumsum(is_atom) - 1
    rest = np.where(is_atom, 0.0, mass)
    if rest.sum() > 0 or not is_atom.any():
        least = max(rest.sum() / MAX_BINS, counts.above(MANY / 2), 1.0)
        middle = np.cumsum(rest) - rest / 2
        _, own = np.unique((middle[~is_atom] // least).astype(np.int64), return_inverse=True)
        number[~is_atom] = is_atom.sum() + own
    held = np.flatnonzero(mass > 0)
    ends = np.append(leaves.start[1:], leaves.end)
    extent = (float(leaves.start[held[0]]), float(ends[held[-1]] - integers))
    return Partition(
        bounds=np.append(leaves.start, leaves.end) - integers / 2,
        cell=number.clip(0) + (missing is not None),
        mass=mass / rows * (1.0 - (missing or 0.0)),
        atom=np.where(is_atom, leaves.start, np.nan),
        extent=extent,
        missing=missing,
    )
