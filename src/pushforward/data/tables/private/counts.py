"""Histograms with Gaussian noise: all that a private schema learns of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from pushforward.data.numeric import Floats, Ints


@dataclass
class NoisyCounts:
    """Answers so many questions, each a histogram in which a row is at most one count.

    Args:
        sigma: the standard deviation of the noise of each count.
        questions: how many may be asked.
        chance: that a category which a single row has is named, in any of the columns.
        generator: whence the noise; nobody may be able to draw it again.
    """

    sigma: float
    questions: int
    chance: float
    generator: np.random.Generator

    def __call__(self, counts: Ints) -> Floats:
        """Return the counts with noise."""
        if self.questions == 0:
            msg = "a bug: more was asked of the rows than is accounted for; please report it"
            raise RuntimeError(msg)
        self.questions -= 1
        noisy: Floats = counts + self.generator.normal(0.0, self.sigma, np.shape(counts))
        return noisy

    def above(self, deviations: float) -> float:
        """Return what noise alone exceeds as seldom as a normal variable so many deviations."""
        return deviations * self.sigma

    def nameable(self, columns: int) -> float:
        """Return the noisy count from which on a category is named, in a table of so many columns.

        Names are not public. One that a single row has passes 1 + sigma Phi^-1(1 - chance /
        columns) in one of the columns with at most `chance`.
        """
        return 1.0 + self.sigma * float(-ndtri(self.chance / max(columns, 1)))
