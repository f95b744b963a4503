"""How much privacy a run spends, and how much noise it needs to spend no more.

All that a run takes from its rows are sums in which a row counts for a vector of bounded length,
with Gaussian noise: the histograms of its schema, over all rows, and the gradients of its turns,
each over rows drawn by independent coins (Poisson sampling). Composed in Renyi divergences D_alpha
(Mironov, Talwar & Zhang 2019), by Opacus's accountant,

    epsilon = min_alpha sum_i D_alpha(i) + log(1 - 1/alpha) - (log delta + log alpha)/(alpha - 1),

for a row more and for a row less alike.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from scipy.special import log_ndtr, ndtr

from pushforward.errors import ModelError
from pushforward.training.private.guarantee import Guarantee

ORDERS = [1 + k / 10 for k in range(1, 110)] + [*range(12, 64), *range(64, 512, 32)]
SCHEMA_SHARE = 0.3  # of epsilon: what the schema would spend by itself
LEAST_NOISE, MOST_NOISE = 0.2, 1e5


class Gaussian(NamedTuple):
    """A sum of vectors, one a row and of length at most 1, with noise, taken so many times.

    Args:
        noise: the standard deviation of each coordinate.
        rate: the probability with which each row is in it.
        times: how many of them.
    """

    noise: float
    rate: float
    times: int


def gaussian_delta(epsilon: float, noise: float) -> float:
    """Return the least delta of one Gaussian mechanism of sensitivity 1 (Balle & Wang 2018).

    Phi(1 / (2 noise) - epsilon noise) - exp(epsilon) Phi(-1 / (2 noise) - epsilon noise).
    """
    half, shift = 0.5 / noise, epsilon * noise
    gone = math.exp(epsilon + float(log_ndtr(-half - shift)))
    return float(ndtr(half - shift)) - gone


def gaussian_noise(epsilon: float, delta: float) -> float:
    """Return the least noise with which one Gaussian mechanism is (epsilon, delta)-private."""
    low, high = math.log(LEAST_NOISE / 100), math.log(MOST_NOISE)

    def over(log_noise: float) -> float:
        return gaussian_delta(epsilon, math.exp(log_noise)) - delta

    return math.exp(_root(over, low, high, 1e-10))


def _root(over: Callable[[float], float], low: float, high: float, near: float) -> float:
    """Return where a function changes its sign between two places."""
    from scipy.optimize import brentq  # half a second, which few fits need

    return float(brentq(over, low, high, xtol=near))


def schema_noise(guarantee: Guarantee, questions: int) -> float:
    """Return the noise of each of so many histograms of the schema."""
    alone = gaussian_noise(SCHEMA_SHARE * guarantee.epsilon, guarantee.composed)
    return alone * math.sqrt(questions)


def training_noise(guarantee: Guarantee, schema: Gaussian, rate: float, times: int) -> float:
    """Return the least noise, in units of the clipping norm, that the rest of epsilon allows.

    ModelError where none is enough.
    """

    def over(log_noise: float) -> float:
        turns = Gaussian(math.exp(log_noise), rate, times)
        return spent(guarantee, [schema, turns]) - guarantee.epsilon

    least, most = math.log(LEAST_NOISE), math.log(MOST_NOISE)
    if over(most) > 0:
        msg = f"no noise gives epsilon={guarantee.epsilon:g} at delta={guarantee.delta:g}"
        raise ModelError(f"{msg}: ask for a larger epsilon or delta")
    if over(least) <= 0:
        return LEAST_NOISE
    found = _root(over, least, most, 1e-4)
    return math.exp(found + 1e-4)  # on the safe side of the root


def spent(guarantee: Guarantee, parts: Sequence[Gaussian]) -> float:
    """Return the epsilon of these sums together."""
    from opacus.accountants.analysis import rdp

    divergences = sum(
        rdp.compute_rdp(q=p.rate, noise_multiplier=p.noise, steps=p.times, orders=ORDERS)
        for p in parts
    )
    with warnings.catch_warnings():  # the largest order may be the best: a bound all the same
        warnings.simplefilter("ignore")
        epsilon, _ = rdp.get_privacy_spent(orders=ORDERS, rdp=divergences, delta=guarantee.composed)
    return float(epsilon)


@dataclass(frozen=True)
class Spending:
    """What a private run is said to have done: the record in its config.

    Args:
        epsilon, delta: the guarantee.
        neighbours: which tables it cannot tell apart.
        accountant: what composed the parts.
        spent: the epsilon that it found.
        rows: about how many there are: a noisy count.
        schema: noise and number of the histograms, and what they would spend alone.
        training: noise in units of the clipping norm, sampling rate, number of sums, clipping norm,
            and what they would spend alone.
        naming_delta: the part of delta that covers the names of categories.
    """

    epsilon: float
    delta: float
    neighbours: str
    accountant: str
    spent: float
    rows: int
    schema: dict[str, float]
    training: dict[str, float]
    naming_delta: float

    @classmethod
    def of(
        cls, guarantee: Guarantee, schema: Gaussian, training: Gaussian, clip: float, rows: int
    ) -> Spending:
        """Return the record of these parts."""
        from importlib.metadata import version

        return cls(
            guarantee.epsilon,
            guarantee.delta,
            "tables that differ by one training row, more or less",
            f"Renyi (Opacus {version('opacus')})",
            spent(guarantee, [schema, training]),
            rows,
            {
                "histograms": schema.times,
                "noise": schema.noise,
                "epsilon_alone": spent(guarantee, [schema]),
            },
            {
                "noise_multiplier": training.noise,
                "sampling_rate": training.rate,
                "steps": training.times,
                "clip_grad_norm": clip,
                "epsilon_alone": spent(guarantee, [training]),
            },
            guarantee.delta - guarantee.composed,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)
