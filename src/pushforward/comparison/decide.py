"""From measurements over seeds to a recommendation: paired differences, intervals, sentences.

A difference between two models is called significant when the 95 % interval of its mean over the
seeds excludes 0 (Student's t; both models share each seed's split and batches, so values are
paired). The intervals are not corrected for the number of measures. Instead, a recommendation needs
more than one measure, and says where measures disagree.

The privacy measures have no vote: a generator of noise is best by them, so a good value is no
merit. A model that leaks training rows is named instead.
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
        better: the better model where the difference is significant, else None.
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
    """Which model to use, and why. `model` is None when the evidence does not show it."""

    model: str | None
    sentence: str
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"- {line}" for line in self.evidence)])


def decide(
    cards: Mapping[str, Sequence[Scorecard]], floor: Scorecard
) -> tuple[list[Difference], Recommendation]:
    """Return the differences between models, and the recommendation with all its evidence.

    Args:
        cards: the scorecards of each model, one a seed, the seeds in the same order.
        floor: the scorecard of what anyone can reach.
    """
    models, seeds = list(cards), min(map(len, cards.values()))
    differences = paired_differences(cards)
    advice = recommend(differences, models, seeds)
    warnings = [floor_warning(model, cards[model], floor) for model in models]
    warnings += [privacy_warning(model, cards[model]) for model in models]
    evidence = (*advice.evidence, *(text for text in warnings if text is not None))
    return differences, Recommendation(advice.model, advice.sentence, evidence)


def loss(measurement: Measurement) -> float:
    """Return a number that is lower when better: the value, its negative, or |value - null|."""
    if measurement.better == "null":
        return abs(measurement.value - (measurement.null or 0.0))
    return measurement.value if measurement.better == "lower" else -measurement.value


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the mean's 95 % interval by Student's t; None for fewer than two values."""
    if len(values) < 2:
        return None
    n, mean, deviation = len(values), fmean(values), stdev(values)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * deviation / math.sqrt(n)
    return mean - half, mean + half


def paired_difference(
    measure: str, first: tuple[str, Sequence[float]], second: tuple[str, Sequence[float]]
) -> Difference:
    """Compare two models' losses (one a seed, in the same order) by one measure."""
    by_seed = [a - b for a, b in zip(first[1], second[1], strict=True)]
    bounds = interval(by_seed)
    better = None
    if bounds is not None and not bounds[0] <= 0 <= bounds[1]:
        better = first[0] if bounds[1] < 0 else second[0]
    low, high = bounds or (None, None)
    return Difference(measure, first[0], second[0], fmean(by_seed), low, high, better)


def paired_differences(cards: Mapping[str, Sequence[Scorecard]]) -> list[Difference]:
    """Compare every pair of models by every measure that has a vote in all of their scorecards."""
    names = voting_measures([card for by_seed in cards.values() for card in by_seed])
    losses = {
        model: {name: [loss(card[name]) for card in by_seed] for name in names}
        for model, by_seed in cards.items()
    }
    return [
        paired_difference(name, (a, losses[a][name]), (b, losses[b][name]))
        for a, b in combinations(cards, 2)
        for name in names
    ]


def voting_measures(cards: Sequence[Scorecard]) -> list[str]:
    """Return the measures that all scorecards hold, except those of privacy."""
    shared = [name for name in cards[0] if all(name in card for card in cards)]
    return [name for name in shared if name not in PRIVACY]


def recommend(
    differences: Sequence[Difference], models: Sequence[str], seeds: int
) -> Recommendation:
    """Recommend the model that beats every other, or say why none can be recommended.

    One beats another when the measures by which it is significantly better outnumber those by which
    the other is, by at least two.
    """
    if len(models) < 2:
        return Recommendation(None, "Only one model: there is nothing to compare it with.", ())
    if not differences:
        return Recommendation(None, "No recommendation: no measure here compares the models.", ())
    if seeds < 2:
        return Recommendation(None, _one_seed(differences), ())
    evidence = tuple(_evidence(a, b, differences) for a, b in combinations(models, 2))
    leader = max(models, key=lambda m: sum(_lead(m, other, differences) for other in models))
    rivals = [m for m in models if m != leader and _lead(leader, m, differences) < MARGIN]
    if not rivals:
        return Recommendation(leader, _use(leader, differences, seeds), evidence)
    if not any(d.better for d in differences):
        return Recommendation(None, _no_difference(models, seeds), evidence)
    return Recommendation(None, _undecided([leader, *rivals], differences), evidence)


