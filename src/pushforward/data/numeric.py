"""Arrays and tensors of any make become NumPy arrays, and go back to the make they came in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.errors import DataError

Array = NDArray[Any]


def to_numpy(data: Any) -> Array:
    """Return an array of numbers; DataError for anything else."""
    array = data.detach().cpu().numpy() if isinstance(data, Tensor) else np.asarray(data)
    if array.dtype.kind not in "biuf":
        msg = f"an array must hold numbers, got dtype {array.dtype}"
        raise DataError(f"{msg}; a data frame takes text and mixed columns")
    refuse_infinite(array)
    return array


def refuse_infinite(array: Array) -> None:
    """Raise DataError unless all numbers are finite."""
    if array.dtype.kind != "f":
        return
    wrong = ~np.isfinite(array)
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        msg = (
            f"an array must hold finite numbers, and {int(wrong.sum())} of its {array.size} are "
            f"NaN or infinite, the first at index {first}; drop or fill them (a data frame may "
            "have missing values)"
        )
        raise DataError(msg)


def make_of(data: Any) -> str:
    """Return the library that an array comes from."""
    return "torch" if isinstance(data, Tensor) else "numpy"


def restore(array: Array, make: str) -> Any:
    """Return an array in its make."""
    return torch.from_numpy(np.ascontiguousarray(array)) if make == "torch" else array
