"""What models are compared with: the floor that anyone can reach, and the ceiling.

The ceiling is other real rows, and so needs no model of its own: the validation rows stand for it,
because an encoder that was trained on the training rows knows those. The floor knows no relation
between columns (tables), or nothing but mean and covariance (images and arrays).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.measures.scoring import Rows

GAUSSIAN_ROWS = 5000  # training rows that the Gaussian floor is fitted to, at most


def first_rows(rows: Rows, n: int) -> Rows:
    """Return the first n rows, and their labels."""
    return rows[0][:n], None if rows[1] is None else rows[1][:n]


def ceiling_sample(data: Dataset, n: int) -> Rows:
    """Return n encoded validation rows (fewer where there are not so many), and their labels."""
    return first_rows(data.part("validation"), n)


def floor_sample(data: Dataset, n: int, generator: torch.Generator) -> Rows:
    """Return n encoded rows that anyone can make from the training rows, and their labels.

    For tables every column is resampled by itself; for images and arrays a Gaussian is fitted.
    """
    rows, labels = data.part("train")
    drawn = torch.randint(len(rows), (n,), generator=generator)
    classes = None if labels is None else labels[drawn]
    if data.schema.kind == "table":
        columns = [_resampled(rows[:, j], n, generator) for j in range(rows.shape[1])]
        return torch.stack(columns, 1), classes
    x = data.schema.expand(rows[:GAUSSIAN_ROWS]).flatten(1)
    fake = gaussian_sample(x, n, generator).reshape(n, *data.schema.space.shape)
    return data.schema.quantise(fake, generator), classes


def gaussian_sample(x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n draws (n, d) from the Gaussian with the mean and the covariance of x (m, d).

    The covariance is never formed: mean + W (x - mean) / sqrt(m - 1), with W ~ N(0, I) of shape
    (n, m), has the covariance (x - mean)' (x - mean) / (m - 1).
    """
    mean = x.mean(0)
    weights = torch.randn(n, len(x), generator=generator) / math.sqrt(max(len(x) - 1, 1))
    return mean + weights @ (x - mean)


def _resampled(column: Tensor, n: int, generator: torch.Generator) -> Tensor:
    return column[torch.randint(len(column), (n,), generator=generator)]
