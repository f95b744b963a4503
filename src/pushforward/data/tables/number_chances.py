"""How likely a number is within its fine cell, as numbers are drawn there (see `quantile_table`).

    h(v | f) = (share of its piece of f) / (numbers in the piece).

Whether a known number is a column's own or another's depends on how likely it is in either: of its
cell the model says so, and within it h. Between the pieces h is 0, though rows that nobody has seen
may lie there: a little of it is spread over all numbers of the fine cell.
"""

from __future__ import annotations

import numpy as np

from pushforward.data.numeric import Floats
from pushforward.data.tables.fine_digits import FinePartition
from pushforward.data.tables.partition import Partition

SPREAD = 0.01  # of h, over all numbers of a fine cell


def chances_in_cell(p: Partition, spacing: float) -> Floats:
    """Return h(v | f) of a number in each piece (P,) of fine cells, where they are so far apart."""
    total = np.bincount(p.cell, p.mass, minlength=p.n_cells)[p.cell]
    mass = np.where(total > 0, p.mass, 1.0)  # a cell without training rows is uniform
    share = mass / np.bincount(p.cell, mass, minlength=p.n_cells)[p.cell]
    chances: Floats = share / _counts(p, spacing)
    return chances


def log_chance_in_cell(numbers: Floats, cells: FinePartition, spacing: float) -> Floats:
    """Return log h(v | f) of numbers (n,), a little of it spread, 0 of missing ones."""
    p = cells.partition
    piece = np.searchsorted(p.bounds[1:-1], numbers, side="right")
    everywhere = 1 / np.bincount(p.cell, _counts(p, spacing), minlength=p.n_cells)[p.cell]
    log_h = np.log((1 - SPREAD) * chances_in_cell(p, spacing) + SPREAD * everywhere)
    return np.where(np.isnan(numbers), 0.0, log_h[piece])


def _counts(p: Partition, spacing: float) -> Floats:
    """Return how many numbers there are in each piece, (P,)."""
    counts: Floats = np.where(np.isnan(p.atom), np.maximum(np.diff(p.bounds) / spacing, 1.0), 1.0)
    return counts
