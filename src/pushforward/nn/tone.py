"""The tone curve of generated images: one monotone map gives their pixels the values of real ones.

A critic of gentle slopes does not see that a black background is a little grey. It is what raking
is for the columns of a table.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

KNOTS = 513  # evenly spaced over [-1, 1]: about two for each level of 8 bits


class ToneCurve(nn.Module):
    """T(v) = Q(F(v)) for each channel: histogram matching (Gonzalez & Woods, chapter 3).

    F is the distribution function of generated values, Q the quantile function of real ones. Until
    it is fitted, and in training, values stay as they are.
    """

    curve: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("curve", torch.linspace(-1, 1, KNOTS).repeat(channels, 1))
        self.on = True

    def forward(self, x: Tensor) -> Tensor:
        """Return T of images x (n, channels, h, w) in [-1, 1], linear between knots."""
        if self.training or not self.on:
            return x
        place = (x.float() + 1) * ((KNOTS - 1) / 2)
        low = place.long().clamp(0, KNOTS - 2)
        row = KNOTS * torch.arange(len(self.curve), device=x.device)[:, None, None]
        start, end = (self.curve.take(low + row + step) for step in (0, 1))
        return torch.lerp(start, end, place - low).to(x.dtype)

    @torch.no_grad()
    def fit(self, real: Tensor, generated: Tensor) -> None:
        """Fit to images (n, channels, h, w) before the curve, in [-1, 1].

        A value that many pixels share has many places in F: it moves no further than it must.
        """
        for curve, x, y in zip(self.curve, real.unbind(1), generated.unbind(1), strict=True):
            curve.copy_(matched(x.float().flatten(), y.float().flatten()))


def matched(real: Tensor, generated: Tensor) -> Tensor:
    """Return Q(F(v)) at the knots v, for values (n,) and (m,) in [-1, 1].

    Of an atom this is what lies nearest to v between Q(F(v-)) and Q(F(v)): black that is too common
    stays black.
    """
    knots = torch.linspace(-1, 1, KNOTS, device=real.device)
    quantiles, values = real.sort().values, generated.sort().values
    below, upto = (
        _quantile(quantiles, torch.searchsorted(values, knots, right=right) / len(values))
        for right in (False, True)
    )
    return torch.minimum(torch.maximum(knots, below), upto)


def _quantile(ascending: Tensor, share: Tensor) -> Tensor:
    """Return the quantiles of sorted values (n,), linear between them."""
    place = share * (len(ascending) - 1)
    low, high = (p.long() for p in (place.floor(), place.ceil()))
    return torch.lerp(ascending[low], ascending[high], place - low)
