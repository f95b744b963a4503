"""A seeded split in three parts, and the hash that tells one data set from another."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.data.schema import Part, Schema
from pushforward.errors import DataError

LEAST = 10  # rows of a data set
PARTS: tuple[Part, ...] = ("train", "validation", "test")


def split(n: int, shares: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0) -> dict[Part, Tensor]:
    """Return the row indices of train, validation and test: disjoint, each at least one row."""
    train, validation, _ = sizes(n, shares)
    cuts = np.split(shuffled(n, seed, np.int64), [train, train + validation])
    # In shuffled order: the first rows of a part are then a sample of it.
    return {name: torch.from_numpy(cut.copy()) for name, cut in zip(PARTS, cuts, strict=True)}


def shuffled(n: int, seed: int, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """Return the row indices in the order that is split; the same for every integer type."""
    order = np.arange(n, dtype=dtype)
    np.random.default_rng(seed).shuffle(order)
    return order


def sizes(n: int, shares: Sequence[float], most: int | None = None) -> tuple[int, int, int]:
    """Return the sizes of train, validation and test.

    With `most`, validation and test have at most so many rows, and the others train.
    """
    if n < LEAST:
        msg = f"the data must have at least {LEAST} rows (to train, validate and test), got {n}"
        raise DataError(msg)
    if len(shares) != 3 or min(shares) <= 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        msg = f"split must be three positive shares that sum to 1, got {tuple(shares)}"
        raise DataError(msg)
    validation, test = (min(max(1, round(n * share)), most or n) for share in shares[1:])
    train = max(1, n - validation - test)
    return train, n - test - train, test


class Digest:
    """The SHA-256 of a schema and of tensors, each of them fed whole or in parts, row by row."""

    def __init__(self, schema: Schema) -> None:
        self._sha = hashlib.sha256(json.dumps(schema.to_json(), sort_keys=True).encode())

    def begin(self, dtype: torch.dtype, shape: Sequence[int]) -> None:
        """Announce a tensor."""
        self._sha.update(f"{dtype} {tuple(shape)}".encode())

    def feed(self, part: Tensor) -> None:
        """Take in the next rows of the announced tensor."""
        self._sha.update(part.contiguous().numpy().data)

    def take(self, tensor: Tensor | None) -> None:
        """Take in a whole tensor, or None."""
        if tensor is None:
            self._sha.update(b"none")
            return
        self.begin(tensor.dtype, tensor.shape)
        self.feed(tensor)

    def hexadecimal(self) -> str:
        """Return the digest of what was taken in."""
        return self._sha.hexdigest()


def digest(
    schema: Schema, rows: Tensor, labels: Tensor | None, parts: Mapping[Part, Tensor]
) -> str:
    """Return the SHA-256 of a data set: its schema, rows, labels and split."""
    found = Digest(schema)
    for tensor in (rows, labels, *(parts[name] for name in PARTS)):
        found.take(tensor)
    return found.hexadecimal()
