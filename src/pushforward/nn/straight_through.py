"""The straight-through estimator: a discrete value forward, the gradient of a smooth one backward."""

from __future__ import annotations

from torch import Tensor


def straight_through(value: Tensor, smooth: Tensor) -> Tensor:
    """Return `value`, with the gradient of `smooth` (Bengio et al. 2013): s + sg(v - s)."""
    return smooth + (value - smooth).detach()
