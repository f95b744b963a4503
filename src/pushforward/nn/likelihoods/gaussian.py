"""The Gaussian likelihood of vectors and images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pushforward.nn.likelihoods.observation import Likelihood, Observation
from pushforward.space import Image, Vector


class Gaussian(Likelihood):
    """N(mean, sigma^2), with one sigma for each column of vectors or channel of images.

    sigma is learned (Rybkin et al. 2021), which balances distortion and rate without a weight, or
    is 1 (`unit`), in units of what networks see: by custom the squared error.
    """

    # Adam moves a parameter by about its learning rate a step; log sigma has far to go.
    GAIN = 10.0
    SMALLEST = -7.0

    raw: Tensor

    def __init__(self, space: Vector | Image, *, unit: bool = False) -> None:
        super().__init__()
        raw = torch.zeros(space.shape[0], *(1,) * (len(space.shape) - 1))
        if unit:
            self.register_buffer("raw", raw)
        else:
            self.raw = nn.Parameter(raw)

    @property
    def log_sigma(self) -> Tensor:
        """Log of sigma, kept above SMALLEST so that data on a curve have a finite likelihood."""
        return (self.GAIN * self.raw).clamp_min(self.SMALLEST)

    def forward(self, outputs: Tensor) -> Observation:
        """Return N(outputs, sigma^2)."""
        log_sigma = self.log_sigma

        def log_prob(x: Tensor) -> Tensor:
            standard = (x - outputs) * (-log_sigma).exp()
            each = -0.5 * standard.square() - log_sigma - 0.5 * math.log(2 * math.pi)
            return each.flatten(1).sum(1)

        def rsample() -> Tensor:
            return outputs + log_sigma.exp() * torch.randn_like(outputs)

        return Observation(log_prob, rsample, rsample, lambda: outputs)
