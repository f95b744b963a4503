"""Attacks judged: chosen on one half of the candidates, tested on the other; a test of the top."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.measures._intervals import share_interval
from pushforward.measures._roc import roc_area
from pushforward.measures.neighbours._copying import mann_whitney_z
from pushforward.measures.privacy._attacks import Floats, Scores

Flags = NDArray[np.bool_]
FALSE_POSITIVE_RATES = {"0.1 %": 0.001, "1 %": 0.01, "10 %": 0.1}
TOP_RATES = (0.001, 0.01)  # false positive rates at which the top of the candidates is tested
MIN_GROUP = 40  # training rows and held-out ones of a group: half of them test the attack


@dataclass(frozen=True)
class SelectedAttack:
    """The strongest attack on one half of the candidates, and its scores on the other half.

    Args:
        attack: its name.
        areas: under the ROC curve, of every attack, on the first half.
        members: scores of training rows.
        others: scores of held-out rows.
        rates: the true positive rate on the other half by false positive rate, each of the attack
            that has the highest on the first half.
    """

    attack: str
    areas: dict[str, float]
    members: Floats
    others: Floats
    rates: dict[str, float]

    @property
    def area(self) -> tuple[float, float, float]:
        """The area under the ROC curve and its 95 % interval: Wilson's, by DeLong's variance."""
        area, variance = roc_area(self.others, self.members)
        trials = 2 * min(len(self.members), len(self.others))
        return (area, *share_interval(area, variance, trials))

    @property
    def p_value(self) -> float:
        """The one-sided p-value of the Mann-Whitney test, which is never 0."""
        score = mann_whitney_z(self.others, self.members)
        return max(math.erfc(score / math.sqrt(2)) / 2, sys.float_info.min)

    @property
    def guessed(self) -> dict[str, float]:
        """The true positive rates that guessing is expected to have, given so few held-out rows.

        The n held-out rows cut the training rows into n + 1 parts of equal expected size, of which
        floor(n f) + 1 are before the first held-out row that is too many.
        """
        n = len(self.others)
        return {name: (int(n * f) + 1) / (n + 1) for name, f in FALSE_POSITIVE_RATES.items()}

    def to_json(self) -> dict[str, Any]:
        """Return what a measurement tells of it."""
        area, low, high = self.area
        return {
            "auc": area,
            "low": low,
            "high": high,
            "p_value": self.p_value,
            "attack": self.attack,
            "true_positive_rate": self.rates,
            "guessing": self.guessed,
            "tested": {"training": len(self.members), "held_out": len(self.others)},
        }


def select_attack(scores: Scores, size: int) -> SelectedAttack:
    """Choose the strongest attack on half of the candidates, by each number that is reported.

    Args:
        scores: by attack: those of `size` training rows, then those of held-out ones.
        size: how many.
    """
    sides = {name: (score[:size], score[size:]) for name, score in scores.items()}
    chosen = {name: (_first(members), _first(others)) for name, (members, others) in sides.items()}
    judged = {name: (_other(members), _other(others)) for name, (members, others) in sides.items()}
    areas = {name: roc_area(others, members)[0] for name, (members, others) in chosen.items()}
    best = max(areas, key=lambda name: areas[name])
    rates = {}
    for rate, f in FALSE_POSITIVE_RATES.items():
        found = {name: true_positive_rate(*both, f) for name, both in chosen.items()}
        # At equal rates (of 0, or 1) the attack with the larger area.
        strongest = max(found, key=lambda name: (found[name], areas[name]))
        rates[rate] = true_positive_rate(*judged[strongest], f)
    return SelectedAttack(best, areas, *judged[best], rates)


def _first(scores: Floats) -> Floats:
    return scores[: len(scores) // 2]


def _other(scores: Floats) -> Floats:
    return scores[len(scores) // 2 :]


def true_positive_rate(members: Floats, others: Floats, false_positive_rate: float) -> float:
    """Return the share of `members` that is found at a false positive rate among `others`.

    Between two thresholds the ROC curve is linear: equal scores are decided at random.
    """
    thresholds = np.unique(np.concatenate([others, members]))[::-1]
    false, true = (_reached(scores, thresholds) for scores in (others, members))
    last = int(np.searchsorted(false, false_positive_rate, side="right")) - 1
    if last + 1 == len(false):
        return 1.0
    part = (false_positive_rate - false[last]) / (false[last + 1] - false[last])
    return float(true[last] + part * (true[last + 1] - true[last]))


def _reached(scores: Floats, thresholds: Floats) -> Floats:
    """Return the shares of scores that reach each threshold, and before them 0 for none."""
    reached = len(scores) - np.searchsorted(np.sort(scores), thresholds, "left")
    return np.append(0.0, reached / len(scores))  # 1 - 99 / 100 would be above 0.01


@dataclass(frozen=True)
class Top:
    """The attack that puts the most training rows before all held-out ones but a few.

    Args:
        attack: its name.
        found: training rows before the held-out ones that follow on `missed`.
        missed: held-out rows among them.
        p_value: for "no more than by chance", corrected for the attacks and thresholds.
    """

    attack: str
    found: int
    missed: int
    p_value: float


def top(scores: Scores, size: int) -> Top:
    """Test whether the candidates with the highest scores are training rows more often than chance.

    A few copies hardly move an area, and lie at the top. All candidates are looked at, by every
    attack; the p-value is multiplied by their number and that of the thresholds (Bonferroni), so
    nothing has to be chosen on one half. Where training rows are no different, every order of the
    candidates is equally likely.

    Args:
        scores: by attack: those of `size` training rows, then those of held-out ones.
        size: how many.
    """
    held_out = len(next(iter(scores.values()))) - size
    misses = {int(rate * held_out) for rate in TOP_RATES}
    tried = [
        Top(name, *found, top_p_value(*found, size, held_out))
        for name, score in scores.items()
        for found in [(_ahead(score, size, missed), missed) for missed in sorted(misses)]
    ]
    best = min(tried, key=lambda one: one.p_value)
    return Top(best.attack, best.found, best.missed, min(1.0, len(tried) * best.p_value))


def _ahead(score: Floats, size: int, missed: int) -> int:
    """Return how many training rows are above the held-out row that follows on `missed` others.

    At equal scores the held-out row comes first, which makes the test conservative.
    """
    threshold = np.sort(score[size:])[::-1][missed]
    return int((score[:size] > threshold).sum())


def top_p_value(found: int, missed: int, members: int, others: int) -> float:
    """Return the chance that so many members, or more, come before the next of the others.

    That is: of the first `found + missed` rows at most `missed` are others, by the hypergeometric
    distribution.
    """
    from scipy.stats import hypergeom

    p_value = float(hypergeom.cdf(missed, members + others, others, found + missed))
    return min(1.0, max(p_value, sys.float_info.min))


def judged_apart(scores: Scores, size: int, groups: dict[str, Flags]) -> dict[str, SelectedAttack]:
    """Return for each group that is large enough the attack that is chosen and tested within it.

    Args:
        scores: by attack: those of `size` training rows, then those of held-out ones.
        size: how many.
        groups: by name: which candidates belong to it (c,).
    """
    within = {name: (flags, int(flags[:size].sum())) for name, flags in groups.items()}
    return {
        group: select_attack({name: score[flags] for name, score in scores.items()}, members)
        for group, (flags, members) in within.items()
        if min(members, int(flags.sum()) - members) >= MIN_GROUP
    }
