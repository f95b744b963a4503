"""The table of measures: every model beside the null and the references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pushforward.comparison.decide import (
    Difference,
    interval,
    loss,
    measure_label,
    paired_differences,
    voting_measures,
)
from pushforward.comparison.result import Comparison
from pushforward.measures import Measurement, Scorecard
from pushforward.report.figures import TextTable
from pushforward.report.numbers import decimals_for, fixed, significant
from pushforward.runs import Checkpoint

DIRECTIONS = {
    "lower": "↓ lower is better",
    "higher": "↑ higher is better",
    "null": "→ best at the null",
}


@dataclass(frozen=True)
class MeasureCell:
    """One model by one measure: mean over the seeds, half an interval, whether it is the best."""

    text: str
    margin: str
    best: bool
    reading: str


@dataclass(frozen=True)
class MeasureRow:
    """One measure. Models and floor have a position on its scale, where there is one."""

    name: str
    unit: str
    direction: str
    cells: list[MeasureCell]
    null: str
    references: dict[str, str]
    positions: dict[str, float]
    floor_position: float | None


@dataclass(frozen=True)
class Scale:
    """A measure's losses from the worst that is shown, floor or model, to the ceiling."""

    worst: float
    ceiling: float

    @property
    def span(self) -> float:
        """The distance between them."""
        return self.worst - self.ceiling

    def position(self, value: float) -> float:
        """Return 0 for the worst, 1 for the ceiling, more for what is better."""
        return (self.worst - value) / self.span


def rows(comparison: Comparison, checkpoint: Checkpoint) -> list[MeasureRow]:
    """Return the table of one checkpoint, by the measures with a vote."""
    cards = {model: comparison.cards[model][checkpoint] for model in comparison.models}
    differences = paired_differences(cards)
    names = voting_measures([card for by_seed in cards.values() for card in by_seed])
    return [_row(name, comparison, checkpoint, differences) for name in names]


def _row(
    name: str, comparison: Comparison, checkpoint: Checkpoint, differences: Sequence[Difference]
) -> MeasureRow:
    models = comparison.models
    measured = [[card[name] for card in comparison.cards[m][checkpoint]] for m in models]
    decimals = _decimals([[m.value for m in by_seed] for by_seed in measured])
    winner = best(name, models, differences)
    nulls = [m.null for by_seed in measured for m in by_seed if m.null is not None]
    return MeasureRow(
        measure_label(name),
        measured[0][0].unit,
        DIRECTIONS[measured[0][0].better],
        [
            _cell(by_seed, decimals, m == winner)
            for m, by_seed in zip(models, measured, strict=True)
        ],
        _mean(nulls, decimals),
        {n: _mean(_values(card, name), decimals) for n, card in comparison.references.items()},
        *_positions(name, comparison, checkpoint),
    )


def _decimals(values: Sequence[Sequence[float]]) -> int:
    """Return how many decimals a row has: three digits, or what the narrowest interval allows."""
    bounds = [b for by_seed in values if (b := interval(by_seed)) is not None]
    halves = [(high - low) / 2 for low, high in bounds if high > low]
    enough = decimals_for(v for by_seed in values for v in by_seed)
    return min(enough, decimals_for([min(halves)], 2)) if halves else enough


def _values(card: Scorecard, name: str) -> list[float]:
    return [card[name].value] if name in card else []


def _mean(values: Sequence[float], decimals: int) -> str:
    """Return the mean, with no more decimals than it has significant ones; empty without values."""
    return fixed(fmean(values), min(decimals, decimals_for(values))) if values else ""


def _cell(measured: Sequence[Measurement], decimals: int, is_best: bool) -> MeasureCell:
    values = [m.value for m in measured]
    bounds = interval(values)
    margin = "" if bounds is None else f"{(bounds[1] - bounds[0]) / 2:,.{decimals}f}"
    return MeasureCell(fixed(fmean(values), decimals), margin, is_best, measured[0].reading)


def best(name: str, models: Sequence[str], differences: Sequence[Difference]) -> str | None:
    """Return the model that is significantly better than every other, if there is one."""
    for model in models:
        own = [d for d in differences if d.measure == name and model in (d.first, d.second)]
        if own and all(d.better == model for d in own):
            return model
    return None


def scale(name: str, comparison: Comparison, checkpoint: Checkpoint = "best") -> Scale | None:
    """Return a measure's scale here; None where the ceiling is not better than the worst."""
    ceiling = comparison.ceiling.get(name)
    if ceiling is None:
        return None
    losses = [_mean_loss(by_name[checkpoint], name) for by_name in comparison.cards.values()]
    losses += [loss(comparison.floor[name])] if name in comparison.floor else []
    return Scale(max(losses), loss(ceiling)) if max(losses) > loss(ceiling) else None


def _mean_loss(cards: Sequence[Scorecard], name: str) -> float:
    return fmean(loss(card[name]) for card in cards)


def _positions(
    name: str, comparison: Comparison, checkpoint: Checkpoint
) -> tuple[dict[str, float], float | None]:
    """Return where each model lies on the measure's scale, and where the floor does."""
    own = scale(name, comparison, checkpoint)
    if own is None:
        return {}, None
    losses = {m: _mean_loss(comparison.cards[m][checkpoint], name) for m in comparison.models}
    floor = comparison.floor.get(name)
    positions = {model: own.position(value) for model, value in losses.items()}
    return positions, None if floor is None else own.position(loss(floor))


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
