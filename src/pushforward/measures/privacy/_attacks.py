"""Simple membership attacks: each gives every candidate a score, high for training rows.

Each uses the distances of candidates to the generated rows; two compare them with the distances to
reference rows, since a candidate in a dense region is near everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pushforward.measures import _search
from pushforward.measures._roc import roc_area

Floats = NDArray[np.float64]
Scores = dict[str, Floats]


def attacks(
    candidates: Tensor, fake: Tensor, reference: Tensor | None, k: int, chunk: int | None
) -> Scores:
    """Return every attack's scores (c,) by its name.

    Args:
        candidates: rows of which some were trained on (c, d).
        fake: the generated rows (m, d).
        reference: real rows that are not candidates (r, d), or None: then attacks that need them
            are left out.
        k: neighbours.
        chunk: rows whose distances are held at once.
    """
    near = _search.nearest(candidates, fake, k, chunk=chunk).squared
    radii = near[:, 0].median().expand(len(candidates))
    (inside,) = _search.balls(fake, candidates, radii, chunk=chunk)
    scores = {
        "the distance to the nearest generated row": -near[:, 0],
        f"the mean distance to the {k} nearest generated rows": -near.sqrt().mean(1),
        "the number of generated rows nearby": inside.of_ball.double(),
    }
    if reference is not None:
        far = _search.nearest(candidates, reference, k, chunk=chunk).squared
        of_nearest, of_last = (_ratio(far[:, i], near[:, i]) for i in (0, k - 1))
        scores["the nearest generated row against the nearest real one"] = of_nearest
        scores[f"the density of generated rows against that of real ones ({k} nearest)"] = of_last
    return {name: np.asarray(score.double().cpu()) for name, score in scores.items()}


def _ratio(far: Tensor, near: Tensor) -> Tensor:
    """Return far / (far + near), which rises with the ratio of the densities; 1/2 where both are 0.

    A density is proportional to the k-th distance to the power of -d, so all such ratios have the
    same order, in any dimension d.
    """
    total = far + near
    return (far / total).where(total > 0, 0.5)


@dataclass(frozen=True)
class SelectedAttack:
    """The strongest attack on one half of the candidates, and its scores on the other half.

    Args:
        attack: its name.
        areas: under the ROC curve, of every attack, on the first half.
        members: scores of training rows.
        others: scores of held-out rows.
    """

    attack: str
    areas: dict[str, float]
    members: Floats
    others: Floats

    def true_positive_rate(self, false_positive_rate: float) -> float:
        """Return the share of `members` that is found at a false positive rate among `others`.

        Between two thresholds the ROC curve is linear: equal scores are decided at random.
        """
        thresholds = np.unique(np.concatenate([self.others, self.members]))[::-1]
        false, true = (_reached(scores, thresholds) for scores in (self.others, self.members))
        last = int(np.searchsorted(false, false_positive_rate, side="right")) - 1
        if last + 1 == len(false):
            return 1.0
        part = (false_positive_rate - false[last]) / (false[last + 1] - false[last])
        return float(true[last] + part * (true[last + 1] - true[last]))


def _reached(scores: Floats, thresholds: Floats) -> Floats:
    """Return the shares of scores that reach each threshold, and before them 0 for none."""
    below = np.searchsorted(np.sort(scores), thresholds, "left") / len(scores)
    return np.append(0.0, 1 - below)


def select_attack(scores: Scores, size: int) -> SelectedAttack:
    """Choose the strongest attack on half of the candidates.

    Args:
        scores: by attack: those of `size` training rows, then those of as many held-out ones.
        size: how many.
    """
    half = size // 2
    areas = {n: roc_area(s[size : size + half], s[:half])[0] for n, s in scores.items()}
    best = max(areas, key=lambda name: areas[name])
    return SelectedAttack(best, areas, scores[best][half:size], scores[best][size + half :])
