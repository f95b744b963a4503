"""A seeded split in three parts, and the hash that tells one data set from another."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pushforward.data.schema import Part, Schema
from pushforward.errors import DataError

LEAST = 10  # rows of a data set
PARTS: tuple[Part, ...] = ("train", "validation", "test")


def split(n: int, shares: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0) -> dict[Part, Tensor]:
    """Return the row indices of train, validation and test: disjoint, each at least one row."""
    if n < LEAST:
        msg = f"the data must have at least {LEAST} rows (to train, validate and test), got {n}"
        raise DataError(msg)
    if len(shares) != 3 or min(shares) <= 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        msg = f"split must be three positive shares that sum to 1, got {tuple(shares)}"
        raise DataError(msg)
    validation, test = (max(1, round(n * share)) for share in shares[1:])
    train = max(1, n - validation - test)
    order = np.random.default_rng(seed).permutation(n)
    cuts = np.split(order, [train, n - test])
    # In shuffled order: the first rows of a part are then a sample of it.
    return {name: torch.from_numpy(cut.copy()) for name, cut in zip(PARTS, cuts, strict=True)}


def digest(
    schema: Schema, rows: Tensor, labels: Tensor | None, parts: Mapping[Part, Tensor]
) -> str:
    """Return the SHA-256 of a data set: its schema, rows, labels and split."""
    sha = hashlib.sha256(json.dumps(schema.to_json(), sort_keys=True).encode())
    for tensor in (rows, labels, *(parts[name] for name in PARTS)):
        if tensor is None:
            sha.update(b"none")
            continue
        sha.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()
