"""Training and test rows, and the test rows that show the difference best (witnesses)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.measures._inputs import FeatureFunction, pair, require_at_least

MIN_ROWS = 20  # of each sample, to have enough training and test rows
WITNESSES = 10


@dataclass(frozen=True)
class SplitSample:
    """One sample, and the indices of its training and test rows."""

    rows: Tensor
    train_index: Tensor
    test_index: Tensor

    @property
    def size(self) -> int:
        """How many rows are used."""
        return len(self.train_index) + len(self.test_index)


@dataclass(frozen=True)
class Split:
    """Both samples, each split at random; `extra` goes into the measurement."""

    x: SplitSample
    y: SplitSample
    extra: dict[str, Any]

    def training_rows(self) -> tuple[Tensor, Tensor]:
        """The training rows of both samples."""
        return self.x.rows[self.x.train_index], self.y.rows[self.y.train_index]

    def test_rows(self) -> tuple[Tensor, Tensor]:
        """The test rows of both samples."""
        return self.x.rows[self.x.test_index], self.y.rows[self.y.test_index]


def split(
    x: Any,
    y: Any,
    *,
    share: float,
    limit: int | None,
    features: FeatureFunction | None,
    generator: torch.Generator,
    equal_sizes: bool = False,
) -> Split:
    """Return both samples split; the indices are those of the rows as they were given.

    Args:
        x: the real sample.
        y: the generated sample.
        share: of the training rows; the others are test rows.
        limit: maximum rows of each sample.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        generator: of the choice of rows.
        equal_sizes: take the same number of rows from both samples.

    Raises:
        MeasureError: for fewer than 20 rows of a sample, different widths, NaN or infinity.
    """
    require_at_least(MIN_ROWS, limit=limit)
    both = pair(x, y, min_rows=MIN_ROWS, features=features)
    size = limit or max(both.n, both.m)
    given = {"given": [both.n, both.m]} if max(both.n, both.m) > size else {}
    size = min(both.n, both.m, size) if equal_sizes else size
    real, fake = (_split_sample(rows, share, size, generator) for rows in (both.x, both.y))
    return Split(real, fake, {**given, **both.extra})


def _split_sample(rows: Tensor, share: float, size: int, generator: torch.Generator) -> SplitSample:
    order = torch.randperm(len(rows), generator=generator)[:size].to(rows.device)
    cut = int(share * len(order))
    return SplitSample(rows, order[:cut], order[cut:])


def witness(both: Split, on_x: Tensor, on_y: Tensor) -> dict[str, list[int]]:
    """Return the indices, in the given samples, of the test rows that look most like their sample.

    Args:
        both: the split samples.
        on_x: the critic on the real test rows: high is real.
        on_y: the critic on the generated test rows.
    """
    real, fake = on_x.argsort(descending=True, stable=True), on_y.argsort(stable=True)
    return {
        "real": both.x.test_index[real[:WITNESSES].to(both.x.test_index.device)].tolist(),
        "generated": both.y.test_index[fake[:WITNESSES].to(both.y.test_index.device)].tolist(),
    }
