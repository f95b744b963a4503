"""Arrays: vectors of numbers of any shape, standardised value by value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import (
    MAX_MAGNITUDE,
    Array,
    Floats,
    Ints,
    from_numpy,
    library_of,
    to_numpy,
)
from pushforward.data.schema import ClassCondition, DataKind, Schema
from pushforward.errors import DataError
from pushforward.space import Vector

MIN_STD = 1e-30  # other rows, divided by less, may overflow float32


class ArraySchema(Schema):
    """Matrices of numbers (n, d), vectors (n,), or series and grids (n, ...).

    Encoded and expanded: float32 (n, d), z-scores by mean and standard deviation of the training
    rows; a constant column is centred only, and is constant in generated rows. d counts all values
    of a row, in the order of its axes.

    Args:
        mean: of the training rows, by column.
        std: their standard deviation, 0 for a constant column.
        shape: of one raw row: (d,), () for a vector, or more axes.
        dtype: the NumPy name of the raw dtype.
        library: of the raw array, `"numpy"` or `"torch"`.
        condition: the classes of the labels, or None.
    """

    kind: ClassVar[DataKind] = "array"

    def __init__(
        self,
        mean: Floats,
        std: Floats,
        shape: tuple[int, ...],
        dtype: str = "float32",
        library: str = "numpy",
        condition: ClassCondition | None = None,
    ) -> None:
        self.mean, self.std = torch.from_numpy(mean), torch.from_numpy(std)
        self.shape, self.dtype, self.library = shape, dtype, library
        self.condition = condition

    @classmethod
    def fit(cls, raw: Any, train: Ints, condition: ClassCondition | None = None) -> ArraySchema:
        """Learn the scale of each column from the training rows."""
        array = to_numpy(raw)
        if array.ndim == 0 or math.prod(array.shape[1:]) == 0:
            msg = f"an array must have shape (rows,) or (rows, columns, ...), got {array.shape}"
            raise DataError(msg)
        matrix = _as_matrix(array)[train]
        # the std of a constant column is not exactly 0, because its mean is rounded
        constant = (matrix == matrix[0]).all(axis=0)
        mean = np.where(constant, matrix[0], matrix.mean(axis=0))
        spread = matrix.std(axis=0)
        std = np.where(constant, 0.0, np.where(spread < MIN_STD, 1.0, spread))
        return cls(mean, std, array.shape[1:], str(array.dtype), library_of(raw), condition)

    @property
    def space(self) -> Vector:
        """One dimension for each column."""
        return Vector(len(self.mean))

    def encode(self, raw: Any) -> Tensor:
        """Return z-scores, float32 (n, d); DataError for other shapes, NaN or infinity."""
        array = to_numpy(raw)
        if array.shape[1:] != self.shape:
            msg = f"rows must have shape {self.shape}, got {array.shape[1:]}"
            raise DataError(msg)
        return self._scores(torch.from_numpy(_as_matrix(array)))

    @property
    def _scale(self) -> Tensor:
        """The unit of each column's z-scores, (d,)."""
        return self.std.where(self.std > 0, 1.0)

    def _scores(self, numbers: Tensor) -> Tensor:
        """Return the z-scores of numbers."""
        return ((numbers - self.mean.to(numbers.device)) / self._scale.to(numbers.device)).float()

    def _numbers(self, scores: Tensor) -> Tensor:
        """Return the numbers of z-scores, rounded where the data are integers."""
        numbers = scores.double() * self._scale.to(scores.device) + self.mean.to(scores.device)
        return numbers if np.dtype(self.dtype).kind == "f" else numbers.round()

    def expand(self, rows: Tensor) -> Tensor:
        """Return the rows themselves."""
        return rows

    def quantise(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002  # nothing is drawn
        """Return the rows, their constants as they are, rounded where the data are integers."""
        x = x * (self.std > 0).to(x)
        return x if np.dtype(self.dtype).kind == "f" else self._scores(self._numbers(x))

    def decode(
        self,
        rows: Tensor,
        labels: Tensor | None = None,  # noqa: ARG002  # labels are not part of the array
        generator: torch.Generator | None = None,  # noqa: ARG002  # nothing is drawn
    ) -> Any:
        """Return an array with the library, the dtype and the shape of the raw one."""
        array = self._numbers(rows.detach().cpu()).numpy().reshape(len(rows), *self.shape)
        dtype = np.dtype(self.dtype)
        return from_numpy(array.clip(*_range_of(dtype)).astype(dtype), self.library)

    def features(self, rows: Tensor) -> Tensor:
        """Return z-scores."""
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "shape": list(self.shape),
            "dtype": self.dtype,
            "library": self.library,
            "condition": self.condition and self.condition.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ArraySchema:
        """Rebuild a schema from `to_json`."""
        mean, std = np.array(data["mean"], np.float64), np.array(data["std"], np.float64)
        shape, condition = tuple(data["shape"]), ClassCondition.from_json(data["condition"])
        return cls(mean, std, shape, data["dtype"], data["library"], condition)


def _range_of(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the smallest and the largest float64 that a dtype can hold."""
    if dtype.kind == "b":
        return 0.0, 1.0
    info = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    low, high = float(info.min), float(info.max)
    return low, high if high <= info.max else math.nextafter(high, 0)


def _as_matrix(array: Array) -> Floats:
    """Return float64 (n, d); DataError for numbers that cannot be squared."""
    matrix = array.reshape(len(array), -1).astype(np.float64)
    largest = np.abs(matrix).max(initial=0)
    if largest > MAX_MAGNITUDE:
        msg = f"an array must hold numbers up to {MAX_MAGNITUDE:g}, got {largest:g}; rescale it"
        raise DataError(msg)
    return matrix
