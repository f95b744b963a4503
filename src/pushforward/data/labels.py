"""Labels of rows: their classes, codes and shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.data.schema import Condition
from pushforward.data.tables.partition import Ints
from pushforward.errors import DataError

MOST = 1000  # classes that labels may have


def encode_labels(labels: Any, n: int) -> tuple[Tensor, tuple[Any, ...]]:
    """Return the codes (n,) of labels, and their classes in ascending order."""
    array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if array.shape not in ((n,), (n, 1)):
        msg = f"labels must be one a row, of shape ({n},), got shape {array.shape}"
        raise DataError(msg)
    if array.dtype.kind not in "biuUSf" or (array.dtype.kind == "f" and (array % 1 != 0).any()):
        msg = f"labels must be integers, truth values or text, got {array.dtype}"
        raise DataError(msg)
    whole = array.astype(np.int64) if array.dtype.kind == "f" else array
    classes, codes = np.unique(whole.reshape(-1), return_inverse=True)
    if len(classes) > MOST:
        msg = f"labels must have at most {MOST} classes, got {len(classes)}"
        raise DataError(msg)
    return torch.from_numpy(codes.astype(np.int64)), tuple(classes.tolist())


def classes_of(name: str, classes: tuple[Any, ...], codes: Tensor, train: Ints) -> Condition:
    """Return the condition on labels, with the classes' shares of the training rows."""
    counts = torch.bincount(codes[torch.from_numpy(train)], minlength=len(classes)).double()
    return Condition(name, classes, tuple((counts / counts.sum()).tolist()))
