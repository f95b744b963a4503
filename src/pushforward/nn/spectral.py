"""Spectral normalisation: each layer of a network stretches no vector (Miyato et al. 2018).

A weight W, as a matrix of one row an output, is divided by its largest singular value sigma. Of
the first left singular vector u an estimate is kept, and refined by a step of power iteration
whenever W has moved: v = W^T u / |W^T u|, u = W v / |W v|, sigma = u^T W v. To look through the
network changes nothing, so it may be looked through any number of times in a turn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from pushforward.random import isolated

FIRST = 15  # steps of power iteration before the first look
TINY = 1e-12  # a weight of 0 stays 0


class Spectral(nn.Module):
    """W / sigma(W), with the singular vectors u and v taken as constants."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self.register_buffer("u", normalize(torch.randn(rows).to(weight), dim=0))
        self.register_buffer("v", weight.new_zeros(columns))
        for _ in range(FIRST):
            self.refine(weight)

    @torch.no_grad()
    def refine(self, weight: Tensor) -> None:
        """Bring u and v nearer to the first singular vectors, by a step of power iteration."""
        matrix = weight.flatten(1)
        self.v.copy_(normalize(matrix.T @ self.u, dim=0))
        self.u.copy_(normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """Return W / sigma, of W's shape."""
        sigma = (weight.flatten(1) * torch.outer(self.u, self.v)).sum()
        return weight / sigma.clamp(min=TINY)


def spectrally_normalised(network: nn.Module) -> None:
    """Normalise every linear and convolutional layer of a network.

    Layers that start at 0, the last ones of residual blocks, have no direction to be normalised:
    they are drawn anew. The scale of a start does not matter here.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    with isolated(torch.device("cpu"), 0):  # the rest of the model starts as without
        for layer in layers:
            if not layer.weight.any():
                nn.init.normal_(layer.weight)
            register_parametrization(layer, "weight", Spectral(layer.weight.detach()))


def refine(network: nn.Module) -> None:
    """Follow the weights of a network that has moved."""
    for layer in network.modules():
        if is_parametrized(layer, "weight"):
            own = layer.get_submodule("parametrizations.weight")
            for step in own.children():
                if isinstance(step, Spectral):
                    step.refine(own.get_parameter("original"))
