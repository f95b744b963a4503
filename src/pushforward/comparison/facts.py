"""What a comparison keeps of how each run went, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from pushforward.comparison.references import LabelledRows
from pushforward.runs import Fitted
from pushforward.runs.course import Course
from pushforward.sampling.likelihood import held_out_bits

LAST = 0.1  # share of the steps over which a term of the loss is averaged


@dataclass(frozen=True)
class RunFacts(Course):
    """How one run went, beside its course.

    Args:
        steps: that were played.
        foreseen_steps: that the budget was foreseen to be worth; those played where training ended
            because nothing became better.
        diverged: why training ended early; empty where it did not.
        rate: nats that the code carries, the mean over the last tenth; None for a model without, or
            one that does not weigh them.
        independent: whether columns are independent given the code.
        anatomy: named numbers that the model tells of itself (see `Panel.facts`).
        bits: bits a row on test rows of a table, an upper bound (see `sampling.likelihood`); None
            for a model without a likelihood.
        bits_error: its standard error.
    """

    steps: int
    foreseen_steps: int
    diverged: str = ""
    rate: float | None = None
    independent: bool = True
    anatomy: Mapping[str, float] = field(default_factory=dict)
    bits: float | None = None
    bits_error: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> RunFacts:
        """Rebuild the facts from `to_json`."""
        lists = {k: tuple(v) for k, v in stored.items() if isinstance(v, list)}
        return cls(**{**stored, **lists})


def facts_of(fitted: Fitted, test: LabelledRows | None = None) -> RunFacts:
    """Return what a run's history and configuration tell, and its model of test rows, if given."""
    bits = None if test is None else held_out_bits(fitted.model, fitted.schema, *test)
    steps = fitted.steps
    likelihood = getattr(getattr(fitted.model, "decoder", None), "likelihood", None)
    return RunFacts(
        steps,
        steps if fitted.stopped else fitted.foreseen_steps,
        fitted.diverged or "",
        _rate(fitted.history, steps, fitted.model.rate_weight),
        getattr(likelihood, "independent", True),
        anatomy=fitted.facts,
        bits=None if bits is None else bits.value,
        bits_error=None if bits is None else bits.error,
        **vars(Course.of(fitted.history, fitted.model)),
    )


def _rate(history: Sequence[Mapping[str, Any]], steps: int, weight: float) -> float | None:
    """Return the nats in the code, the mean over the last steps of the term `rate` of any turn.

    The term is so much times them as the model weighs them, and says nothing where that is 0.
    """
    last = [r["terms"] for r in history if r["step"] >= (1 - LAST) * steps]
    rates = [v for terms in last for name, v in terms.items() if name.endswith(".rate")]
    return fmean(rates) / weight if rates and weight > 0 else None
