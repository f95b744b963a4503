"""How much the evidence can show: seeds, test rows, measures that failed."""

from __future__ import annotations

from collections.abc import Iterator

from pushforward.comparison.findings.checks import Evidence, Found, check
from pushforward.comparison.words import joined, measure_label, times

MIN_SEEDS = 3


@check("PF101", "Fewer than three seeds", vetoes="comparison")
def few_seeds(evidence: Evidence) -> Iterator[Found]:
    """From one or two runs, the spread between runs cannot be told."""
    if evidence.seeds < MIN_SEEDS:
        yield (
            None,
            f"each model was trained {times(evidence.seeds)}, which does not tell luck from "
            "quality.",
            f"Use --seeds {MIN_SEEDS} or more: the runs that are there are kept.",
        )


@check("PF102", "Too few test rows for a measure")
def unresolved(evidence: Evidence) -> Iterator[Found]:
    """A measure that cannot tell the floor from real rows cannot tell models apart."""
    lost = [name for name, scale in evidence.scales.items() if not scale.resolved]
    voting = [name for names in evidence.aspects.values() for name in names]
    if set(lost) & set(voting):
        yield (
            None,
            "by no measure is the floor told from real rows, so that losses are in units of what "
            "the test rows can tell.",
            "Take the floor, unless you need a model; or bring more rows.",
        )
    elif lost:
        rows = max(evidence.scales[name].ceiling.n for name in lost)
        yield (
            None,
            f"on {rows:,} test rows, {joined(map(measure_label, lost))} cannot vote: not even "
            "the floor is told from real rows.",
            "Bring more rows, or a floor that is not so good.",
        )


@check("PF103", "A measure failed on a model's samples")
def failed(evidence: Evidence) -> Iterator[Found]:
    """A measure that real rows allow and a model's samples do not counts against the model."""
    for model in evidence.models:
        for name in evidence.scales:
            without = [card for card in evidence.cards[model] if name not in card]
            if without:
                reasons = [n for card in without for n in card.notes if n.startswith(f"{name} ")]
                yield (
                    model,
                    f"{measure_label(name)} has no value for {times(len(without))} of "
                    f"{evidence.seeds} runs of {model}; these count as the worst loss"
                    f"{f' ({reasons[0]})' if reasons else ''}.",
                    "Look at its samples.",
                )
