"""The number line cut into pieces, each part of a cell: how a column becomes a categorical.

An atom is a value that many rows share: it has a cell of its own, so that generated rows have
exactly that value about as often. Between the atoms lie at most 64 cells that hold about equally
many rows (quantile bins). Within a bin the distribution is a histogram of a few pieces, each of
which pools at least `MIN_POOLED_ROWS` rows, or all of them that are in no atom. Where most
values are shared and lie on no grid, as logarithms of a few prices, `MIN_LEVEL_ROWS` are enough, as
of a category: values between them would not occur. Missing values have a cell of their own, the
first. In a column of categories every code is an atom.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pushforward.data.numeric import Floats, Ints, Mask

MIN_POOLED_ROWS = 20  # of an atom or a piece of a bin, ...
MIN_LEVEL_ROWS = 5  # ... of a category, and of a piece where most values are shared by so many
SHARED, MAX_SHARED = 0.8, 4096  # of the rows, which are most; of such values, at most
MAX_BINS = 64  # quantile bins of a column
MAX_PIECES = 16  # of one bin
ROUNDING = 16  # the ends of a piece are rounded to its width divided by this
MAX_ATOMS = 128  # of a column of numbers
MIN_MAGNITUDE = 1e-270  # smaller numbers count as 0 here: division by a spacing would overflow
ZERO_WIDTH = 1e-290  # of the cell of 0; less than the spacing of floats above `MIN_MAGNITUDE`
MAX_SEPARATE_LEVELS = 1000  # categories that all have a cell of their own; of more than these ...
KEPT_LEVELS = 255  # ... so many have one, and the others share one
PLAIN_COMB = (1, 0)  # step and offset: every integer
MIN_COMB_VALUES = 12  # fewer distinct values may lie on a comb by chance


@dataclass(frozen=True, eq=False)
class Partition:
    """A cover of the number line by P pieces, in ascending order, without gaps.

    Args:
        bounds: (P + 1,) strictly increasing; piece i is [bounds[i], bounds[i + 1]).
        cell: (P,) the cell that each piece belongs to.
        mass: (P,) the share of the training rows in each piece; 0 for a gap between values.
        atom: (P,) the only value of a piece, or NaN if all its values may occur.
        extent: the smallest and the largest value that may be generated.
        missing: the share of missing training rows; None without a cell of missing values.
        comb: step and offset of the comb that all values lie on, in units of the column's last
            decimal: the values are offset + k * step for integers k.
        fine: whether models learn where within a bin a value lies, see `fine_digits`.
    """

    bounds: Floats
    cell: Ints
    mass: Floats
    atom: Floats
    extent: tuple[float, float]
    missing: float | None = None
    comb: tuple[int, int] = PLAIN_COMB
    fine: bool = True

    @classmethod
    def empty(cls, *, missing: bool = True) -> Partition:
        """Return the partition of a column without values: one cell, that of missing values."""
        none, share = np.empty(0), 1.0 if missing else None
        return cls(np.zeros(1), np.empty(0, np.int64), none, none, (0.0, 0.0), share)

    @property
    def n_cells(self) -> int:
        """The number of cells."""
        return max(int(self.cell.max(initial=-1)) + 1, int(self.missing is not None))

    @property
    def shares(self) -> Floats:
        """The share of the training rows in each cell."""
        shares = np.zeros(self.n_cells)
        np.add.at(shares, self.cell, self.mass)
        if self.missing is not None:
            shares[0] = self.missing
        return shares

    @property
    def ranks(self) -> list[float | None]:
        """The share of the values below the middle of each cell; None for that of missing ones."""
        middle = np.zeros(self.n_cells)
        np.add.at(middle, self.cell, self.mass * (np.cumsum(self.mass) - self.mass / 2))
        present = np.bincount(self.cell, self.mass, self.n_cells)
        total = float(self.mass.sum())
        pairs = zip(middle.tolist(), present.tolist(), strict=True)
        return [m / (share * total) if share > 0 else None for m, share in pairs]

    def scaled(self, scale: float) -> Partition:
        """Return the partition of the values divided by `scale`."""
        low, high = self.extent
        return replace(
            self,
            bounds=self.bounds / scale,
            atom=self.atom / scale,
            extent=(low / scale, high / scale),
        )

    def on_comb(self, step: int, offset: int) -> Partition:
        """Return the partition of the values offset + k * step, for one of the integers k."""
        low, high = self.extent
        return replace(
            self,
            bounds=self.bounds * step + offset,
            atom=self.atom * step + offset,
            extent=(low * step + offset, high * step + offset),
            comb=(step, offset),
        )

    def with_fine_tail(self, cell: int, *, upper: bool) -> Partition:
        """Return a partition with one bin, the outermost, cut into several that double in size.

        The outermost gets one piece of it, the next one too, then two, four, and so on.
        """
        pieces = np.flatnonzero((self.cell == cell) & (self.mass > 0))
        from_end = np.arange(len(pieces))[::-1] if upper else np.arange(len(pieces))
        ring = np.ceil(np.log2(from_end + 1)).astype(np.int64)
        group = ring.max() - ring if upper else ring
        own = np.flatnonzero(self.cell == cell)  # with the gaps: each belongs to the piece below
        below = (np.searchsorted(pieces, own, side="right") - 1).clip(0)
        finer = self.cell + np.where(self.cell > cell, group.max(), 0)
        finer[own] = cell + group[below]
        return replace(self, cell=finer)

    @property
    def has_bins(self) -> bool:
        """Whether some training rows are in a bin, which does not tell their values."""
        return bool(self.mass[np.isnan(self.atom)].any())

    def to_json(self) -> dict[str, Any]:
        """Return plain lists; of comb and fine only what is unusual."""
        comb = {} if self.comb == PLAIN_COMB else {"comb": list(self.comb)}
        fine = {} if self.fine else {"fine": False}
        return (
            comb
            | fine
            | {
                "bounds": self.bounds.tolist(),
                "cell": self.cell.tolist(),
                "mass": self.mass.tolist(),
                "atom": [None if np.isnan(a) else a for a in self.atom.tolist()],
                "extent": list(self.extent),
                "missing": self.missing,
            }
        )

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
            tuple(data.get("comb", PLAIN_COMB)),
            data.get("fine", True),
        )


def count_codes(codes: Floats, levels: int) -> Ints:
    """Return how often each code 0 .. levels - 1 occurs (NaN: missing)."""
    return np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=levels)


def frequent_levels(counts: Ints, min_rows: int) -> Mask:
    """Mark the categories that are not rare.

    A category is rare if it has fewer than `min_rows` rows, and in a column of more than
    `MAX_SEPARATE_LEVELS` unless it is one of the `KEPT_LEVELS` most frequent.
    """
    most_frequent = np.ones(len(counts), np.bool_)
    if len(counts) > MAX_SEPARATE_LEVELS:
        most_frequent[np.argsort(-counts, kind="stable")[KEPT_LEVELS:]] = False
    frequent: Mask = most_frequent & (counts >= min_rows)
    return frequent


def partition_categories(counts: Ints, separate: Mask, rows: int, missing: bool) -> Partition:
    """Partition a column of categories.

    Args:
        counts: (levels,) how often each category occurs.
        separate: (levels,) which categories have a cell each; the others share the last cell.
        rows: the number of rows, missing values included.
        missing: whether there is a cell of missing values.
    """
    levels = len(counts)
    cell = np.where(separate, np.cumsum(separate) - 1, int(separate.sum()))
    return Partition(
        bounds=np.arange(levels + 1, dtype=np.float64) - 0.5,
        cell=cell + missing,
        mass=counts / max(rows, 1),
        atom=np.arange(levels, dtype=np.float64),
        extent=(0.0, max(levels - 1.0, 0.0)),
        missing=(rows - int(counts.sum())) / max(rows, 1) if missing else None,
    )


def partition_numbers(
    values: Floats, missing: bool, *, integers: bool, separate: bool = False
) -> Partition:
    """Partition a column of numbers (NaN: missing) into atoms and quantile bins.

    If they are `separate`, each value is an atom that `MIN_LEVEL_ROWS` share.

    An integer v owns the interval [v - 1/2, v + 1/2), so that rounding a number drawn from a bin is
    unbiased. Cells: missing, if any; the atoms, ascending; the bins, ascending.
    """
    present = values[~np.isnan(values)]
    nonzero = np.where(np.abs(present) < MIN_MAGNITUDE, 0, present)
    distinct, counts = np.unique(nonzero, return_counts=True)
    if not len(distinct):
        return Partition.empty()
    is_atom = counts >= MIN_LEVEL_ROWS if separate else atom_mask(counts)
    atoms = _Atoms.at(distinct[is_atom], counts[is_atom], integers)
    segments = _pool_segments(distinct[~is_atom], counts[~is_atom], len(present), integers)
    share = float(np.isnan(values).mean()) if missing else None
    bounds, cell, mass, atom = _tile(atoms, segments)
    extent = (float(present.min()), float(present.max()))
    return Partition(bounds, cell + missing, mass / len(values), atom, extent, share)


def find_comb(integers: Floats) -> tuple[int, int]:
    """Return the coarsest comb (step, offset) that all these integers lie on (NaN: missing).

    It is plain where there are too few distinct values to tell.
    """
    present = integers[~np.isnan(integers)].astype(np.int64)
    for some in (present[:1000], present):  # the first few show that most columns have none
        step = int(np.gcd.reduce(np.abs(some - some[:1]), initial=0))
        if step == 1:
            return PLAIN_COMB
    if step == 0 or len(np.unique(present)) < MIN_COMB_VALUES:
        return PLAIN_COMB
    return step, int(present[0]) % step


def _next_floats(values: Floats) -> Floats:
    """Return the next larger floats; for 0 one whose reciprocal does not overflow."""
    following: Floats = np.where(values == 0, ZERO_WIDTH, np.nextafter(values, np.inf))
    return following


def min_pooled(rows: int) -> int:
    """Return how many rows a piece must pool: fewer in a small table, never a single one."""
    return max(2, min(MIN_POOLED_ROWS, rows // 10))


def atom_mask(counts: Ints) -> Mask:
    """Mark the values that become atoms: each would fill a quantile bin of the remaining rows."""
    is_atom = np.zeros(len(counts), np.bool_)
    min_rows = min_pooled(int(counts.sum()))
    while is_atom.sum() < MAX_ATOMS:
        remaining = counts[~is_atom].sum()
        more = ~is_atom & (counts >= max(min_rows, remaining / MAX_BINS))
        if not more.any():
            break
        is_atom |= more
    return is_atom


@dataclass(frozen=True)
class _Atoms:
    """Intervals that belong to a single value each."""

    value: Floats
    low: Floats
    high: Floats
    mass: Floats

    @classmethod
    def at(cls, value: Floats, counts: Ints, integers: bool) -> _Atoms:
        """Return the atoms at these values."""
        low, high = (value - 0.5, value + 0.5) if integers else (value, _next_floats(value))
        return cls(value, low, high, counts.astype(np.float64))


@dataclass(frozen=True)
class _Segments:
    """Intervals that together contain all values that are no atoms, and the bin of each."""

    low: Floats
    high: Floats
    mass: Floats
    bin: Ints


def _pool_segments(values: Floats, counts: Ints, rows: int, integers: bool) -> _Segments:
    """Pool neighbouring values into segments, and neighbouring segments into bins.

    Of so many rows these are the values that are no atoms.
    """
    if not len(values):
        return _Segments(values, values, values, np.empty(0, np.int64))
    total = int(counts.sum())
    min_rows = min(total, min_pooled(rows))
    bins = max(1, min(MAX_BINS, total // min_rows))
    least = max(min_rows, total / bins / MAX_PIECES)
    shared = counts >= MIN_LEVEL_ROWS
    if not integers and shared.sum() < MAX_SHARED and counts[shared].sum() >= SHARED * total:
        least = min(min_rows, MIN_LEVEL_ROWS)
    ends = _group_ends(np.cumsum(counts), least)
    starts = np.concatenate([[0], ends[:-1] + 1])
    mass = np.add.reduceat(counts, starts).astype(np.float64)
    middle = np.cumsum(mass) - mass / 2
    _, bin_index = np.unique((middle * bins / total).astype(np.int64), return_inverse=True)
    low, high = _widen(values[starts], values[ends], mass, integers)
    mean = np.add.reduceat(values * (counts / total), starts) / (mass / total)
    return _split_skewed(_Segments(low, high, mass, bin_index), mean, integers)


def _split_skewed(segments: _Segments, mean: Floats, integers: bool) -> _Segments:
    """Cut skewed segments in two at their mean, with masses that preserve the mean.

    In a heavy tail a uniform density up to the largest value would inflate every moment.
    """
    low, high, mass = segments.low, segments.high, segments.mass
    knot = np.floor(mean) + 0.5 if integers else mean
    skewed = np.abs(mean - low / 2 - high / 2) > (high - low) / 8
    cut = np.flatnonzero(skewed & (low < knot) & (knot < high))
    below = (knot / 2 + high / 2 - mean) / ((high - low) / 2)
    masses = np.insert(mass, cut, (mass * below.clip(0, 1))[cut])
    masses[cut + np.arange(len(cut)) + 1] *= 1 - below.clip(0, 1)[cut]
    return _Segments(
        np.insert(low, cut + 1, knot[cut]),
        np.insert(high, cut, knot[cut]),
        masses,
        np.insert(segments.bin, cut, segments.bin[cut]),
    )


def _group_ends(total: Ints, min_rows: float) -> Ints:
    """Return the last index of each group of values, each with at least `min_rows` rows.

    `total` is the cumulative number of rows.
    """
    ends: list[int] = []
    below, rows = 0, total.tolist()  # a list: bisecting an array is ten times as slow
    while below + min_rows <= rows[-1]:
        ends.append(bisect_left(rows, below + min_rows))
        below = rows[ends[-1]]
    ends[-1:] = [len(rows) - 1]  # the remaining values join the last group
    return np.array(ends, np.int64)


def _widen(first: Floats, last: Floats, mass: Floats, integers: bool) -> tuple[Floats, Floats]:
    """Widen each segment by half the spacing of its values, at most to the middle of the gap."""
    spacing = (last - first) / np.maximum(mass - 1, 1) / 2
    gap = (first[1:] - last[:-1] - integers) / 2
    left, right = np.zeros_like(first), np.zeros_like(first)
    left[1:], right[:-1] = np.minimum(spacing[1:], gap), np.minimum(spacing[:-1], gap)
    if integers:
        low, high = _round_ends(first - np.trunc(left), last + np.trunc(right) + 1.0, 1.0)
        return low - 0.5, high - 0.5
    following = _next_floats(last)
    low, high = first - left, np.maximum(last + right, following)
    low[1:] = np.maximum(low[1:], following[:-1])
    return _round_ends(low, high, 0.0)


def _round_ends(low: Floats, high: Floats, min_step: float) -> tuple[Floats, Floats]:
    """Round the ends between segments to a share of their width, at least to `min_step`.

    An exact end would reveal the value of one row. Segments that meet after rounding share an end;
    the few rows on the other side of it then count for their neighbour.
    """
    width = high - low
    step = np.exp2(np.floor(np.log2(np.maximum(width / ROUNDING, MIN_MAGNITUDE)))).clip(min_step)
    finer = np.minimum(step[:-1], step[1:])
    above, below = (np.ceil(high[:-1] / finer), np.floor(low[1:] / finer))
    meeting = np.round((high[:-1] / 2 + low[1:] / 2) / finer)
    ends = [np.where(above < below, side, meeting) * finer for side in (above, below)]
    valid = (ends[0] > low[:-1]) & (ends[0] <= ends[1]) & (ends[1] < high[1:])
    high, low = high.copy(), low.copy()
    high[:-1], low[1:] = np.where(valid, ends[0], high[:-1]), np.where(valid, ends[1], low[1:])
    return low, high


def _tile(atoms: _Atoms, segments: _Segments) -> tuple[Floats, Ints, Floats, Floats]:
    """Arrange atoms and segments on the number line; return bounds, cells, masses and atoms.

    An atom within a segment is cut out of it. A gap belongs to the bin (or, without bins, to the
    atom) below it, with mass 0: every value has a cell, even one that no training row has.
    """
    bounds = np.unique(np.concatenate([atoms.low, atoms.high, segments.low, segments.high]))
    start, width = bounds[:-1], np.diff(bounds)
    atom_index = _owner(atoms.low, atoms.high, start)
    is_atom = atom_index >= 0
    segment = np.where(is_atom, -1, _owner(segments.low, segments.high, start))
    inside = segment >= 0
    atom, mass = np.full(len(start), np.nan), np.zeros(len(start))
    atom[is_atom] = atoms.value[atom_index[is_atom]]
    mass[is_atom] = atoms.mass[atom_index[is_atom]]
    room = np.bincount(segment[inside], width[inside], minlength=len(segments.low))
    mass[inside] = (segments.mass / room)[segment[inside]] * width[inside]
    below = atoms.low if not len(segments.low) else segments.low
    nearest = (np.searchsorted(below, start, side="right") - 1).clip(0)
    other_cell = nearest if not len(segments.low) else len(atoms.low) + segments.bin[nearest]
    return bounds, np.where(is_atom, atom_index, other_cell), mass, atom


def _owner(low: Floats, high: Floats, points: Floats) -> Ints:
    """Return the index of the interval [low, high) that contains each point, or -1."""
    index = np.searchsorted(low, points, side="right") - 1
    contained = (index >= 0) & (points < np.append(high, -np.inf)[index])
    return np.where(contained, index, -1)
