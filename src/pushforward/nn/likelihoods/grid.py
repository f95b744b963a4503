"""The levels of an image's values, and the mass that logistic distributions give to each.

Of an image whose values are known to lie on a grid of L levels in [-1, 1], the chance of a value is
the mass of its cell, 2 / (L - 1) wide; the outermost cells own the tails (Salimans et al. 2017).
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

LEVELS = 256  # of images whose levels are not known: 8 bits
SHARP = 0.2  # the smallest scale, in halves of a cell: then 99 % of the mass lie in one cell


class Grid:
    """The levels of an image's values, and the mass that logistics give to each.

    Args:
        levels: how many, evenly spaced over [-1, 1]; None where they are not known.
    """

    def __init__(self, levels: int | None) -> None:
        self.half = 1 / ((levels or LEVELS) - 1)  # of a cell
        self.known = levels is not None
        self.smallest = math.log(SHARP * self.half)

    def log_scale(self, raw: Tensor) -> Tensor:
        """Return the logarithm of a scale, above that of the smallest.

        A hard bound has no gradient beyond it: where the scale of a black background is at its
        smallest, the first stroke there is unlikely by hundreds of nats, and only the mean can
        give way. Then the means collapse to one image.
        """
        return self.smallest + softplus(raw - 2 - self.smallest)

    def log_mass(self, x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        """Return log(F(x + half) - F(x - half)), F logistic; the outermost cells own the tails.

        Its gradient, by hand, costs half of that by autograd; second derivatives are not had.
        """
        black, white = x < -1 + self.half, x > 1 - self.half
        found, *_ = _LogMass.apply(x, mean, log_scale, black, white, self.half)  # type: ignore[no-untyped-call]  # torch's
        return cast(Tensor, found)

    def draw(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        """Return a draw from logistics, continuous and clipped to [-1, 1]."""
        u = torch.rand_like(mean).clamp(1e-6, 1 - 1e-6)
        return (mean + log_scale.exp() * u.logit()).clamp(-1.0, 1.0)

    def nearest(self, x: Tensor) -> Tensor:
        """Return values at the level nearest to them, where levels are known."""
        if not self.known:
            return x
        return ((x + 1) / (2 * self.half)).round() * (2 * self.half) - 1


class _LogMass(torch.autograd.Function):
    """log(F(a) - F(b)) with a = (x - mean + half) / scale and b = (x - mean - half) / scale.

    = log F(a) + log F(-b) + log(1 - exp(b - a)); of a black pixel only the first, of a white one
    only the second. The slopes are found with the value.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, mean: Tensor, log_scale: Tensor, black: Tensor, white: Tensor, half: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        precision = (-log_scale).exp_()
        centre, reach = (x - mean).mul_(precision), half * precision
        a, b = centre + reach, centre - reach
        # as factors: to choose by them, with `where`, takes ten times as long
        lower, upper, inner = ((~edge).to(a.dtype) for edge in (white, black, black | white))
        gap = torch.expm1(2 * reach)
        value = gap.log().sub_(2 * reach).mul_(inner)
        value.addcmul_(logsigmoid(a), lower).addcmul_(logsigmoid(-b), upper)
        below, above = torch.sigmoid(-a).mul_(lower), torch.sigmoid(b).mul_(upper)
        by_centre = below - above
        by_reach = below.add_(above).addcdiv_(2 * inner, gap)
        by_mean = -precision * by_centre
        by_log_scale = by_centre.mul_(centre).addcmul_(by_reach, reach).neg_()
        return value, by_mean, by_log_scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, by_mean, by_log_scale = output
        ctx.shapes = [tensor.shape for tensor in inputs[:3]]
        ctx.mark_non_differentiable(by_mean, by_log_scale)
        ctx.save_for_backward(by_mean, by_log_scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_mean, by_log_scale = ctx.saved_tensors
        gradient, needed = gradients[0], ctx.needs_input_grad
        by_mean = gradient * by_mean
        return (
            (-by_mean).sum_to_size(ctx.shapes[0]) if needed[0] else None,
            by_mean.sum_to_size(ctx.shapes[1]) if needed[1] else None,
            (gradient * by_log_scale).sum_to_size(ctx.shapes[2]) if needed[2] else None,
            None,
            None,
            None,
        )
