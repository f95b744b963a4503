"""Likelihood heads p(x|z): from a decoder's outputs to a distribution over rows.

A head says how many outputs it wants for each value of a row, and turns them into an observation
model with `log_prob`, `sample` and `mean`. Log-probabilities are in nats a row.
"""

from __future__ import annotations

from collections.abc import Callable

from pushforward.errors import ModelError, nearest
from pushforward.nn.likelihoods.gaussian import Gaussian
from pushforward.nn.likelihoods.images import Bernoulli, DiscretisedLogistic, PixelChain
from pushforward.nn.likelihoods.observation import Likelihood, Observation
from pushforward.nn.likelihoods.tables import (
    Autoregressive,
    Categorical,
    IndependentColumns,
)
from pushforward.space import Image, Space, Vector

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "Categorical",
    "DiscretisedLogistic",
    "Gaussian",
    "IndependentColumns",
    "Likelihood",
    "Observation",
    "PixelChain",
    "likelihood",
]


def likelihood(name: str, space: Space, *, implicit: bool = False) -> Likelihood:
    """Return the head of that name; ModelError when it does not fit.

    "auto" chooses by space. Where the decoder serves as a generator (`implicit`) its rows are
    means, through which gradients must flow.
    """
    known: dict[str, Callable[[], Likelihood]] = {}
    if isinstance(space, Image):
        known = {
            "auto": lambda: Gaussian(space) if implicit else PixelChain(space),
            "autoregressive": lambda: PixelChain(space),
            "bernoulli": lambda: Bernoulli(space),
            "logistic": lambda: DiscretisedLogistic(space),
            "gaussian": lambda: Gaussian(space),
            "unit-gaussian": lambda: Gaussian(space, unit=True),
        }
    elif isinstance(space, Vector):
        known = {
            "auto": lambda: Gaussian(space),
            "gaussian": lambda: Gaussian(space),
            "unit-gaussian": lambda: Gaussian(space, unit=True),
        }
    else:
        known = {
            "auto": lambda: Autoregressive(space),
            "autoregressive": lambda: Autoregressive(space),
            "categorical": lambda: Categorical(space),
        }
    if name not in known:
        msg = f"no likelihood {name!r} for this kind of data: {nearest(name, known)}"
        raise ModelError(msg)
    return known[name]()
