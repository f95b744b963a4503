"""The table of measures: every model beside null, ceiling and floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pushforward.comparison.compare import Comparison
from pushforward.comparison.decide import Difference, differences, interval, loss, voting
from pushforward.measures import Measurement, Scorecard
from pushforward.report.figures import Sheet
from pushforward.report.numbers import fixed, places, significant
from pushforward.runs import Checkpoint

ARROWS = {"lower": "↓ lower is better", "higher": "↑ higher is better"}
Places = dict[str, float]
NEAREST = "→ best at the null"


@dataclass(frozen=True)
class Cell:
    """One model by one measure: mean over the seeds, half an interval, whether it is the best."""

    text: str
    margin: str
    best: bool
    reading: str


@dataclass(frozen=True)
class Row:
    """One measure. `places` and `tick` are where models and floor lie on its scale."""

    name: str
    unit: str
    direction: str
    cells: list[Cell]
    null: str
    ceiling: str
    floor: str
    places: Places
    tick: float | None


@dataclass(frozen=True)
class Scale:
    """A measure's losses from the worst that is shown, floor or model, to the ceiling."""

    worst: float
    ceiling: float

    @property
    def span(self) -> float:
        """The distance between them."""
        return self.worst - self.ceiling

    def place(self, value: float) -> float:
        """Return 0 for the worst, 1 for the ceiling, more for what is better."""
        return (self.worst - value) / self.span


def words(name: str) -> str:
    """Return a measure's name as words."""
    return name.replace("_", " ")


def rows(comparison: Comparison, checkpoint: Checkpoint) -> list[Row]:
    """Return the table of one checkpoint, by the measures with a vote."""
    cards = {model: comparison.cards[model][checkpoint] for model in comparison.models}
    found = differences(cards)
    shared = voting([card for own in cards.values() for card in own])
    return [_row(name, comparison, checkpoint, found) for name in shared]


def _row(
    name: str, comparison: Comparison, checkpoint: Checkpoint, found: Sequence[Difference]
) -> Row:
    own = [[card[name] for card in comparison.cards[m][checkpoint]] for m in comparison.models]
    decimals = _decimals([[m.value for m in measured] for measured in own])
    winner = best(name, comparison.models, found)
    nulls = [m.null for measured in own for m in measured if m.null is not None]
    return Row(
        words(name),
        own[0][0].unit,
        ARROWS.get(own[0][0].better, NEAREST),
        [_cell(c, decimals, m == winner) for m, c in zip(comparison.models, own, strict=True)],
        _aside(nulls, decimals),
        _aside(_of(comparison.ceiling, name), decimals),
        _aside(_of(comparison.floor, name), decimals),
        *_strip(name, comparison, checkpoint),
    )


def _decimals(values: Sequence[Sequence[float]]) -> int:
    """Return how many decimals a row has: three digits, or what the narrowest interval allows."""
    bounds = [b for own in values if (b := interval(own)) is not None]
    halves = [(high - low) / 2 for low, high in bounds if high > low]
    wanted = places(v for own in values for v in own)
    return min(wanted, places([min(halves)], 2)) if halves else wanted


def _of(card: Scorecard, name: str) -> list[float]:
    return [card[name].value] if name in card else []


def _aside(values: Sequence[float], decimals: int) -> str:
    """Return the mean of what there is, with no more digits than say something."""
    return fixed(fmean(values), min(decimals, places(values))) if values else ""


def _cell(measured: Sequence[Measurement], decimals: int, is_best: bool) -> Cell:
    values = [m.value for m in measured]
    bounds = interval(values)
    margin = "" if bounds is None else f"{(bounds[1] - bounds[0]) / 2:,.{decimals}f}"
    return Cell(fixed(fmean(values), decimals), margin, is_best, measured[0].reading)


def best(name: str, models: Sequence[str], found: Sequence[Difference]) -> str | None:
    """Return the model that is better than every other by a real difference, if there is one."""
    for model in models:
        own = [d for d in found if d.measure == name and model in (d.first, d.second)]
        if own and all(d.better == model for d in own):
            return model
    return None


def scale(name: str, comparison: Comparison, checkpoint: Checkpoint = "best") -> Scale | None:
    """Return a measure's scale here; None where the ceiling is not better than the worst."""
    ceiling = comparison.ceiling.get(name)
    if ceiling is None:
        return None
    worst = [_mean_loss(own[checkpoint], name) for own in comparison.cards.values()]
    worst += [loss(comparison.floor[name])] if name in comparison.floor else []
    return Scale(max(worst), loss(ceiling)) if max(worst) > loss(ceiling) else None


def _mean_loss(cards: Sequence[Scorecard], name: str) -> float:
    return fmean(loss(card[name]) for card in cards)


def _strip(
    name: str, comparison: Comparison, checkpoint: Checkpoint
) -> tuple[Places, float | None]:
    """Return where each model lies on the measure's scale, and where the floor does."""
    found = scale(name, comparison, checkpoint)
    if found is None:
        return {}, None
    own = {m: _mean_loss(comparison.cards[m][checkpoint], name) for m in comparison.models}
    floor = comparison.floor.get(name)
    places = {model: found.place(value) for model, value in own.items()}
    return places, None if floor is None else found.place(loss(floor))


def readings(comparison: Comparison) -> Sheet:
    """Return every measure's own words for each model's first seed, and the values seed by seed."""
    lines = [
        [words(name), model, _values(comparison, model, name), measurement.reading]
        for name in comparison.cards[comparison.models[0]]["best"][0]
        for model in comparison.models
        if (measurement := comparison.cards[model]["best"][0].get(name)) is not None
    ]
    return Sheet(["Measure", "Model", "Value by seed", "Reading (first seed)"], lines)


def _values(comparison: Comparison, model: str, name: str) -> str:
    cards = comparison.cards[model]["best"]
    return ", ".join(significant(card[name].value) for card in cards if name in card)
