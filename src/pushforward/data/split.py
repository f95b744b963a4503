"""A seeded split in train, validation and test, and the hash that identifies a data set."""

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

from pushforward.data.numeric import Ints
from pushforward.data.schema import Schema, SplitName
from pushforward.errors import DataError

MIN_ROWS = 10  # of a data set
MIN_HELD_OUT = 2  # rows of validation and of test: no measure takes fewer
FEW_GROUPS = (
    "the files are too few to keep all images of each in one split: those of one file, which may "
    "be alike, are among the rows to train on and to test on"
)
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")


def split(
    n: int,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    groups: Ints | None = None,
) -> dict[SplitName, Tensor]:
    """Return the row indices of train, validation and test: disjoint, each at least two rows.

    Rows of one of the `groups` (n,) stay together. DataError where groups are too few for that.
    """
    train, validation, test = split_sizes(n, shares)
    order = shuffled_indices(n, seed, np.int64)
    if groups is None:
        cuts = np.split(order, [train, train + validation])
    else:
        cuts = _whole_groups(order, validation, test, groups)
    # The indices stay in shuffled order: the first rows of a split are then a sample of it.
    return {name: torch.from_numpy(cut.copy()) for name, cut in zip(SPLIT_NAMES, cuts, strict=True)}


def shuffled_indices(n: int, seed: int, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """Return the row indices 0 .. n - 1 in random order, the same for every integer type."""
    order = np.arange(n, dtype=dtype)
    np.random.default_rng(seed).shuffle(order)
    return order


def split_sizes(
    n: int, shares: Sequence[float], max_held_out: int | None = None
) -> tuple[int, int, int]:
    """Return the number of rows of train, validation and test.

    Validation and test have at least `MIN_HELD_OUT` rows each, and at most `max_held_out`; the
    other rows are for training.
    """
    if n < MIN_ROWS:
        msg = f"the data must have at least {MIN_ROWS} rows (to train, validate and test), got {n}"
        raise DataError(msg)
    if len(shares) != 3 or min(shares) <= 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        msg = f"split must be three positive shares that sum to 1, got {tuple(shares)}"
        raise DataError(msg)
    validation, test = (
        min(max(MIN_HELD_OUT, round(n * share)), max_held_out or n) for share in shares[1:]
    )
    train = max(MIN_HELD_OUT, n - validation - test)
    test = min(test, n - train - MIN_HELD_OUT)
    return train, n - test - train, test


def grouped_split(
    n: int, shares: Sequence[float], seed: int, groups: Ints | None
) -> tuple[dict[SplitName, Tensor], str]:
    """Return the splits with rows of a group together, and a note where that cannot be."""
    try:
        return split(n, shares, seed, groups), ""
    except DataError:
        if groups is None:
            raise
    return split(n, shares, seed), f"check: {FEW_GROUPS}"


def _whole_groups(order: Ints, validation: int, test: int, groups: Ints) -> list[Ints]:
    """Return the rows of train, validation and test, the latter smaller where groups are large."""
    last, others = _part(order, test, groups)
    middle, first = _part(others, validation, groups)
    if min(map(len, (first, middle, last))) >= MIN_HELD_OUT:
        return [first, middle, last]
    if max(validation, test) > MIN_HELD_OUT:
        validation, test = (max(size // 2, MIN_HELD_OUT) for size in (validation, test))
        return _whole_groups(order, validation, test, groups)
    msg = f"train, validation and test need groups with at least {MIN_HELD_OUT} rows each, got"
    raise DataError(f"{msg} {len(np.unique(groups))} groups of {len(order):,} rows; give more")


def _part(rows: Ints, size: int, groups: Ints | None) -> tuple[Ints, Ints]:
    """Return about `size` of the rows, which are in random order, and the others.

    Of groups, only whole ones are taken: each that still fits, and the smallest where too few do.
    """
    if groups is None:
        return rows[:size], rows[size:]
    _, first, of, counts = np.unique(
        groups[rows], return_index=True, return_inverse=True, return_counts=True
    )
    is_taken, total = np.zeros(len(counts), np.bool_), 0
    for group in first.argsort():
        if total + counts[group] <= size:
            is_taken[group], total = True, total + counts[group]
    for group in counts.argsort(kind="stable"):
        if total < MIN_HELD_OUT and not is_taken[group]:
            is_taken[group], total = True, total + counts[group]
    return rows[is_taken[of]], rows[~is_taken[of]]


def folder_split(
    own: Mapping[SplitName, Ints],
    shares: Sequence[float],
    seed: int,
    groups: Ints | None = None,
) -> tuple[dict[SplitName, Tensor], str]:
    """Return the row indices of the splits that a source has, and a note.

    A split that it lacks is taken at random: validation from train, test from validation, whose
    rows a user held out, each by the shares. Without rows to train on, all are split at random.
    Rows of one of the `groups` stay together where they are taken at random.

    Raises DataError for fewer than ten rows, or a split without any.
    """
    sizes = {name: len(rows) for name, rows in own.items()}
    total, listed = sum(sizes.values()), ", ".join(f"{name} {n:,}" for name, n in sizes.items())
    if "train" not in own or len(own) == 1:
        splits, note = grouped_split(total, shares, seed, groups)
        split_note = f"check: the folders ({listed}) are split at random"
        return splits, "; ".join([split_note, *([note.removeprefix("check: ")] if note else [])])
    split_sizes(total, shares)  # raises for too few
    rows = {name: own[name][shuffled_indices(len(own[name]), seed, np.int64)] for name in own}
    note = f"the folders are the splits: {listed}"
    lending: tuple[tuple[SplitName, SplitName], ...] = (
        ("test", "validation"),
        ("validation", "train"),
    )
    for lacking, source in lending:
        if lacking not in rows:
            part = shares[SPLIT_NAMES.index(lacking)]
            share = part / (part + shares[SPLIT_NAMES.index(source)])
            cut = max(1, round(len(rows[source]) * share))
            several = groups is not None and len(np.unique(groups[rows[source]])) > 1
            parts = _part(rows[source], cut, groups if several else None)
            rows[lacking], rows[source] = parts
            note = f"{note}; {lacking} ({len(rows[lacking]):,}) is taken from {source} at random"
    empty = [name for name in SPLIT_NAMES if len(rows[name]) == 0]
    if empty:
        msg = f"train, validation and test need at least one row each, got {listed}"
        raise DataError(f"{msg}: none is left for {', '.join(empty)}; move some there")
    return {name: torch.from_numpy(rows[name].copy()) for name in SPLIT_NAMES}, note


class DatasetHash:
    """The SHA-256 of a schema and of tensors, each of them added whole or in blocks of rows."""

    def __init__(self, schema: Schema) -> None:
        known = schema.to_json() | {"separator": None}  # of a file, not of its rows
        self._sha = hashlib.sha256(json.dumps(known, sort_keys=True).encode())

    def start(self, dtype: torch.dtype, shape: Sequence[int]) -> None:
        """Add the header of a tensor, whose rows follow by `update`."""
        self._sha.update(f"{dtype} {tuple(shape)}".encode())

    def update(self, rows: Tensor) -> None:
        """Add the next rows of the tensor."""
        self._sha.update(rows.contiguous().numpy().data)

    def add(self, tensor: Tensor | None) -> None:
        """Add a whole tensor, or None."""
        if tensor is None:
            self._sha.update(b"none")
            return
        self.start(tensor.dtype, tensor.shape)
        self.update(tensor)

    def hexdigest(self) -> str:
        """Return the digest of everything added so far."""
        return self._sha.hexdigest()


def digest(
    schema: Schema, rows: Tensor, labels: Tensor | None, splits: Mapping[SplitName, Tensor]
) -> str:
    """Return the SHA-256 of a data set: its schema, rows, labels and split."""
    sha = DatasetHash(schema)
    for tensor in (rows, labels, *(splits[name] for name in SPLIT_NAMES)):
        sha.add(tensor)
    return sha.hexdigest()
