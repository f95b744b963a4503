"""Values that are missing together: where one column's is missing, so is another's.

A flight that did not take off has no delay, no arrival and no time in the air. A model learns this
nearly: in one row in a thousand a value is missing alone. Where it holds in all training rows, and
would hardly do so by chance, a generated value is missing, too, wherever one is that implies it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.data.tables.partition import MIN_POOLED_ROWS

Implied = tuple[tuple[int, int], ...]  # where the first column is missing, the second is
CHANCE = 1e-6  # that a pair holds in as many rows if columns are missing independently


def implied_missing(rows: Tensor) -> Implied:
    """Return which columns of the encoded training rows (n, columns) imply which, in any order.

    With m the rows where column i is missing, at least `MIN_POOLED_ROWS`, and q the share of the
    rows where column j is, chance would give it with probability q^m.
    """
    some = rows.isnan().any(0).nonzero()[:, 0]
    missing = rows[:, some].isnan().float()
    often, share = missing.sum(0), missing.mean(0)
    holds = (missing.mT @ missing == often[:, None]) & (often >= MIN_POOLED_ROWS)[:, None]
    sure = often[:, None] * share.log() < math.log(CHANCE)
    pairs = some[(holds & sure).fill_diagonal_(fill_value=False).nonzero()]
    return tuple((i, j) for i, j in pairs.tolist())


def with_implied(rows: Tensor, implied: Implied) -> Tensor:
    """Return encoded rows in which what is implied is missing.

    What holds in all training rows is transitive, so that each pair is looked at once.
    """
    missing, completed = rows.isnan(), rows.clone()
    for i, j in implied:
        completed[missing[:, i], j] = torch.nan
    return completed
