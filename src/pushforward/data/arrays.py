"""Float matrices: z-scored column by column, given back in their own type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.data.schema import Condition, Kind, Schema
from pushforward.errors import DataError
from pushforward.space import Vector


@dataclass(frozen=True)
class ArraySchema(Schema):
    """Rows of R^d: encoded as (x - mean) / scale, float32.

    Args:
        mean: of each column, over the training rows.
        scale: standard deviation of each column over the training rows; 1 for a constant.
        dtype: the NumPy name of the numbers that were given.
        container: `"numpy"` or `"torch"`, given back.
        condition: the classes of the labels, where the data are conditioned on them.
    """

    kind: ClassVar[Kind] = "array"
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    dtype: str = "float64"
    container: str = "numpy"
    condition: Condition | None = None

    @classmethod
    def infer(
        cls, raw: Any, train: NDArray[np.int64], condition: Condition | None = None
    ) -> ArraySchema:
        """Read mean and scale off the training rows."""
        values = matrix(raw)
        spread = values[train].std(0)
        scale = np.where(spread > 1e-12 * (1 + np.abs(values[train]).max(0)), spread, 1.0)
        container = "torch" if isinstance(raw, Tensor) else "numpy"
        dtype = str(raw.numpy().dtype if isinstance(raw, Tensor) else raw.dtype)
        mean = values[train].mean(0)
        return cls(tuple(mean.tolist()), tuple(scale.tolist()), dtype, container, condition)

    @property
    def space(self) -> Vector:
        """R^d."""
        return Vector(len(self.mean))

    def encode(self, raw: Any) -> Tensor:
        """Return (x - mean) / scale, float32 (n, d)."""
        values = matrix(raw)
        if values.shape[1] != len(self.mean):
            msg = f"the rows have {values.shape[1]} columns, {len(self.mean)} were expected"
            raise DataError(msg)
        return torch.from_numpy((values - self.mean) / np.array(self.scale)).float()

    def expand(self, rows: Tensor) -> Tensor:
        """Return the rows themselves."""
        return rows

    def harden(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the rows themselves."""
        del generator
        return x

    def decode(
        self,
        rows: Tensor,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Any:
        """Return mean + scale * rows in the type that was given."""
        del labels, generator
        values = rows.detach().cpu().double().numpy() * np.array(self.scale) + np.array(self.mean)
        values = np.rint(values) if np.dtype(self.dtype).kind in "iu" else values
        values = values.astype(self.dtype)
        return torch.from_numpy(values) if self.container == "torch" else values

    def features(self, rows: Tensor) -> Tensor:
        """Return the z-scores."""
        return rows.float()

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        return {
            "kind": self.kind,
            "mean": list(self.mean),
            "scale": list(self.scale),
            "dtype": self.dtype,
            "container": self.container,
            "condition": self.condition and self.condition.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ArraySchema:
        """Rebuild the schema."""
        condition = Condition.from_json(data["condition"])
        mean, scale = tuple(map(float, data["mean"])), tuple(map(float, data["scale"]))
        return cls(mean, scale, str(np.dtype(data["dtype"])), data["container"], condition)


def matrix(raw: Any) -> NDArray[np.float64]:
    """Return raw rows as float64 (n, d); DataError unless they are a finite matrix of numbers."""
    values = np.asarray(raw.detach().cpu() if isinstance(raw, Tensor) else raw)
    if values.dtype.kind not in "fiub" or values.ndim != 2 or 0 in values.shape:
        msg = f"a matrix of numbers was expected, got {values.dtype} of shape {values.shape}"
        raise DataError(msg)
    values = values.astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        msg = (
            f"{int(bad.sum())} values are NaN or infinite, the first in row {row}, column {column}; "
            "remove or replace them (a table, as a DataFrame or CSV, may have missing values)"
        )
        raise DataError(msg)
    return values
