"""The table of rulers: every model beside null, ceiling and floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pushforward.compare import Comparison
from pushforward.decide import Difference, differences, interval, loss
from pushforward.measures import Measurement, Scorecard
from pushforward.report.figures import Sheet
from pushforward.report.numbers import fixed, places, significant
from pushforward.runs import Checkpoint

ARROWS = {"lower": "↓ lower is better", "higher": "↑ higher is better"}
NEAREST = "→ best at the null"


@dataclass(frozen=True)
class Cell:
    """One model by one ruler: mean over the seeds, half an interval, whether it is the best."""

    text: str
    margin: str
    best: bool
    reading: str


@dataclass(frozen=True)
class Row:
    """One ruler. `places` are the models' positions from floor (0) to ceiling (1)."""

    name: str
    unit: str
    direction: str
    cells: list[Cell]
    null: str
    ceiling: str
    floor: str
    places: dict[str, float]


def words(name: str) -> str:
    """Return a ruler's name as words."""
    return name.replace("_", " ")


def rows(comparison: Comparison, checkpoint: Checkpoint) -> list[Row]:
    """Return the table of one checkpoint, by the rulers that every scorecard holds."""
    cards = {model: comparison.cards[model][checkpoint] for model in comparison.models}
    found = differences(cards)
    everyone = [card for own in cards.values() for card in own]
    shared = [name for name in everyone[0] if all(name in card for card in everyone)]
    return [_row(name, comparison, cards, found) for name in shared]


def _row(
    name: str,
    comparison: Comparison,
    cards: dict[str, list[Scorecard]],
    found: Sequence[Difference],
) -> Row:
    own = {model: [card[name] for card in cards[model]] for model in cards}
    first = own[comparison.models[0]][0]
    decimals = places([m.value for measured in own.values() for m in measured])
    winner = best(name, comparison.models, found)
    nulls = [m.null for measured in own.values() for m in measured if m.null is not None]
    return Row(
        words(name),
        first.unit,
        ARROWS.get(first.better, NEAREST),
        [_cell(measured, decimals, model == winner) for model, measured in own.items()],
        fixed(fmean(nulls), decimals) if nulls else "",
        _value(comparison.ceiling.get(name), decimals),
        _value(comparison.floor.get(name), decimals),
        positions(name, comparison, own),
    )


def _value(measurement: Measurement | None, decimals: int) -> str:
    return "" if measurement is None else fixed(measurement.value, decimals)


def _cell(measured: Sequence[Measurement], decimals: int, is_best: bool) -> Cell:
    values = [m.value for m in measured]
    bounds = interval(values)
    margin = "" if bounds is None else fixed((bounds[1] - bounds[0]) / 2, decimals)
    return Cell(fixed(fmean(values), decimals), margin, is_best, measured[0].reading)


def best(name: str, models: Sequence[str], found: Sequence[Difference]) -> str | None:
    """Return the model that is better than every other by a real difference, if there is one."""
    for model in models:
        own = [d for d in found if d.measure == name and model in (d.first, d.second)]
        if own and all(d.better == model for d in own):
            return model
    return None


def distance(name: str, comparison: Comparison) -> float | None:
    """Return how much better the ceiling is than the floor; None where it is not."""
    ceiling, floor = comparison.ceiling.get(name), comparison.floor.get(name)
    if ceiling is None or floor is None:
        return None
    gap = loss(floor) - loss(ceiling)
    return gap if gap > 0 else None


def positions(
    name: str, comparison: Comparison, measured: dict[str, list[Measurement]]
) -> dict[str, float]:
    """Return where each model lies from the floor (0) to the ceiling (1)."""
    gap = distance(name, comparison)
    if gap is None:
        return {}
    floor = loss(comparison.floor[name])
    return {model: (floor - fmean(map(loss, own))) / gap for model, own in measured.items()}


def readings(comparison: Comparison) -> Sheet:
    """Return every ruler's own words for each model's first seed, and the values seed by seed."""
    lines = [
        [words(name), model, _values(comparison, model, name), measurement.reading]
        for name in comparison.cards[comparison.models[0]]["best"][0]
        for model in comparison.models
        if (measurement := comparison.cards[model]["best"][0].get(name)) is not None
    ]
    return Sheet(["Ruler", "Model", "Value by seed", "Reading (first seed)"], lines)


def _values(comparison: Comparison, model: str, name: str) -> str:
    cards = comparison.cards[model]["best"]
    return ", ".join(significant(card[name].value) for card in cards if name in card)
