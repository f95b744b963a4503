"""What models are compared with: the ceiling, and the floor that anyone can reach.

The ceiling is other real rows. The validation rows serve as such, because the features that measure
images were fitted to training rows. The floor knows nothing of how columns are related
(tables), or nothing but the mean and the covariance (images and arrays).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.data import Dataset

LabelledRows = tuple[Tensor, Tensor | None]  # encoded rows (n, ...), and their class codes (n,)

GAUSSIAN_ROWS = 5000  # training rows that the Gaussian floor is fitted to, at most


def first_rows(rows: LabelledRows, n: int) -> LabelledRows:
    """Return the first n rows."""
    return rows[0][:n], None if rows[1] is None else rows[1][:n]


def ceiling_rows(data: Dataset, n: int) -> LabelledRows:
    """Return n validation rows; fewer where there are not so many."""
    return first_rows(data.subset("validation"), n)


def floor_rows(data: Dataset, n: int, generator: torch.Generator) -> LabelledRows:
    """Return n rows that need no model: columns resampled one by one, or a Gaussian fit.

    Columns of tables are drawn from their training values, each independently of all others; a
    Gaussian is fitted to images and arrays. Classes are those of n training rows.
    """
    rows, labels = data.subset("train")
    drawn = torch.randint(len(rows), (n,), generator=generator)
    classes = None if labels is None else labels[drawn]
    if data.schema.kind == "table":
        columns = [_resampled(rows[:, j], n, generator) for j in range(rows.shape[1])]
        return torch.stack(columns, 1), classes
    x = data.schema.expand(rows[:GAUSSIAN_ROWS]).flatten(1)
    fake = gaussian_draws(x, n, generator).reshape(n, *data.schema.space.shape)
    return data.schema.quantise(fake, generator), classes


def gaussian_draws(x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n draws (n, d) of the Gaussian with the mean and the covariance of x (m, d).

    The covariance matrix is never formed: with Xc = X - mean and W ~ N(0, I) of shape (n, m), the
    rows of mean + W Xc / sqrt(m - 1) have the covariance Xc' Xc / (m - 1).
    """
    mean = x.mean(0)
    weights = torch.randn(n, len(x), generator=generator) / math.sqrt(max(len(x) - 1, 1))
    return mean + weights @ (x - mean)


def _resampled(column: Tensor, n: int, generator: torch.Generator) -> Tensor:
    return column[torch.randint(len(column), (n,), generator=generator)]
