"""The area under the ROC curve of two sets of scores, and its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pushforward.measures._intervals import Z, at_least_binomial

Floats = NDArray[np.float64]


def auc(*scores: tuple[Floats, Floats]) -> tuple[float, float, float]:
    r"""Return the area under the ROC curve, and its 95 % interval.

    With K pairs of sets, one for each fold of a cross-validation, it is the mean of their areas

    $$\frac1K \sum_k A_k, \quad \text{with the variance } \frac1{K^2} \sum_k \mathrm{Var}(A_k)$$

    that the held-out rows bring, for the classifiers of all folds as they are.

    Args:
        scores: those that should be low (n,), and those that should be high (m,).

    Reference:
        LeDell, Petersen & van der Laan 2015, "Computationally efficient confidence intervals for
        cross-validated area under the ROC curve estimates".
    """
    areas, variances = zip(*(roc_area(*both) for both in scores), strict=True)
    area = sum(areas) / len(scores)
    half = Z * float(np.sqrt(sum(variances))) / len(scores)
    trials = min(_count(scores, 0), _count(scores, 1))
    low, high = max(0.0, area - half), min(1.0, area + half)
    return area, *at_least_binomial(area, low, high, trials)


def roc_area(negative: Floats, positive: Floats) -> tuple[float, float]:
    """Return the area under the ROC curve of two sets of scores, and the estimate's variance.

    Ties count one half. The variance is that of the placements of each score among the others.

    Args:
        negative: scores that should be low (n,).
        positive: scores that should be high (m,).

    Reference:
        DeLong, DeLong & Clarke-Pearson 1988, "Comparing the areas under two or more correlated
        receiver operating characteristic curves".
    """
    above, below = _placements(positive, negative), 1 - _placements(negative, positive)
    return float(above.mean()), _variance_of_mean(above) + _variance_of_mean(below)


def _placements(scores: Floats, others: Floats) -> Floats:
    """Return for each score the share of the others that it exceeds, ties as one half."""
    others = np.sort(others)
    below = np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")
    return np.asarray(below / (2 * len(others)))


def _variance_of_mean(values: Floats) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _count(scores: Sequence[tuple[Floats, Floats]], side: int) -> int:
    return sum(len(both[side]) for both in scores)
