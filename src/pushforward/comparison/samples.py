"""Rows that are kept for the report: test rows and generated ones, never training rows."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pushforward.comparison.references import LabelledRows, first_rows
from pushforward.data import Dataset
from pushforward.files import read_tensors, write_tensors

TABLE_ROWS = 3000  # rows of a table that are kept, at most
POINTS = 2000  # ... points in the plane
OTHER_ROWS = 100  # ... images, and rows of other arrays
GRID = 120  # the true density in the plane is evaluated on GRID x GRID points


def write_sample(path: Path, data: Dataset, rows: LabelledRows, origin: str = "") -> None:
    """Keep the first rows of a sample; `origin` identifies what generated them."""
    write_tensors(path, _tensors(data, rows), origin)


def write_real_sample(path: Path, data: Dataset, rows: LabelledRows) -> None:
    """Keep the first real rows, and the true density around them where it is known."""
    tensors = _tensors(data, rows)
    if _in_the_plane(data) and data.log_density is not None:
        tensors |= true_density(data, tensors["rows"])
    write_tensors(path, tensors)


def has_origin(path: Path, origin: str) -> bool:
    """Whether the file holds a sample of this origin."""
    return path.exists() and read_tensors(path)[1] == origin


def true_density(data: Dataset, rows: Tensor) -> dict[str, Tensor]:
    """Return the true density of points in the plane, on a grid around encoded rows (n, 2)."""
    assert data.log_density is not None
    raw = torch.as_tensor(data.schema.decode(rows)).double()
    low, high = raw.amin(0), raw.amax(0)
    margin = 0.08 * (high - low)
    x, y = (
        torch.linspace(float(low[i] - margin[i]), float(high[i] + margin[i]), GRID).double()
        for i in range(2)
    )
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
    density = data.log_density(points).exp().reshape(GRID, GRID)
    return {"density": density, "density_x": x, "density_y": y}


def _tensors(data: Dataset, rows: LabelledRows) -> dict[str, Tensor]:
    n = OTHER_ROWS
    if data.schema.kind == "table":
        n = TABLE_ROWS
    elif _in_the_plane(data):
        n = POINTS
    kept, labels = first_rows(rows, n)
    return {"rows": kept} | ({} if labels is None else {"labels": labels})


def _in_the_plane(data: Dataset) -> bool:
    return data.schema.kind == "array" and data.schema.space.shape == (2,)
