"""The number line cut into pieces, each of them part of a cell: how one column meets a categorical.

An atom is a value that many rows share: a cell of its own, so that a generated row says exactly
that value about as often. Between the atoms lie at most 64 cells that hold about equally many rows
(quantile bins). Within a bin the distribution is a histogram of a few pieces, each of which pools
at least `POOL` rows, so that no piece tells of a single row. Missing values have a cell of their
own, the first. A column of categories is the special case in which every code is an atom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

POOL = 20  # rows that an atom or a piece of a bin must at least stand for
BINS = 64  # quantile bins of a column
PIECES = 16  # pieces of one bin
ROUNDED = 16  # ... whose ends are rounded to such a part of it
ATOMS = 128  # atoms of a column of numbers
TINY = 1e-270  # numbers below count as 0 here: what divides by a spacing would overflow
LEAST = 1e-290  # width of the cell of 0; less than the spacing of floats above `TINY`
WHOLE = 1000  # categories that all get a cell of their own; of more than this ...
KEPT = 255  # ... so many do, and the others share one


@dataclass(frozen=True, eq=False)
class Partition:
    """A cover of the number line by P pieces, in ascending order, without gaps.

    Args:
        bounds: (P + 1,) strictly increasing; piece i is [bounds[i], bounds[i + 1]).
        cell: (P,) the cell that each piece belongs to.
        mass: (P,) the share of the training rows in each piece; 0 for a gap between values.
        atom: (P,) the value that a piece stands for, or NaN where all its values may occur.
        extent: the smallest and the largest value that may be generated.
        missing: the share of missing training rows; None when there is no such cell.
    """

    bounds: Floats
    cell: Ints
    mass: Floats
    atom: Floats
    extent: tuple[float, float]
    missing: float | None = None

    @property
    def cells(self) -> int:
        """The number of cells."""
        return max(int(self.cell.max(initial=-1)) + 1, int(self.missing is not None))

    @property
    def shares(self) -> Floats:
        """The share of the training rows in each cell."""
        shares = np.zeros(self.cells)
        np.add.at(shares, self.cell, self.mass)
        if self.missing is not None:
            shares[0] = self.missing
        return shares

    def scaled(self, scale: float) -> Partition:
        """Return the partition of the values divided by `scale`."""
        low, high = self.extent
        return replace(
            self,
            bounds=self.bounds / scale,
            atom=self.atom / scale,
            extent=(low / scale, high / scale),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain lists."""
        return {
            "bounds": self.bounds.tolist(),
            "cell": self.cell.tolist(),
            "mass": self.mass.tolist(),
            "atom": [None if np.isnan(a) else a for a in self.atom.tolist()],
            "extent": list(self.extent),
            "missing": self.missing,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Partition:
        """Rebuild from `to_json`."""
        atom = [np.nan if a is None else a for a in data["atom"]]
        low, high = data["extent"]
        return cls(
            np.array(data["bounds"], np.float64),
            np.array(data["cell"], np.int64),
            np.array(data["mass"], np.float64),
            np.array(atom, np.float64),
            (low, high),
            data["missing"],
        )


EMPTY = {"bounds": [0.0], "cell": [], "mass": [], "atom": [], "extent": [0.0, 0.0], "missing": 1.0}


def counted(codes: Floats, levels: int) -> Ints:
    """Return how often each code 0 .. levels - 1 occurs (NaN: missing)."""
    return np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=levels)


def frequent(counts: Ints, least: int) -> Mask:
    """Mark the categories that are not rare: at least so many rows, and of too many the first."""
    chosen = np.ones(len(counts), np.bool_)
    if len(counts) > WHOLE:
        chosen[np.argsort(-counts, kind="stable")[KEPT:]] = False
    marked: Mask = chosen & (counts >= least)
    return marked


def categories(counts: Ints, apart: Mask, rows: int, missing: bool) -> Partition:
    """Partition a column of categories, which occur so often among so many rows.

    Those that are `apart` have a cell each, the others share one, the last.
    """
    levels, own = len(counts), int(apart.sum())
    cell = np.where(apart, np.cumsum(apart) - 1, own)
    return Partition(
        bounds=np.arange(levels + 1, dtype=np.float64) - 0.5,
        cell=cell + missing,
        mass=counts / max(rows, 1),
        atom=np.arange(levels, dtype=np.float64),
        extent=(0.0, max(levels - 1.0, 0.0)),
        missing=(rows - int(counts.sum())) / max(rows, 1) if missing else None,
    )


