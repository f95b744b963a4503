"""What a check is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pushforward.comparison.facts import RunFacts
from pushforward.comparison.losses import Losses, Scale
from pushforward.comparison.tuned import Tuning
from pushforward.measures import Scorecard

Vetoes = Literal["nothing", "model", "comparison"]


@dataclass(frozen=True)
class Finding:
    """Something that whoever reads a recommendation should know.

    Args:
        code: stable, as `PF101`.
        title: what it is.
        evidence: what was seen, with numbers.
        advice: what to do.
        model: which model it is about; None for the comparison.
        vetoes: what it forbids: nothing, to recommend this model, or to recommend any.
    """

    code: str
    title: str
    evidence: str
    advice: str
    model: str | None = None
    vetoes: Vetoes = "nothing"

    @property
    def page(self) -> str:
        """Where the documentation explains it."""
        return f"docs/findings/{self.code}.md"

    def __str__(self) -> str:
        return f"{self.code} {self.title}: {self.evidence} {self.advice}"


@dataclass(frozen=True)
class Evidence:
    """What checks look at.

    Args:
        models: their names.
        seeds: how many.
        cards: scorecards by model, one a seed.
        facts: how the runs went, by model, one a seed; empty where nothing is known.
        references: the scorecards of ceiling, floor and others.
        scales: of all measures that could have a vote.
        aspects: the measures of each aspect that has a vote.
        losses: by model and aspect.
        leader: the model that is better than every other, if one is.
        tuning: the trials of the models that were tuned.
    """

    models: Sequence[str]
    seeds: int
    cards: Mapping[str, Sequence[Scorecard]]
    facts: Mapping[str, Sequence[RunFacts]]
    references: Mapping[str, Scorecard]
    scales: Mapping[str, Scale]
    aspects: Mapping[str, Sequence[str]]
    losses: Mapping[str, Mapping[str, Losses]]
    leader: str | None = None
    tuning: Mapping[str, Tuning] = field(default_factory=dict)


Found = tuple[str | None, str, str]  # the model or None, the evidence, the advice


@dataclass(frozen=True)
class Check:
    """A function that yields models, evidence and advice, with the code of what it finds."""

    code: str
    title: str
    vetoes: Vetoes
    function: Callable[[Evidence], Iterator[Found]]

    def __call__(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield what is found."""
        for model, seen, advice in self.function(evidence):
            yield Finding(self.code, self.title, seen, advice, model, self.vetoes)


def check(
    code: str, title: str, vetoes: Vetoes = "nothing"
) -> Callable[[Callable[[Evidence], Iterator[Found]]], Check]:
    """Make a check of a function."""
    return lambda function: Check(code, title, vetoes, function)
