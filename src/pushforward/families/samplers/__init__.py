"""Samplers: what codes are drawn from after training, in place of the prior.

A decoder has seen the codes of rows. Where their distribution, the aggregate posterior
q(z|c) = E_x q(z|x, c), is not the prior p(z), the prior also draws codes that the decoder has never
seen. A sampler is a density that is fitted to the codes of the training rows once the networks
stand still (ex-post density estimation, Ghosh et al. 2020): a map from noise to codes, given the
condition. It lives in the prior's normal coordinates, so that it serves every prior.
"""

from __future__ import annotations

import torch

from pushforward.errors import ModelError, nearest
from pushforward.families.samplers.gaussians import GaussianMixture, KernelDensity
from pushforward.families.samplers.learned import Flow, SecondStage
from pushforward.families.samplers.sampler import Sampler
from pushforward.nn.priors import ContinuousPrior
from pushforward.random import isolated

__all__ = ["Flow", "GaussianMixture", "KernelDensity", "Sampler", "SecondStage", "sampler"]

SAMPLERS: dict[str, type[Sampler]] = {
    "mixture": GaussianMixture,
    "flow": Flow,
    "second-stage": SecondStage,
    "kernel": KernelDensity,
}


def sampler(name: str, prior: ContinuousPrior, classes: int) -> Sampler | None:
    """Return the sampler of that name, None for the prior itself; ModelError when unknown."""
    if name == "prior":
        return None
    if name not in SAMPLERS:
        msg = f"unknown sampler {name!r}: {nearest(name, ['prior', *SAMPLERS])}"
        raise ModelError(msg)
    with isolated(torch.device("cpu"), 0):  # the model's own start does not depend on its sampler
        return SAMPLERS[name](prior, classes)
