"""Clipping through which a network can learn."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class _Clip(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(-1, 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        gradient = gradients[0]
        # A step goes against the gradient: outside, it leads inside where both have one sign.
        return gradient * ((x.abs() <= 1) | (gradient * x > 0))


def clip(x: Tensor) -> Tensor:
    """Return x clipped to [-1, 1]; outside, the gradient passes only where it leads back inside.

    So what is outside stays where it is as long as the bound is best, and comes back when it is
    not. With clamp's own gradient, which is 0 there, it never does; if every gradient passed, it
    would wander off.
    """
    return cast(Tensor, _Clip.apply(x))  # type: ignore[no-untyped-call]  # torch's
