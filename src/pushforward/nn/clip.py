"""Clipping through which a network can learn."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class _Clip(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, low: float, high: float) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:
        del output
        x, ctx.low, ctx.high = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x: Tensor = ctx.saved_tensors[0]
        gradient = gradients[0]
        # A step goes against the gradient.
        down, up = (x >= ctx.low) | (gradient < 0), (x <= ctx.high) | (gradient > 0)
        return gradient * (down & up), None, None


def clip(x: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Return x clipped to [low, high]; outside, the gradient passes only where it leads back.

    So what is outside stays where it is as long as the bound is best, and comes back when it is
    not. With clamp's own gradient, which is 0 there, it never does; if every gradient passed, it
    would wander off.
    """
    return cast(Tensor, _Clip.apply(x, low, high))  # type: ignore[no-untyped-call]  # torch's
