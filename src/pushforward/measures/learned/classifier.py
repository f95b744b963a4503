"""Rulers that are learned: trained on one half of the rows, reported on the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.errors import MeasureError, nearest
from pushforward.measures._fitting import calmly
from pushforward.measures._inputs import Featurise, Pair, pair
from pushforward.measures._intervals import Z, chosen, verdict, wilson
from pushforward.measures.measurement import Measurement

Classifier = Literal["trees", "logistic", "network"]
Floats = NDArray[np.float64]
LEAST = 20  # rows a side: ten to learn from and ten to be judged on


def classifier_test(
    x: Any,
    y: Any,
    *,
    classifier: Classifier = "trees",
    limit: int | None = 5000,
    features: Featurise | None = None,
    seed: int = 0,
) -> Measurement:
    r"""Classifier two-sample test: how often a classifier tells real from generated rows.

    $$\frac1t \sum_{i=1}^{t} 1\left[(s(v_i) > \tfrac12) = l_i\right]$$

    over the t held-out rows v with labels l; s is the classifier's score. Both sides are brought to
    one size, and half of each is held out. It finds what the classifier can find, so the value is
    a lower bound of what the best one could do.

    Args:
        x: the real sample: tensor, array or numeric frame (n, ...).
        y: the generated sample (m, ...).
        classifier: `"trees"` (the default: gradient-boosted trees see differences of every kind,
            and are the strongest on tables), `"logistic"` (only differences of means, but the
            sharpest for those, and the fastest) or `"network"` (two hidden layers of 64).
        limit: the most rows taken of each side (None: all); the others are left out at random.
        features: what to measure instead of the values themselves.
        seed: of the split, the classifier and left-out rows.

    Returns:
        The held-out accuracy, with Wilson's interval and an exact one-sided binomial p-value: they
        cover the held-out rows, for this classifier. The null is 1/2. A score of exactly 1/2 counts
        as half a hit. `extra` has the area under the ROC curve with DeLong's interval (`auc`,
        `auc_low`, `auc_high`); it uses the scores and not only their sign.

    Raises:
        MeasureError: for fewer than 20 rows on a side, different widths, NaN or infinity, and an
            unknown classifier.

    Reference:
        Lopez-Paz & Oquab 2017, "Revisiting classifier two-sample tests"; DeLong et al. 1988.
    """
    if classifier not in CLASSIFIERS:
        raise MeasureError(f"unknown classifier {classifier!r}; {nearest(classifier, CLASSIFIERS)}")
    both = pair(x, y, least=LEAST, limit=limit, features=features, seed=seed)
    real, fake = _held_out_scores(both, classifier, seed)
    hits = _hits(fake - 0.5) + _hits(0.5 - real)
    trials = len(real) + len(fake)
    low, high = wilson(hits / trials, trials)
    p_value = _binomial_p(int(hits), trials)
    area, area_low, area_high = auc(real, fake)
    return Measurement(
        "classifier_test",
        hits / trials,
        low=low,
        high=high,
        covers="held-out rows, for this classifier",
        null=0.5,
        p_value=p_value,
        n=both.n,
        m=both.m,
        unit="share",
        reading=f"{verdict(p_value)}; AUC {area:.3f}{chosen(both.extra, both.n, both.m)}",
        extra={
            "auc": area,
            "auc_low": area_low,
            "auc_high": area_high,
            "classifier": classifier,
            "held_out": trials,
            **both.extra,
        },
    )


def auc(negative: Floats, positive: Floats) -> tuple[float, float, float]:
    """Return the area under the ROC curve of two sets of scores, and its 95 % interval.

    Ties count one half. The variance is that of the placements of each score among the others.

    Args:
        negative: scores that should be low (n,).
        positive: scores that should be high (m,).

    Reference:
        DeLong, DeLong & Clarke-Pearson 1988, "Comparing the areas under two or more correlated
        receiver operating characteristic curves".
    """
    above, below = _placements(positive, negative), 1 - _placements(negative, positive)
    area = float(above.mean())
    variance = _variance_of_mean(above) + _variance_of_mean(below)
    half = Z * float(np.sqrt(variance))
    return area, max(0.0, area - half), min(1.0, area + half)


def _placements(scores: Floats, others: Floats) -> Floats:
    """Return for each score the share of the others that it exceeds, ties as one half."""
    others = np.sort(others)
    below = np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")
    return np.asarray(below / (2 * len(others)))


def _variance_of_mean(values: Floats) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _held_out_scores(both: Pair, classifier: str, seed: int) -> tuple[Floats, Floats]:
    """Return the scores ("generated") of the held-out real and generated rows."""
    rng = torch.Generator().manual_seed(seed)
    size = min(both.n, both.m)
    real, fake = (_shuffled(side, size, rng) for side in (both.x, both.y))
    half = size // 2
    rows = np.concatenate([real[:half], fake[:half]])
    with calmly(len(rows)):
        model = CLASSIFIERS[classifier](seed).fit(rows, np.repeat([0, 1], half))
        return model.predict_proba(real[half:])[:, 1], model.predict_proba(fake[half:])[:, 1]


def _shuffled(x: Tensor, size: int, rng: torch.Generator) -> Floats:
    order = torch.randperm(len(x), generator=rng)[:size]
    return np.asarray(x[order.to(x.device)].cpu())


def _hits(margin: Floats) -> float:
    return float((margin > 0).sum() + 0.5 * (margin == 0).sum())


def _binomial_p(hits: int, trials: int) -> float:
    from scipy.stats import binom

    return float(binom.sf(hits - 1, trials, 0.5))


def _trees(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed)


def _logistic(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _standardised(LogisticRegression(max_iter=1000, random_state=seed))


def _network(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return _standardised(MLPClassifier((64, 64), early_stopping=True, random_state=seed))


def _standardised(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "trees": _trees,
    "logistic": _logistic,
    "network": _network,
}
