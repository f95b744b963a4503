"""The values of a function of many rows, and their slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor
from torch.func import grad

Points = TypeVar("Points", Tensor, tuple[Tensor, ...])


def slopes(function: Callable[[Points], Tensor], points: Points) -> tuple[Tensor, Points]:
    """Return a function's values at points (n,), and their gradients by each point's own numbers.

    Value i is to depend on point i alone. The gradients have gradients, too.
    """

    def total(points: Points) -> tuple[Tensor, Tensor]:
        values = function(points)
        return values.sum(), values

    found, values = grad(total, has_aux=True)(points)
    return values, found
