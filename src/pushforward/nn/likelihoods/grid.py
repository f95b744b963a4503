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

        Args:
            x: the values, of a shape that broadcasts to the others'.
            mean: of each logistic.
            log_scale: likewise, of the same shape.
        """
        found, *_ = _LogMass.apply(x, mean, log_scale, self.half)  # type: ignore[no-untyped-call]  # torch's
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
    """The value and its slopes in one pass: half of the work of differentiating `_log_mass`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, mean: Tensor, log_scale: Tensor, half: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        precision = (-log_scale).exp()
        centre, reach = (x - mean) * precision, half * precision
        a, b = centre + reach, centre - reach
        has_lower, has_upper = _bounded(x, half)
        below, above = torch.sigmoid(-a) * has_upper, torch.sigmoid(b) * has_lower
        by_reach = below + above + 2 * has_lower * has_upper / torch.expm1(2 * reach)
        by_mean = (above - below) * precision
        by_log_scale = (above - below) * centre - by_reach * reach
        return _log_mass(x, mean, log_scale, half), by_mean, by_log_scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, mean, log_scale, ctx.half = inputs
        _, by_mean, by_log_scale = output
        ctx.mark_non_differentiable(by_mean, by_log_scale)
        ctx.save_for_backward(x, mean, log_scale, by_mean, by_log_scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, log_scale, by_mean, by_log_scale = ctx.saved_tensors
        gradient, needed = gradients[0], ctx.needs_input_grad
        if torch.is_grad_enabled():  # a gradient of this gradient may be asked for
            inputs = zip((x, mean, log_scale), needed, strict=False)
            asked = [tensor for tensor, need in inputs if need]
            value = _log_mass(x, mean, log_scale, ctx.half)
            found = iter(torch.autograd.grad(value, asked, gradient, create_graph=True))
            return *(next(found) if need else None for need in needed[:3]), None
        by_mean = gradient * by_mean
        return (
            (-by_mean).sum_to_size(x.shape) if needed[0] else None,
            by_mean.sum_to_size(mean.shape) if needed[1] else None,
            (gradient * by_log_scale).sum_to_size(log_scale.shape) if needed[2] else None,
            None,
        )


def _log_mass(x: Tensor, mean: Tensor, log_scale: Tensor, half: float) -> Tensor:
    """Return log(F(a) - F(b)), a = (x - mean + half) / scale and b = (x - mean - half) / scale.

    = log F(a) + log F(-b) + log(1 - exp(b - a)); of a black pixel only the first, of a white one
    only the second.
    """
    precision = (-log_scale).exp()
    centre, reach = (x - mean) * precision, half * precision
    has_lower, has_upper = _bounded(x, half)
    value = torch.log(-torch.expm1(-2 * reach)) * (has_lower * has_upper)
    return value + logsigmoid(centre + reach) * has_upper + logsigmoid(reach - centre) * has_lower


def _bounded(x: Tensor, half: float) -> tuple[Tensor, Tensor]:
    """Return 1 where a value's cell ends below, else 0 (black), and the same above (white).

    As factors: to choose by them, with `where`, takes ten times as long.
    """
    return (x >= -1 + half).to(x.dtype), (x <= 1 - half).to(x.dtype)
