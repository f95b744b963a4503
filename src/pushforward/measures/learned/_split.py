"""Which rows are learned from, which are judged on, and which tell most about the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.measures._inputs import FeatureFunction, pair, require_at_least

MIN_ROWS = 20  # rows a side: enough to learn from and to be judged on
WITNESSES = 10


@dataclass(frozen=True)
class SplitSample:
    """One sample, and the indices of the rows to learn from and of those to be judged on."""

    rows: Tensor
    train_index: Tensor
    test_index: Tensor

    @property
    def size(self) -> int:
        """How many rows are used."""
        return len(self.train_index) + len(self.test_index)


@dataclass(frozen=True)
class Split:
    """Both samples, each split at random; `extra` says what was done to them."""

    x: SplitSample
    y: SplitSample
    extra: dict[str, Any]

    def training_rows(self) -> tuple[Tensor, Tensor]:
        """The rows of both sides to learn from."""
        return self.x.rows[self.x.train_index], self.y.rows[self.y.train_index]

    def test_rows(self) -> tuple[Tensor, Tensor]:
        """The rows of both sides to be judged on."""
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
        share: of the rows to learn from; the others are to be judged on.
        limit: the most rows taken of each side.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        generator: of the choice of rows.
        equal_sizes: take as many rows of the one side as of the other.

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
    """Return the rows, as given, that look most like their own side; the most telling first.

    Args:
        both: whose test rows were judged.
        on_x: the critic on the real test rows: high is real.
        on_y: the critic on the generated test rows.
    """
    real, fake = on_x.argsort(descending=True, stable=True), on_y.argsort(stable=True)
    return {
        "real": both.x.test_index[real[:WITNESSES].to(both.x.test_index.device)].tolist(),
        "generated": both.y.test_index[fake[:WITNESSES].to(both.y.test_index.device)].tolist(),
    }
