"""Normalising flows: bijections of R^d whose densities are known, by zuko."""

from __future__ import annotations

from typing import Any

UNITS = 64
TRANSFORMS = 4


def flow(features: int, classes: int) -> Any:
    """Return a flow of affine coupling layers on R^features, given a condition (n, classes).

    Called with a condition, or None, it is a distribution with `transform` (T, from points to
    N(0, I)), `log_prob` and `rsample` (Dinh et al. 2017, RealNVP). Coupling layers are as fast
    backwards as forwards, which autoregressive ones are not.
    """
    from zuko.flows import MAF  # one model in several needs it

    hidden = (UNITS, UNITS)
    return MAF(features, classes, transforms=TRANSFORMS, hidden_features=hidden, passes=2)
