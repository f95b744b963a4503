"""The tone curve of generated images: one monotone map gives their pixels the values of real ones.

A critic of gentle slopes does not see that a black background is a little grey. It is what raking
is for the columns of a table.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

KNOTS = 513  # evenly spaced over [-1, 1]: two for each level of 8 bits


class ToneCurve(nn.Module):
    """T(v) = Q(F(v)) for each channel: histogram matching (Gonzalez & Woods, chapter 3).

    F is the distribution function of generated values, Q the quantile function of real ones. Until
    it is fitted, and in training, values stay as they are.
    """

    curve: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("curve", torch.linspace(-1, 1, KNOTS).repeat(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return T of images x (n, channels, h, w) in [-1, 1], linear between knots."""
        if self.training:
            return x
        place = (x.float() + 1) * ((KNOTS - 1) / 2)
        low = place.long().clamp(0, KNOTS - 2)
        row = KNOTS * torch.arange(len(self.curve), device=x.device)[:, None, None]
        start, end = (self.curve.take(low + row + step) for step in (0, 1))
        return torch.lerp(start, end, place - low).to(x.dtype)

    @torch.no_grad()
    def fit(self, real: Tensor, generated: Tensor) -> None:
        """Fit to images (n, channels, h, w) before the curve, in [-1, 1].

        Of a value that many pixels share, half of them count as below it.
        """
        for curve, x, y in zip(self.curve, real.unbind(1), generated.unbind(1), strict=True):
            curve.copy_(matched(x.float().flatten(), y.float().flatten()))


def matched(real: Tensor, generated: Tensor) -> Tensor:
    """Return Q(F(v)) at the knots v, for values (n,) and (m,) in [-1, 1]."""
    knots = torch.linspace(-1, 1, KNOTS, device=real.device)
    below, upto = (
        torch.searchsorted(generated.sort().values, knots, right=right) for right in (False, True)
    )
    quantiles = real.sort().values
    place = (below + upto) / (2 * len(generated)) * (len(real) - 1)
    low, high = (p.long() for p in (place.floor(), place.ceil()))
    return torch.lerp(quantiles[low], quantiles[high], place - low)
