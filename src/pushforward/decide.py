"""From measurements over seeds to a recommendation: paired differences, intervals, words.

A difference between two models is called real when the 95 % interval of its mean over the seeds
excludes 0 (Student's t; both models share each seed's split and batches, so values are paired).
The intervals are not corrected for the number of rulers; instead a recommendation needs more than
one ruler, and says so when rulers disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev

from scipy import stats

from pushforward.measures import Measurement, Scorecard

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """How two models differ by one ruler, over paired seeds.

    Args:
        measure: the ruler's name.
        first: a model.
        second: another model.
        mean: mean over seeds of loss(first) - loss(second), where a loss is lower when better.
        low: lower end of the 95 % interval; None with fewer than two seeds.
        high: upper end, or None.
        better: the model that is better where the difference is real, else None.
    """

    measure: str
    first: str
    second: str
    mean: float
    low: float | None
    high: float | None
    better: str | None


@dataclass(frozen=True)
class Recommendation:
    """Which model to use, and why. `model` is None when the evidence does not say."""

    model: str | None
    sentence: str
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"- {line}" for line in self.evidence)])


def loss(measurement: Measurement) -> float:
    """Return a number that is lower when better: the value, its negative, or |value - null|."""
    if measurement.better == "null":
        return abs(measurement.value - (measurement.null or 0.0))
    return measurement.value if measurement.better == "lower" else -measurement.value


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the mean's 95 % interval by Student's t; None for fewer than two values."""
    if len(values) < 2:
        return None
    n, mean, spread = len(values), fmean(values), stdev(values)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * spread / math.sqrt(n)
    return mean - half, mean + half


def difference(
    measure: str, first: tuple[str, Sequence[float]], second: tuple[str, Sequence[float]]
) -> Difference:
    """Compare two models' losses (one a seed, in the same order) by one ruler."""
    gaps = [a - b for a, b in zip(first[1], second[1], strict=True)]
    bounds = interval(gaps)
    better = None
    if bounds is not None and not bounds[0] <= 0 <= bounds[1]:
        better = first[0] if bounds[1] < 0 else second[0]
    low, high = bounds or (None, None)
    return Difference(measure, first[0], second[0], fmean(gaps), low, high, better)


def differences(cards: Mapping[str, Sequence[Scorecard]]) -> list[Difference]:
    """Compare every pair of models by every ruler that all of their scorecards hold."""
    everyone = [card for own in cards.values() for card in own]
    shared = [name for name in everyone[0] if all(name in card for card in everyone)]
    losses = {
        model: {name: [loss(card[name]) for card in own] for name in shared}
        for model, own in cards.items()
    }
    return [
        difference(name, (a, losses[a][name]), (b, losses[b][name]))
        for a, b in combinations(cards, 2)
        for name in shared
    ]


def recommend(found: Sequence[Difference], models: Sequence[str], seeds: int) -> Recommendation:
    """Recommend the model that real differences speak for, or say why none can be recommended."""
    if len(models) < 2:
        return Recommendation(None, "One model alone: there is nothing to compare.", ())
    if seeds < 2:
        return Recommendation(None, _one_seed(found), ())
    wins = {m: [d for d in found if d.better == m] for m in models}
    losses = {m: [d for d in found if d.better not in {None, m} and m in _pair(d)] for m in models}
    evidence = tuple(_evidence(a, b, found) for a, b in combinations(models, 2))
    if not any(wins.values()):
        return Recommendation(None, _no_difference(models, seeds), evidence)
    ahead = sorted(models, key=lambda m: len(losses[m]) - len(wins[m]))
    leader, runner_up = ahead[0], ahead[1]
    margin = len(wins[leader]) - len(losses[leader])
    if margin < 2 or margin == len(wins[runner_up]) - len(losses[runner_up]):
        return Recommendation(None, _undecided(ahead, wins), evidence)
    return Recommendation(leader, _use(leader, wins, losses, seeds), evidence)


def _pair(d: Difference) -> set[str]:
    return {d.first, d.second}


def _one_seed(found: Sequence[Difference]) -> str:
    names = sorted({d.first if d.mean < 0 else d.second for d in found})
    told = f"{names[0]} scored better by every ruler" if len(names) == 1 else "the rulers disagree"
    return (
        f"No recommendation from one seed: {told}, but one start cannot tell a model's merit from "
        "its luck. Use --seeds 3 or more."
    )


def _no_difference(models: Sequence[str], seeds: int) -> str:
    return (
        f"No difference found between {_and(models)} over {seeds} seeds: by every ruler the 95 % "
        "interval of their difference includes 0. Take the cheaper one, or train longer and with "
        "more seeds."
    )


def _undecided(ahead: Sequence[str], wins: Mapping[str, Sequence[Difference]]) -> str:
    told = [f"{m} by {_and(_measures(wins[m]))}" for m in ahead if wins[m]]
    return (
        f"No clear winner: ahead by a real difference is {'; '.join(told)}. "
        "Choose by the ruler that your use needs."
    )


def _use(
    leader: str,
    wins: Mapping[str, Sequence[Difference]],
    losses: Mapping[str, Sequence[Difference]],
    seeds: int,
) -> str:
    sentence = (
        f"Use {leader}: over {seeds} seeds it is better by {_and(_measures(wins[leader]))}, "
        "each by a difference whose 95 % interval excludes 0"
    )
    if losses[leader]:
        others = sorted({str(d.better) for d in losses[leader]})
        return f"{sentence}; but {_and(others)} is better by {_and(_measures(losses[leader]))}."
    return f"{sentence}, and by no ruler is it worse."


def _evidence(a: str, b: str, found: Sequence[Difference]) -> str:
    """Count the rulers on either side of one pair of models."""
    own = [d for d in found if _pair(d) == {a, b}]
    counts = {m: sum(d.better == m for d in own) for m in (a, b)}
    open_ = len(own) - sum(counts.values())
    return (
        f"{a} against {b}: {counts[a]} of {len(own)} rulers for {a}, {counts[b]} for {b}, "
        f"{open_} without a real difference."
    )


def _measures(found: Sequence[Difference]) -> list[str]:
    """Return the rulers' names once each, in their order, as words."""
    return list(dict.fromkeys(d.measure.replace("_", " ") for d in found))


def _and(words: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
