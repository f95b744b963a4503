"""The table of measured values: every model beside the null and the references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pushforward.comparison.result import Comparison
from pushforward.comparison.words import measure_label
from pushforward.measures import Measurement, Scorecard
from pushforward.measures.aspects import in_order
from pushforward.report.figures import TextTable
from pushforward.report.numbers import decimals_for, fixed, half_interval, significant
from pushforward.runs import Checkpoint

DIRECTIONS = {
    "lower": "↓ lower is better",
    "higher": "↑ higher is better",
    "null": "→ best at the null",
}
MISSING = "–"


@dataclass(frozen=True)
class MeasureCell:
    """One model by one measure: mean over the seeds, and half of Student's interval of it."""

    text: str
    margin: str
    reading: str


@dataclass(frozen=True)
class MeasureRow:
    """One measure."""

    name: str
    aspect: str
    unit: str
    direction: str
    cells: list[MeasureCell]
    null: str
    references: dict[str, str]


def rows(comparison: Comparison, checkpoint: Checkpoint) -> list[MeasureRow]:
    """Return the table of one checkpoint, by the measures with an aspect, in its order."""
    cards = [comparison.cards[model][checkpoint] for model in comparison.models]
    every = [*(card for by_seed in cards for card in by_seed), *comparison.references.values()]
    aspects = {name: m.aspect for card in every for name, m in card.items() if m.aspect}
    order = in_order(aspects.values())
    names = sorted(aspects, key=lambda name: order.index(aspects[name]))
    return [_row(name, cards, comparison.references) for name in names]


def _row(
    name: str, cards: Sequence[Sequence[Scorecard]], references: dict[str, Scorecard]
) -> MeasureRow:
    measured = [[card[name] for card in by_seed if name in card] for by_seed in cards]
    models = [m for by_seed in measured for m in by_seed]
    any_of_it = next(iter([*models, *(card[name] for card in references.values() if name in card)]))
    decimals = _decimals([[m.value for m in by_seed] for by_seed in measured])
    return MeasureRow(
        measure_label(name),
        any_of_it.aspect,
        any_of_it.unit,
        DIRECTIONS[any_of_it.better],
        [_cell(by_seed, decimals) for by_seed in measured],
        _mean([m.null for m in models if m.null is not None], decimals),
        {n: _mean(_values(card, name), decimals) for n, card in references.items()},
    )


def _decimals(values: Sequence[Sequence[float]]) -> int:
    """Return how many decimals a row has: three digits, or what the narrowest interval allows."""
    halves = [half for by_seed in values if (half := half_interval(by_seed))]
    enough = decimals_for(v for by_seed in values for v in by_seed)
    return min(enough, decimals_for([min(halves)], 2)) if halves else enough


def _values(card: Scorecard, name: str) -> list[float]:
    return [card[name].value] if name in card else []


def _mean(values: Sequence[float], decimals: int) -> str:
    """Return the mean, with no more decimals than it has significant ones."""
    return fixed(fmean(values), min(decimals, decimals_for(values))) if values else MISSING


def _cell(measured: Sequence[Measurement], decimals: int) -> MeasureCell:
    if not measured:
        return MeasureCell(MISSING, "", "not measured")
    values = [m.value for m in measured]
    half = half_interval(values)
    margin = "" if half is None else f"{half:,.{decimals}f}"
    return MeasureCell(fixed(fmean(values), decimals), margin, measured[0].reading)


def bits(comparison: Comparison) -> TextTable | None:
    """Return each model's bits a row on test rows; None where no model knows any."""
    facts = {model: comparison.facts.get(model, []) for model in comparison.models}
    known = {
        model: [run.bits for run in runs if run.bits is not None] for model, runs in facts.items()
    }
    errors = [run.bits_error for runs in facts.values() for run in runs if run.bits_error]
    if not any(known.values()):
        return None
    decimals = decimals_for(errors, 1)
    lines = [
        [model, fixed(fmean(values), decimals) if values else MISSING]
        for model, values in known.items()
    ]
    note = (
        "Minus log2 of the probability of a test row on the table's cells, the same for every "
        "model: fewer is better. An upper bound, by importance sampling over codes; the standard "
        f"error of the rows is at most {fixed(max(errors, default=0.0), decimals)}. {MISSING}: a "
        "model that knows no probabilities, or to which a test row is impossible."
    )
    return TextTable(["Model", "Bits a row"], lines, note=note)


def readings(comparison: Comparison) -> TextTable:
    """Return every measure's own words for each model's first seed, and the values seed by seed."""
    lines = [
        [measure_label(name), model, _values_by_seed(comparison, model, name), measurement.reading]
        for name in comparison.cards[comparison.models[0]]["best"][0]
        for model in comparison.models
        if (measurement := comparison.cards[model]["best"][0].get(name)) is not None
    ]
    return TextTable(["Measure", "Model", "Value by seed", "Reading (first seed)"], lines)


def _values_by_seed(comparison: Comparison, model: str, name: str) -> str:
    cards = comparison.cards[model]["best"]
    return ", ".join(significant(card[name].value) for card in cards if name in card)
