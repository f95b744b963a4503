"""The decision: from scorecards to the model that one should use, or to why none can be named.

1. Every model has a loss for each aspect and seed (`losses`).
2. Every pair of models is compared by every aspect; p-values are corrected by Holm's method for all
   of them (`contrasts`). What remains significant is a vote for the better model (`differences`).
3. A model beats another that it leads by votes. The one that beats every other leads. Models that
   give training rows away are out of the contest.
4. Findings can veto: a model that is no better than the floor is not recommended, nor is any while
   one that does not lead was trained too short to tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pushforward.comparison.contrasts import MATTERS, mean_interval
from pushforward.comparison.differences import Difference, differences_of, find_leader
from pushforward.comparison.facts import RunFacts
from pushforward.comparison.findings import CHECKS, COPIES, Evidence, Finding, find
from pushforward.comparison.folder import CEILING, FLOOR
from pushforward.comparison.losses import (
    Cards,
    Losses,
    Scale,
    average,
    losses_by,
    scales,
    voting_aspects,
)
from pushforward.comparison.recommendation import Recommendation, recommend
from pushforward.comparison.tuned import Tuning
from pushforward.measures import Scorecard


@dataclass(frozen=True)
class MeanLoss:
    """A model's mean loss by one measure, and its 95 % interval over other seeds and test rows.

    Args:
        model: its name.
        measure: the measure's name.
        aspect: what it looks at.
        mean: 0 is as good as real rows, 1 as bad as the floor, 4 the worst.
        low: lower end of the interval; None where there is none, as with one seed.
        high: upper end, or None.
        votes: whether the measure has a vote.
    """

    model: str
    measure: str
    aspect: str
    mean: float
    low: float | None
    high: float | None
    votes: bool


@dataclass(frozen=True)
class Decision:
    """Everything that a comparison concludes.

    Args:
        losses: by model and measure.
        differences: by pair of models and aspect.
        findings: what was noticed.
        recommendation: which model to use, and why.
    """

    losses: tuple[MeanLoss, ...]
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]
    recommendation: Recommendation


def decide(
    cards: Mapping[str, Sequence[Scorecard]],
    references: Mapping[str, Scorecard],
    *,
    facts: Mapping[str, Sequence[RunFacts]] | None = None,
    matters: float = MATTERS,
    ignore: Collection[str] = (),
    tuning: Mapping[str, Tuning] | None = None,
) -> Decision:
    """Return what a comparison concludes.

    Args:
        cards: the scorecards of each model, one a seed.
        references: the scorecards of ceiling and floor, and others.
        facts: how each run went; those that diverged count as the worst.
        matters: the smallest difference that matters, in units of floor to ceiling.
        ignore: codes of findings to leave out.
        tuning: the trials of the models that were tuned.
    """
    measures = scales(references[CEILING], references[FLOOR])
    aspects = voting_aspects(measures)
    counted = {model: _counted(own, (facts or {}).get(model, ())) for model, own in cards.items()}
    losses = {model: _losses(own, measures, aspects) for model, own in counted.items()}
    seeds = min(map(len, cards.values()))
    differences = differences_of(losses, matters) if seeds > 1 else []
    evidence = Evidence(
        list(cards),
        seeds,
        cards,
        facts or {},
        references,
        measures,
        aspects,
        losses,
        tuning=tuning or {},
    )
    copying = [] if COPIES in ignore else CHECKS[COPIES](evidence)
    leader = find_leader(list(cards), differences, {f.model for f in copying if f.model})
    evidence = replace(evidence, leader=leader)
    found = find(evidence, ignore)
    voting = {name for names in aspects.values() for name in names}
    return Decision(
        tuple(_mean_losses(counted, measures, voting)),
        tuple(differences),
        tuple(found),
        recommend(evidence, differences, found, matters),
    )


def _losses(
    cards: Cards, measures: Mapping[str, Scale], aspects: Mapping[str, Sequence[str]]
) -> dict[str, Losses]:
    """Return a model's losses by aspect: the mean of those by the aspect's measures."""
    return {
        aspect: average([losses_by(name, measures[name], cards) for name in names])
        for aspect, names in aspects.items()
    }


def _counted(cards: Sequence[Scorecard], runs: Sequence[RunFacts]) -> Cards:
    """Return the scorecards, None for those of runs that diverged."""
    if not runs:
        return list(cards)
    return [None if run.diverged else card for card, run in zip(cards, runs, strict=True)]


def _mean_losses(
    cards: Mapping[str, Cards], measures: Mapping[str, Scale], voting: Collection[str]
) -> Iterator[MeanLoss]:
    for model, own in cards.items():
        for name, scale in measures.items():
            if scale.usable:
                losses = losses_by(name, scale, own)
                low, high = mean_interval(losses) or (None, None)
                aspect, votes = scale.ceiling.aspect, name in voting
                yield MeanLoss(model, name, aspect, losses.mean, low, high, votes)