def numbers(values: Floats, missing: bool, *, whole: bool) -> Partition:
    """Partition a column of numbers (NaN: missing) into atoms and quantile bins.

    `whole` numbers own the interval around them, [v - 1/2, v + 1/2), so that rounding a number
    drawn from a bin is unbiased. Cells: missing, if any; the atoms, ascending; the bins, ascending.
    """
    present = values[~np.isnan(values)]
    distinct, counts = np.unique(np.where(np.abs(present) < TINY, 0, present), return_counts=True)
    if not len(distinct):
        none = np.empty(0)
        return Partition(np.zeros(1), np.empty(0, np.int64), none, none, (0.0, 0.0), 1.0)
    spikes = _spikes(counts)
    atoms = _Atoms.at(distinct[spikes], counts[spikes], whole)
    segments = _segments(distinct[~spikes], counts[~spikes], whole)
    share = float(np.isnan(values).mean()) if missing else None
    bounds, cell, mass, atom = _tile(atoms, segments)
    extent = (float(present.min()), float(present.max()))
    return Partition(bounds, cell + missing, mass / len(values), atom, extent, share)


def _after(values: Floats) -> Floats:
    """Return the next larger floats, after 0 one whose reciprocal does not overflow."""
    after: Floats = np.where(values == 0, LEAST, np.nextafter(values, np.inf))
    return after


