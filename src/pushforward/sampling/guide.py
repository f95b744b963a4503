"""Codes for importance sampling: half from the prior, half from the encoder at given rows.

e is drawn from m(e) = (p(e) + q(e | x)) / 2 and has the weight p(e) / m(e), which is at most 2: so
no row is lost on which the encoder is wrong (a defensive mixture, Hesterberg 1995).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pushforward.errors import ModelError
from pushforward.families.codes import Posterior
from pushforward.families.encoders import WithCodes
from pushforward.families.model import Model

Density = Callable[[Tensor], Tensor]  # from points e (n, latent) to log-densities (n,)


def guided_codes(model: Model, x: Tensor, c: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """Return k codes z for each of b expanded rows x, and their log weights (b k,) in nats.

    `c` are the conditions (b k, classes) of the codes, or None. Of a model whose encoder or prior
    has no density all codes are the prior's.
    """
    n = k * len(x)
    q = _posterior(model, x.repeat_interleave(k, 0), c)
    plain = torch.zeros(n, dtype=torch.float64, device=x.device)
    if q is None or not isinstance(model, WithCodes):
        return model.source.sample(n, c), plain
    source = model.source
    place = torch.arange(n, device=x.device) % k
    odd = torch.rand(n, device=x.device) < 0.5  # one that has no partner is of either
    from_prior = torch.where(place == 2 * (k // 2), odd, place % 2 == 0)
    e = torch.where(from_prior[:, None], source.draw(n, c), q.draw())
    try:
        log_p = source.log_prob(e, c).double()
    except ModelError:  # codes that are generated have no density
        return source.sample(n, c), plain
    log_q = _density(q)(e).double()
    return source.carry(e), log_p - torch.logaddexp(log_p, log_q) + math.log(2)


def _posterior(model: Model, x: Tensor, c: Tensor | None) -> Posterior | None:
    """Return q(z|x) if it has a density."""
    if not isinstance(model, WithCodes):
        return None
    q = model.encode(x, c)
    spread: Any = getattr(q, "log_var", None)
    known = hasattr(q, "log_prob") and (spread is None or bool((spread > -torch.inf).all()))
    return q if known and q.finite else None


def _density(q: Posterior) -> Density:
    density: Density = getattr(q, "log_prob")  # noqa: B009 - not all posteriors have one
    return density