def floor_warning(model: str, cards: Sequence[Scorecard], floor: Scorecard) -> str | None:
    """Say by which measures a model is, on the seeds' mean, no better than the floor."""
    names = voting_measures([floor, *cards])
    worse = [n for n in names if fmean(loss(card[n]) for card in cards) >= loss(floor[n])]
    if not worse:
        return None
    return (
        f"{model} is no better than the floor by {len(worse)} of {len(names)} measures: "
        f"{_list(worse)}."
    )


def privacy_warning(model: str, cards: Sequence[Scorecard]) -> str | None:
    """Say by which privacy measures a model leaks training rows; None by none."""
    measured = {name: [card[name] for card in cards if name in card] for name in PRIVACY}
    names = [name for name, by_seed in measured.items() if by_seed and leaks_rows(by_seed)]
    if not names:
        return None
    return (
        f"{model} leaks training rows, by {_list(names)}: "
        "protect its samples as you protect the training data."
    )


def leaks_rows(measured: Sequence[Measurement]) -> bool:
    """Return whether a privacy measure, over the seeds, finds training rows beyond its interval.

    The interval of one seed covers the rows that the seeds share, which a spread over seeds misses.
    """
    lows, nulls = ([getattr(m, end) for m in measured] for end in ("low", "null"))
    return None not in {*lows, *nulls} and fmean(lows) > fmean(nulls)


def _lead(model: str, other: str, differences: Sequence[Difference]) -> int:
    """Return by how many measures more a model is better than another than the other way round."""
    winners = [d.better for d in differences if {d.first, d.second} == {model, other}]
    return winners.count(model) - winners.count(other)


def _wins(model: str, differences: Sequence[Difference], others: Sequence[str]) -> list[str]:
    """Return the measures by which a model is better than any of the others."""
    rivals = set(others) - {model}
    won = [d for d in differences if d.better == model and rivals & {d.first, d.second}]
    return list(dict.fromkeys(d.measure for d in won))


def _one_seed(differences: Sequence[Difference]) -> str:
    leaders = {d.first if d.mean < 0 else d.second for d in differences}
    scores = (
        f"{next(iter(leaders))} scored better by every measure"
        if len(leaders) == 1
        else "the measures disagree"
    )
    return (
        f"No recommendation from one seed: {scores}, but a single run cannot separate a model's "
        "quality from luck. Use at least 3 seeds (--seeds 3)."
    )


def _no_difference(models: Sequence[str], seeds: int) -> str:
    return (
        f"No difference found between {_join(models)} over {seeds} seeds: by every measure the "
        "95 % interval of their difference includes 0. Take the cheaper one, or train longer and "
        "with more seeds."
    )


def _undecided(rivals: Sequence[str], differences: Sequence[Difference]) -> str:
    """Say which models cannot be separated, and by which measures each of them is ahead."""
    wins = {model: _wins(model, differences, rivals) for model in rivals}
    ahead = [f"{model} is better by {_list(names)}" for model, names in wins.items() if names]
    if not ahead:
        return (
            f"No difference found between {_join(rivals)}: each of them beats the rest. "
            "Take the cheapest."
        )
    return (
        f"No clear winner between {_join(rivals)}: {'; '.join(ahead)}. "
        "Choose by the measure that matters most for your use."
    )


def _use(leader: str, differences: Sequence[Difference], seeds: int) -> str:
    """Say by which measures the leader is better, and by which it is worse."""
    others = list(dict.fromkeys(m for d in differences for m in (d.first, d.second)))
    others.remove(leader)
    sentence = (
        f"Use {leader}: over {seeds} seeds it is better by "
        f"{_list(_wins(leader, differences, others))} "
        "(the 95 % interval of each difference excludes 0)"
    )
    wins = {model: _wins(model, differences, [leader]) for model in others}
    ahead = [f"{model} is better by {_list(names)}" for model, names in wins.items() if names]
    return f"{sentence}, but {'; '.join(ahead)}." if ahead else f"{sentence}, and worse by none."


def _evidence(a: str, b: str, differences: Sequence[Difference]) -> str:
    """Count the measures on either side of one pair of models."""
    winners = [d.better for d in differences if {d.first, d.second} == {a, b}]
    return (
        f"{a} against {b}: {a} is better by {winners.count(a)} of {len(winners)} measures, {b} by "
        f"{winners.count(b)}; {winners.count(None)} show no significant difference."
    )


def measure_label(name: str) -> str:
    """Return a measure's name as people read it: "column_shapes" is "column shapes"."""
    return name.replace("_", " ")


def _list(measures: Sequence[str]) -> str:
    return _join(list(map(measure_label, measures)))


def _join(words: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
