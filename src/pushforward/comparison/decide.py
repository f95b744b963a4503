"""From measurements over seeds to a recommendation: paired differences, intervals, words.

A difference between two models is called real when the 95 % interval of its mean over the seeds
excludes 0 (Student's t; both models share each seed's split and batches, so values are paired).
The intervals are not corrected for the number of measures; instead a recommendation needs more than
one measure, and says so when measures disagree.

The privacy measures have no vote: a generator of noise is best by them, and to be good by them is
no merit of its own. A model that gives training rows away is named instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev

from scipy import stats

from pushforward.measures import PRIVACY, Measurement, Scorecard

LEVEL = 0.95
MARGIN = 2  # measures by which one model has to lead another


@dataclass(frozen=True)
class Difference:
    """How two models differ by one measure, over paired seeds.

    Args:
        measure: the measure's name.
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
    """Compare two models' losses (one a seed, in the same order) by one measure."""
    gaps = [a - b for a, b in zip(first[1], second[1], strict=True)]
    bounds = interval(gaps)
    better = None
    if bounds is not None and not bounds[0] <= 0 <= bounds[1]:
        better = first[0] if bounds[1] < 0 else second[0]
    low, high = bounds or (None, None)
    return Difference(measure, first[0], second[0], fmean(gaps), low, high, better)


def differences(cards: Mapping[str, Sequence[Scorecard]]) -> list[Difference]:
    """Compare every pair of models by every measure that has a vote in all of their scorecards."""
    shared = voting([card for own in cards.values() for card in own])
    losses = {
        model: {name: [loss(card[name]) for card in own] for name in shared}
        for model, own in cards.items()
    }
    return [
        difference(name, (a, losses[a][name]), (b, losses[b][name]))
        for a, b in combinations(cards, 2)
        for name in shared
    ]


def voting(cards: Sequence[Scorecard]) -> list[str]:
    """Return the measures that all scorecards hold, those of privacy apart."""
    shared = [name for name in cards[0] if all(name in card for card in cards)]
    return [name for name in shared if name not in PRIVACY]


def recommend(found: Sequence[Difference], models: Sequence[str], seeds: int) -> Recommendation:
    """Recommend the model that beats every other, or say why none can be recommended.

    One beats another when it is better by a real difference by at least two measures more than the
    other is.
    """
    if len(models) < 2:
        return Recommendation(None, "One model alone: there is nothing to compare.", ())
    if seeds < 2:
        return Recommendation(None, _one_seed(found), ())
    evidence = tuple(_evidence(a, b, found) for a, b in combinations(models, 2))
    leader = max(models, key=lambda m: sum(_lead(m, other, found) for other in models))
    rivals = [m for m in models if m != leader and _lead(leader, m, found) < MARGIN]
    if not rivals:
        return Recommendation(leader, _use(leader, found, seeds), evidence)
    if not any(d.better for d in found):
        return Recommendation(None, _no_difference(models, seeds), evidence)
    return Recommendation(None, _undecided([leader, *rivals], found), evidence)


def beside_floor(model: str, cards: Sequence[Scorecard], floor: Scorecard) -> str | None:
    """Say by which measures a model is, on the seeds' mean, no better than the floor."""
    shared = voting([floor, *cards])
    worse = [n for n in shared if fmean(loss(card[n]) for card in cards) >= loss(floor[n])]
    if not worse:
        return None
    names = _and([name.replace("_", " ") for name in worse])
    return (
        f"{model} is no better than the floor by {len(worse)} of {len(shared)} measures: {names}."
    )


def gives_away(measured: Sequence[Measurement]) -> bool:
    """Return whether a privacy measure finds training rows: beyond its interval, over the seeds.

    The interval of one seed covers the rows that the seeds share, which a spread over seeds misses.
    """
    lows, nulls = ([getattr(m, end) for m in measured] for end in ("low", "null"))
    return None not in {*lows, *nulls} and fmean(lows) > fmean(nulls)


def beside_privacy(model: str, cards: Sequence[Scorecard]) -> str | None:
    """Say by which privacy measures a model gives training rows away; None by none."""
    own = {name: [card[name] for card in cards if name in card] for name in PRIVACY}
    found = [name for name, measured in own.items() if measured and gives_away(measured)]
    if not found:
        return None
    names = _and([name.replace("_", " ") for name in found])
    return f"{model} gives training rows away, by {names}: treat what it generates as you do these."


def _lead(model: str, other: str, found: Sequence[Difference]) -> int:
    """Return by how many measures more a model is better than another than the other way round."""
    own = [d.better for d in found if {d.first, d.second} == {model, other}]
    return own.count(model) - own.count(other)


def _wins(model: str, found: Sequence[Difference], others: Sequence[str]) -> list[str]:
    """Return the measures by which a model is better than any of the others, as words."""
    rivals = set(others) - {model}
    own = [d for d in found if d.better == model and rivals & {d.first, d.second}]
    return list(dict.fromkeys(d.measure.replace("_", " ") for d in own))


def _one_seed(found: Sequence[Difference]) -> str:
    names = sorted({d.first if d.mean < 0 else d.second for d in found})
    told = (
        f"{names[0]} scored better by every measure" if len(names) == 1 else "the measures disagree"
    )
    return (
        f"No recommendation from one seed: {told}, but one start cannot tell a model's merit from "
        "its luck. Use --seeds 3 or more."
    )


def _no_difference(models: Sequence[str], seeds: int) -> str:
    return (
        f"No difference found between {_and(models)} over {seeds} seeds: by every measure the 95 % "
        "interval of their difference includes 0. Take the cheaper one, or train longer and with "
        "more seeds."
    )


def _undecided(rivals: Sequence[str], found: Sequence[Difference]) -> str:
    """Say which models are not told apart, and by which measures each of them is ahead."""
    ahead = {m: _wins(m, found, rivals) for m in rivals}
    told = "; ".join(f"{m} is better by {_and(own)}" for m, own in ahead.items() if own)
    if not told:
        return (
            f"No difference found between {_and(rivals)}: either beats the rest. Take the cheaper."
        )
    told = f"No clear winner between {_and(rivals)}: {told}."
    return f"{told} Choose by the measure that your use needs."


def _use(leader: str, found: Sequence[Difference], seeds: int) -> str:
    """Say by which measures the leader is better, and by which it is not."""
    others = [m for d in found for m in (d.first, d.second) if m != leader]
    sentence = (
        f"Use {leader}: over {seeds} seeds it is better by {_and(_wins(leader, found, others))}, "
        "each by a difference whose 95 % interval excludes 0"
    )
    beaten = {m: own for m in dict.fromkeys(others) if (own := _wins(m, found, [leader]))}
    if not beaten:
        return f"{sentence}, and by no measure is it worse."
    told = "; ".join(f"{m} is better by {_and(own)}" for m, own in beaten.items())
    return f"{sentence}; but {told}."


def _evidence(a: str, b: str, found: Sequence[Difference]) -> str:
    """Count the measures on either side of one pair of models."""
    own = [d.better for d in found if {d.first, d.second} == {a, b}]
    return (
        f"{a} against {b}: {own.count(a)} of {len(own)} measures for {a}, {own.count(b)} for {b}, "
        f"{own.count(None)} without a real difference."
    )


def _and(words: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
