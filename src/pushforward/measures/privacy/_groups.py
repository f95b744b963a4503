"""Candidates that are easier to identify than others: outliers, and rows of rare categories."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pushforward.measures.neighbours._shared import distances

Flags = NDArray[np.bool_]
OUTLIERS = 0.1  # share of the candidates that are furthest from all other real rows
RARE = 0.01  # share of the candidates up to which a category is rare


def groups(candidates: Tensor, reference: Tensor | None, chunk: int | None) -> dict[str, Flags]:
    """Return by name which candidates (c,) are outliers, and which have a rare category.

    Neither looks at generated rows, or at which candidates were trained on.

    Args:
        candidates: (c, d).
        reference: other real rows (r, d); None: then outliers are left out.
        chunk: rows whose distances are held at once.
    """
    found = {"rare groups": _rare(candidates)}
    if reference is not None:
        found["outliers"] = _outlying(distances(candidates, reference, chunk)[0])
    return {name: flags.cpu().numpy() for name, flags in found.items()}


def _outlying(distance: Tensor) -> Tensor:
    """Return which rows are the 10 % with the largest distance to their nearest other row."""
    order = distance.sort().values
    return distance > order[int((1 - OUTLIERS) * (len(distance) - 1))]


def _rare(rows: Tensor) -> Tensor:
    """Return which rows have, in a column of two values, the one that at most 1 % have.

    A table's categories are such columns: one of each category, and flags of missing values.
    """
    low, high = rows.aminmax(dim=0)
    at_high = rows == high
    two_values = (at_high | (rows == low)).all(0) & (low < high)
    share = at_high.double().mean(0)
    of_high = at_high & (two_values & (share <= RARE))
    of_low = ~at_high & (two_values & (1 - share <= RARE))
    return (of_high | of_low).any(1)
