"""Shared by the neighbour measures: the training sample, distances."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures import _search
from pushforward.measures._inputs import FeatureFunction, Pair, matrix, pair, subsample


def with_training(
    x: Any,
    y: Any,
    train: Any,
    *,
    min_rows: int,
    limit: int | None,
    features: FeatureFunction | None,
    seed: int,
    times: int = 1,
) -> tuple[Pair, Tensor, float]:
    """Return the held-out and the generated sample, the training sample, and their unit.

    At most `times * limit` training rows are taken, and `limit` rows of the others.

    Raises:
        MeasureError: as `pair`, and for a training sample that does not fit.
    """
    both = pair(x, y, min_rows=min_rows, limit=limit, features=features, seed=seed, dtype=None)
    rows = matrix(train if features is None else features(train), "the training sample")
    if rows.shape[1] != both.x.shape[1]:
        raise MeasureError(
            f"the training sample needs the columns of the others, {both.x.shape[1]}, and has "
            f"{rows.shape[1]}"
        )
    if len(rows) < min_rows:
        raise MeasureError(
            f"this measure needs {min_rows} training rows, and was given {len(rows)}"
        )
    rng = torch.Generator().manual_seed(seed)
    rows = subsample(rows, len(rows) if limit is None else times * limit, rng).to(
        both.x.device, both.x.dtype
    )
    (held, fake, rows), unit = _search.magnified(both.x, both.y, rows)
    return Pair(held, fake, both.extra), rows, unit


def distances(queries: Tensor, reference: Tensor, chunk: int | None) -> tuple[Tensor, Tensor]:
    """Return each query's distance to its nearest row of the reference, and the row: (n,)."""
    neighbours = _search.nearest(queries, reference, 1, chunk=chunk)
    return neighbours.squared[:, 0].sqrt(), neighbours.index[:, 0]
