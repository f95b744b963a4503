"""The straight-through estimator: a discrete value forward, a smooth one's gradient backward."""

from __future__ import annotations

from torch import Tensor


def straight_through(value: Tensor, smooth: Tensor) -> Tensor:
    """Return `value`, with the gradient of `smooth` (Bengio et al. 2013): s + sg(v - s)."""
    return smooth + (value - smooth).detach()
