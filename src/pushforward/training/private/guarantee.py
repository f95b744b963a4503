"""What differential privacy a user asks for."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from pushforward.errors import ModelError

NAMING_SHARE = 0.1  # of delta: that the name of a category gives one row away
DELTA = 1e-5  # where none is given


@dataclass(frozen=True)
class Guarantee:
    """(epsilon, delta): how well a released run hides whether any one row was there.

    For each set S of results, P(run of D in S) <= exp(epsilon) P(run of D' in S) + delta, where D
    and D' differ by one training row, more or less.
    """

    epsilon: float
    delta: float

    @classmethod
    def of(cls, epsilon: Any, delta: Any) -> Guarantee:
        """Check what a user asks for; ModelError says what is wrong."""
        if epsilon is None:
            raise ModelError(f"delta={delta!r} needs epsilon=: the two are one guarantee")
        if not _is_number(epsilon) or not 0 < epsilon < math.inf:
            msg = f"epsilon must be a positive number, such as 3, got {epsilon!r}"
            raise ModelError(f"{msg}; leave it out to train without differential privacy")
        given = DELTA if delta is None else delta
        if not _is_number(given) or not 0 < given < 1:
            msg = f"delta must be a number between 0 and 1, far below 1 / rows, got {given!r}"
            raise ModelError(f"{msg}; the default is {DELTA:g}")
        if importlib.util.find_spec("opacus") is None:
            raise ModelError("epsilon= needs Opacus: pip install 'pushforward[private]'")
        return cls(float(epsilon), float(given))

    @property
    def naming(self) -> float:
        """The chance with which a category that one row has is named.

        It counts exp(epsilon) times at most: when that row is taken away as well as when it comes.
        """
        return NAMING_SHARE * self.delta * math.exp(-self.epsilon)

    @property
    def composed(self) -> float:
        """The delta that is left for the noise."""
        return (1 - NAMING_SHARE) * self.delta


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
