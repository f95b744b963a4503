"""Which rows are learned from, which are judged on, and which tell most about the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.measures._inputs import Featurise, counted, pair

LEAST = 20  # rows a side: enough to learn from and to be judged on
WITNESSES = 10


@dataclass(frozen=True)
class Side:
    """One sample, and the indices of the rows to learn from and of those to be judged on."""

    rows: Tensor
    learn: Tensor
    test: Tensor

    @property
    def size(self) -> int:
        """How many rows are used."""
        return len(self.learn) + len(self.test)


@dataclass(frozen=True)
class Split:
    """Both samples, each split at random; `extra` says what was done to them."""

    x: Side
    y: Side
    extra: dict[str, Any]

    def learnt(self) -> tuple[Tensor, Tensor]:
        """The rows of both sides to learn from."""
        return self.x.rows[self.x.learn], self.y.rows[self.y.learn]

    def tested(self) -> tuple[Tensor, Tensor]:
        """The rows of both sides to be judged on."""
        return self.x.rows[self.x.test], self.y.rows[self.y.test]


def split(
    x: Any,
    y: Any,
    *,
    share: float,
    limit: int | None,
    features: Featurise | None,
    generator: torch.Generator,
    level: bool = False,
) -> Split:
    """Return both samples split; the indices are those of the rows as they were given.

    Args:
        x: the real sample.
        y: the generated sample.
        share: of the rows to learn from; the others are to be judged on.
        limit: the most rows taken of each side.
        features: what to measure instead of the values themselves.
        generator: of the choice of rows.
        level: take as many rows of the one side as of the other.

    Raises:
        MeasureError: for fewer than 20 rows on a side, different widths, NaN or infinity.
    """
    counted(LEAST, limit=limit)
    both = pair(x, y, least=LEAST, features=features)
    most = limit or max(both.n, both.m)
    given = {"given": [both.n, both.m]} if max(both.n, both.m) > most else {}
    most = min(both.n, both.m, most) if level else most
    real, fake = (_side(rows, share, most, generator) for rows in (both.x, both.y))
    return Split(real, fake, {**given, **both.extra})


def _side(rows: Tensor, share: float, most: int, generator: torch.Generator) -> Side:
    order = torch.randperm(len(rows), generator=generator)[:most].to(rows.device)
    cut = int(share * len(order))
    return Side(rows, order[:cut], order[cut:])


def witness(both: Split, on_x: Tensor, on_y: Tensor) -> dict[str, list[int]]:
    """Return the rows, as given, that look most like their own side; the most telling first.

    Args:
        both: whose test rows were judged.
        on_x: the critic on the real test rows: high is real.
        on_y: the critic on the generated test rows.
    """
    real, fake = on_x.argsort(descending=True, stable=True), on_y.argsort(stable=True)
    return {
        "real": both.x.test[real[:WITNESSES].to(both.x.test.device)].tolist(),
        "generated": both.y.test[fake[:WITNESSES].to(both.y.test.device)].tolist(),
    }
