"""The types of arrays, and arrays and tensors of the user as NumPy arrays and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.errors import DataError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

MAX_MAGNITUDE = 1e150  # the products of two larger numbers overflow


def to_numpy(data: Any) -> Array:
    """Return an array of finite numbers; DataError for anything else."""
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        hidden = int(np.ma.getmaskarray(data).sum())
        msg = f"an array must hold numbers in all places, got {hidden:,} of {data.size:,} masked"
        raise DataError(f"{msg}; fill them (a data frame may have missing values)")
    if isinstance(data, Tensor) and data.dtype == torch.bfloat16:
        raise DataError("a tensor must be of a type that NumPy has, got bfloat16; give .float()")
    array = data.detach().cpu().numpy() if isinstance(data, Tensor) else np.asarray(data)
    if not array.dtype.isnative:  # as FITS and some TIFF files have it
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "biuf":
        msg = f"an array must hold numbers, got dtype {array.dtype}"
        raise DataError(f"{msg}; use a data frame for text and mixed columns")
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
            f"an array must hold finite numbers, got {int(wrong.sum())} of {array.size} that are "
            f"NaN or infinite, the first at index {first}; drop or fill them (a data frame may "
            "have missing values)"
        )
        raise DataError(msg)


def library_of(data: Any) -> str:
    """Return the library of an array: `"torch"` or `"numpy"`."""
    return "torch" if isinstance(data, Tensor) else "numpy"


def from_numpy(array: Array, library: str) -> Any:
    """Return an array as one of a library."""
    return torch.from_numpy(np.ascontiguousarray(array)) if library == "torch" else array
