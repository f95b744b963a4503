"""From encoded rows to a `Dataset`: the seeded split and the content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.data.schema import Condition, Part, Schema
from pushforward.errors import DataError

FEWEST = 10
PARTS: tuple[Part, Part, Part] = ("train", "validation", "test")


def split(n: int, shares: Sequence[float], seed: int) -> dict[Part, Tensor]:
    """Return row indices of train, validation and test: disjoint, shuffled, by `shares`."""
    if n < FEWEST:
        msg = f"at least {FEWEST} rows are needed to train, select and test on; got {n}"
        raise DataError(msg)
    if len(shares) != len(PARTS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        msg = f"split: three positive shares that add up to 1 are wanted, got {tuple(shares)}"
        raise DataError(msg)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    held = [max(1, round(n * share)) for share in shares[1:]]
    sizes = [n - sum(held), *held]
    return dict(zip(PARTS, order.split(sizes), strict=True))


def digest(
    schema: Schema, rows: Tensor, labels: Tensor | None, parts: Mapping[Part, Tensor]
) -> str:
    """Return the SHA-256 of a data set's content, in hexadecimal."""
    sha = hashlib.sha256(json.dumps(schema.to_json(), sort_keys=True).encode())
    tensors = [rows, *([] if labels is None else [labels]), *(parts[name] for name in PARTS)]
    for tensor in tensors:
        sha.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().numpy().data)
    return sha.hexdigest()


def classes(
    name: str, labels: Sequence[object] | NDArray[np.generic], train: NDArray[np.int64]
) -> tuple[Condition, Tensor]:
    """Return the condition that labels make, and each row's class code (n,)."""
    values = np.asarray(labels)
    found, codes = np.unique(values, return_inverse=True)
    if not 2 <= len(found) <= 1000:
        msg = f"a condition needs 2 to 1000 classes; {name!r} has {len(found)}"
        raise DataError(msg)
    counts = np.bincount(codes[train], minlength=len(found))
    shares = tuple((counts / counts.sum()).tolist())
    return Condition(name, tuple(found.tolist()), shares), torch.from_numpy(codes.astype(np.int64))