def _pool(rows: int) -> int:
    """Return how many rows are pooled at least; fewer in a tiny table, never a single one."""
    return max(2, min(POOL, rows // 10))


def _spikes(counts: Ints) -> Mask:
    """Mark the values that become atoms: each fills a quantile bin of what the others leave."""
    spikes = np.zeros(len(counts), np.bool_)
    pool = _pool(int(counts.sum()))
    while spikes.sum() < ATOMS:
        rest = counts[~spikes].sum()
        found = ~spikes & (counts >= max(pool, rest / BINS))
        if not found.any():
            break
        spikes |= found
    return spikes


@dataclass(frozen=True)
class _Atoms:
    """The intervals that belong to one value each."""

    value: Floats
    low: Floats
    high: Floats
    mass: Floats

    @classmethod
    def at(cls, value: Floats, counts: Ints, whole: bool) -> _Atoms:
        """Return the atoms at these values."""
        low, high = (value - 0.5, value + 0.5) if whole else (value, _after(value))
        return cls(value, low, high, counts.astype(np.float64))


@dataclass(frozen=True)
class _Segments:
    """Intervals that together hold all values which are no atoms, and the bin of each."""

    low: Floats
    high: Floats
    mass: Floats
    bin: Ints


def _segments(values: Floats, counts: Ints, whole: bool) -> _Segments:
    """Pool neighbouring values into segments, and neighbouring segments into bins."""
    if not len(values):
        return _Segments(values, values, values, np.empty(0, np.int64))
    total = int(counts.sum())
    pool = _pool(total)
    bins = max(1, min(BINS, total // pool))
    ends = _ends(np.cumsum(counts), max(pool, total / bins / PIECES))
    starts = np.concatenate([[0], ends[:-1] + 1])
    mass = np.add.reduceat(counts, starts).astype(np.float64)
    middle = np.cumsum(mass) - mass / 2
    _, which = np.unique((middle * bins / total).astype(np.int64), return_inverse=True)
    low, high = _margins(values[starts], values[ends], mass, whole)
    mean = np.add.reduceat(values * (counts / total), starts) / (mass / total)
    return _bent(_Segments(low, high, mass, which), mean, whole)


def _bent(flat: _Segments, mean: Floats, whole: bool) -> _Segments:
    """Cut lopsided segments in two at their mean, with masses that keep the mean.

    In a heavy tail an even spread up to the largest value would inflate every moment.
    """
    low, high, mass = flat.low, flat.high, flat.mass
    knot = np.floor(mean) + 0.5 if whole else mean
    lopsided = np.abs(mean - low / 2 - high / 2) > (high - low) / 8
    cut = np.flatnonzero(lopsided & (low < knot) & (knot < high))
    below = (knot / 2 + high / 2 - mean) / ((high - low) / 2)
    masses = np.insert(mass, cut, (mass * below.clip(0, 1))[cut])
    masses[cut + np.arange(len(cut)) + 1] *= 1 - below.clip(0, 1)[cut]
    return _Segments(
        np.insert(low, cut + 1, knot[cut]),
        np.insert(high, cut, knot[cut]),
        masses,
        np.insert(flat.bin, cut, flat.bin[cut]),
    )


def _ends(total: Ints, least: float) -> Ints:
    """Return the last index of each group, so that each holds at least `least` rows."""
    ends: list[int] = []
    below = 0
    while below + least <= total[-1]:
        ends.append(int(np.searchsorted(total, below + least)))
        below = int(total[ends[-1]])
    ends[-1:] = [len(total) - 1]  # what is left over joins the last group
    return np.array(ends, np.int64)


def _margins(first: Floats, last: Floats, mass: Floats, whole: bool) -> tuple[Floats, Floats]:
    """Widen each segment by half the spacing of its values, at most to the middle of the gap."""
    spacing = (last - first) / np.maximum(mass - 1, 1) / 2
    gap = (first[1:] - last[:-1] - whole) / 2
    left, right = np.zeros_like(first), np.zeros_like(first)
    left[1:], right[:-1] = np.minimum(spacing[1:], gap), np.minimum(spacing[:-1], gap)
    if whole:
        low, high = _coarse(first - np.trunc(left), last + np.trunc(right) + 1.0, 1.0)
        return low - 0.5, high - 0.5
    after = _after(last)
    low, high = first - left, np.maximum(last + right, after)
    low[1:] = np.maximum(low[1:], after[:-1])
    return _coarse(low, high, 0.0)


def _coarse(low: Floats, high: Floats, least: float) -> tuple[Floats, Floats]:
    """Round the ends between segments to a share of their width (or to `least`, if that is more).

    An exact end would tell the value of one row. Segments that meet after it share an end; the
    few rows on its other side then count for their neighbour.
    """
    width = high - low
    step = np.exp2(np.floor(np.log2(np.maximum(width / ROUNDED, TINY)))).clip(least)
    finer = np.minimum(step[:-1], step[1:])
    above, below = (np.ceil(high[:-1] / finer), np.floor(low[1:] / finer))
    meeting = np.round((high[:-1] / 2 + low[1:] / 2) / finer)
    ends = [np.where(above < below, side, meeting) * finer for side in (above, below)]
    fine = (ends[0] > low[:-1]) & (ends[0] <= ends[1]) & (ends[1] < high[1:])
    high, low = high.copy(), low.copy()
    high[:-1], low[1:] = np.where(fine, ends[0], high[:-1]), np.where(fine, ends[1], low[1:])
    return low, high


def _tile(atoms: _Atoms, segments: _Segments) -> tuple[Floats, Ints, Floats, Floats]:
    """Lay atoms and segments on the number line; return bounds, cells, masses and atoms.

    An atom within a segment is cut out of it. A gap goes to the bin (or, without any, to the atom)
    below it, with mass 0: a value that training has not seen still finds a cell.
    """
    bounds = np.unique(np.concatenate([atoms.low, atoms.high, segments.low, segments.high]))
    start, width = bounds[:-1], np.diff(bounds)
    spike = _owner(atoms.low, atoms.high, start)
    segment = np.where(spike < 0, _owner(segments.low, segments.high, start), -1)
    is_spike, inside = spike >= 0, segment >= 0
    atom, mass = np.full(len(start), np.nan), np.zeros(len(start))
    atom[is_spike], mass[is_spike] = atoms.value[spike[is_spike]], atoms.mass[spike[is_spike]]
    room = np.bincount(segment[inside], width[inside], minlength=len(segments.low))
    mass[inside] = (segments.mass / room)[segment[inside]] * width[inside]
    below = atoms.low if not len(segments.low) else segments.low
    nearest = (np.searchsorted(below, start, side="right") - 1).clip(0)
    home = nearest if not len(segments.low) else len(atoms.low) + segments.bin[nearest]
    return bounds, np.where(is_spike, spike, home), mass, atom


def _owner(low: Floats, high: Floats, points: Floats) -> Ints:
    """Return the index of the interval [low, high) that holds each point, or -1."""
    index = np.searchsorted(low, points, side="right") - 1
    held = (index >= 0) & (points < np.append(high, -np.inf)[index])
    return np.where(held, index, -1)
