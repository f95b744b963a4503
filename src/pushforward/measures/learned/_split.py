"""Training and test rows, and the test rows that show the difference best (witnesses)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.errors import MeasureError
from pushforward.measures._inputs import FeatureFunction, Pair, pair, require_at_least

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
    both, size, extra = _checked(x, y, limit, features)
    size = min(both.n, both.m, size) if equal_sizes else size
    real, fake = (_split_sample(rows, share, size, generator) for rows in (both.x, both.y))
    return Split(real, fake, extra)


def cross_splits(
    x: Any,
    y: Any,
    *,
    folds: int,
    limit: int | None,
    features: FeatureFunction | None,
    seed: int,
) -> list[Split]:
    """Return a split for each fold, whose rows are the test rows; all others train.

    Both samples are reduced to the same size. The folds are those of scikit-learn's
    `StratifiedKFold(folds, shuffle=True, random_state=seed)` for the real rows before the generated
    ones.

    Args:
        x: the real sample.
        y: the generated sample.
        folds: how many.
        limit: maximum rows of each sample.
        features: maps rows to the vectors that are measured; None for the rows themselves.
        seed: of the folds and of left-out rows.

    Raises:
        MeasureError: as for `split`; for fewer folds than 2, or more than rows.
    """
    from sklearn.model_selection import StratifiedKFold

    both, size, extra = _checked(x, y, limit, features)
    size = min(both.n, both.m, size)
    if not 2 <= folds <= size:
        raise MeasureError(f"folds must be at least 2 and at most the {size} rows a side: {folds}")
    rng = torch.Generator().manual_seed(seed)
    used = [_some_rows(rows, size, rng) for rows in (both.x, both.y)]
    labels = np.repeat([0, 1], size)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    return [
        Split(
            _fold_sample(both.x, used[0], *(part[part < size] for part in fold)),
            _fold_sample(both.y, used[1], *(part[part >= size] - size for part in fold)),
            extra,
        )
        for fold in parts
    ]


def _fold_sample(
    rows: Tensor, used: Tensor, train: NDArray[np.int64], test: NDArray[np.int64]
) -> SplitSample:
    """Return a sample whose training and test rows are those at these places of the used ones."""
    return SplitSample(rows, *(used[torch.from_numpy(part)] for part in (train, test)))


def _checked(
    x: Any, y: Any, limit: int | None, features: FeatureFunction | None
) -> tuple[Pair, int, dict[str, Any]]:
    """Return both samples, the most rows that are used of either, and what a measurement adds."""
    require_at_least(MIN_ROWS, limit=limit)
    both = pair(x, y, min_rows=MIN_ROWS, features=features)
    size = limit or max(both.n, both.m)
    given = {"given": [both.n, both.m]} if max(both.n, both.m) > size else {}
    return both, size, {**given, **both.extra}


def _some_rows(rows: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return the indices of `size` rows in their order, at random where there are more."""
    if len(rows) == size:
        return torch.arange(size, device=rows.device)
    return torch.randperm(len(rows), generator=generator)[:size].sort().values.to(rows.device)


def _split_sample(rows: Tensor, share: float, size: int, generator: torch.Generator) -> SplitSample:
    order = torch.randperm(len(rows), generator=generator)[:size].to(rows.device)
    cut = int(share * len(order))
    return SplitSample(rows, order[:cut], order[cut:])


def witness(x: Tensor, y: Tensor, on_x: Tensor, on_y: Tensor) -> dict[str, list[int]]:
    """Return the indices, in the given samples, of the test rows that look most like their sample.

    Args:
        x: the indices of the real test rows.
        y: the indices of the generated ones.
        on_x: the critic on the real test rows: high is real.
        on_y: the critic on the generated test rows.
    """
    real, fake = on_x.argsort(descending=True, stable=True), on_y.argsort(stable=True)
    return {
        "real": x[real[:WITNESSES].to(x.device)].tolist(),
        "generated": y[fake[:WITNESSES].to(y.device)].tolist(),
    }
