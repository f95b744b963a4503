"""Arrays: float matrices, standardised column by column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pushforward.data.numeric import Array, make_of, restore, to_numpy
from pushforward.data.schema import Condition, Kind, Schema
from pushforward.data.tables.partition import Floats, Ints
from pushforward.errors import DataError
from pushforward.space import Vector

SMALL = 1e-30  # a spread by which other rows, divided, would leave float32
LARGE = 1e150  # the square of larger numbers overflows


class ArraySchema(Schema):
    """Matrices of numbers (n, d), or vectors (n,).

    Encoded and expanded: float32 (n, d), z-scores by mean and standard deviation of the training
    rows; a constant column is only centred.

    Args:
        mean: of the training rows, by column.
        std: their standard deviation, 1 for a constant column.
        shape: of one raw row: (d,), or () for a vector.
        dtype: the NumPy name of the raw dtype.
        make: `"numpy"` or `"torch"`.
        condition: the classes of the labels, or None.
    """

    kind: ClassVar[Kind] = "array"

    def __init__(
        self,
        mean: Floats,
        std: Floats,
        shape: tuple[int, ...],
        dtype: str = "float32",
        make: str = "numpy",
        condition: Condition | None = None,
    ) -> None:
        self.mean, self.std = torch.from_numpy(mean), torch.from_numpy(std)
        self.shape, self.dtype, self.make = shape, dtype, make
        self.condition = condition

    @classmethod
    def fit(cls, raw: Any, train: Ints, condition: Condition | None = None) -> ArraySchema:
        """Learn the scale of each column from the training rows."""
        array = to_numpy(raw)
        if array.ndim > 2 or math.prod(array.shape[1:]) == 0:
            msg = f"an array must have shape (rows,) or (rows, columns), got {array.shape}"
            raise DataError(msg)
        flat = _flat(array)[train]
        # a constant column differs from its own mean by rounding: equality decides, not the std
        constant = (flat == flat[0]).all(axis=0)
        mean = np.where(constant, flat[0], flat.mean(axis=0))
        spread = flat.std(axis=0)
        std = np.where(constant | (spread < SMALL), 1.0, spread)
        return cls(mean, std, array.shape[1:], str(array.dtype), make_of(raw), condition)

    @property
    def space(self) -> Vector:
        """As many dimensions as there are columns."""
        return Vector(len(self.mean))

    def encode(self, raw: Any) -> Tensor:
        """Return z-scores, float32 (n, d); DataError for other shapes, NaN or infinity."""
        array = to_numpy(raw)
        if array.shape[1:] != self.shape:
            msg = f"rows must have shape {self.shape}, got {array.shape[1:]}"
            raise DataError(msg)
        return self._scores(torch.from_numpy(_flat(array)))

    def _scores(self, numbers: Tensor) -> Tensor:
        """Return the z-scores of numbers."""
        return ((numbers - self.mean.to(numbers.device)) / self.std.to(numbers.device)).float()

    def _numbers(self, scores: Tensor) -> Tensor:
        """Return the numbers of z-scores, whole where the data are."""
        numbers = scores.double() * self.std.to(scores.device) + self.mean.to(scores.device)
        return numbers if np.dtype(self.dtype).kind == "f" else numbers.round()

    def expand(self, rows: Tensor) -> Tensor:
        """Return the rows themselves."""
        return rows

    def quantise(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002  # nothing is drawn
        """Return the rows themselves, moved to the nearest integers where the data are."""
        return x if np.dtype(self.dtype).kind == "f" else self._scores(self._numbers(x))

    def decode(
        self,
        rows: Tensor,
        labels: Tensor | None = None,  # noqa: ARG002  # they are not part of the array
        generator: torch.Generator | None = None,  # noqa: ARG002  # nothing is drawn
    ) -> Any:
        """Return an array of the make, the dtype and the shape that the user gave."""
        array = self._numbers(rows.detach().cpu()).numpy().reshape(len(rows), *self.shape)
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iu":
            array = array.clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
        return restore(array.astype(dtype), self.make)

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
            "make": self.make,
            "condition": self.condition and self.condition.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ArraySchema:
        """Rebuild a schema from `to_json`."""
        mean, std = np.array(data["mean"], np.float64), np.array(data["std"], np.float64)
        shape, condition = tuple(data["shape"]), Condition.from_json(data["condition"])
        return cls(mean, std, shape, data["dtype"], data["make"], condition)


def _flat(array: Array) -> Floats:
    """Return float64 (n, d); DataError for numbers that cannot be squared."""
    flat = array.reshape(len(array), -1).astype(np.float64)
    if np.abs(flat).max(initial=0) > LARGE:
        msg = f"an array must hold numbers up to {LARGE:g}, got {np.abs(flat).max():g}; rescale it"
        raise DataError(msg)
    return flat
