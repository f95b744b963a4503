"""The privacy panel: what is given away about training rows, beside what new real rows give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pushforward.comparison.compare import Comparison
from pushforward.comparison.decide import beside_privacy, gives_away
from pushforward.measures import CAVEAT, PRIVACY, Measurement
from pushforward.report.measures import words
from pushforward.report.numbers import fixed, places

WHAT = {
    "exact_matches": "generated rows that equal a training row",
    "closest_record": "generated rows that lie nearer to training rows than to as many new ones",
    "membership_inference": "how well the best of five attacks tells training rows from new ones, "
    "as an AUC",
}


@dataclass(frozen=True)
class Cell:
    """One model by one measure: mean over the seeds, mean interval, whether rows are given away."""

    text: str
    interval: str
    found: bool
    reading: str


@dataclass(frozen=True)
class Row:
    """One measure, and what new real rows give."""

    name: str
    what: str
    cells: list[Cell]
    null: str


@dataclass(frozen=True)
class Privacy:
    """The panel: its rows, a verdict for each model, and what all this cannot show."""

    rows: list[Row]
    verdicts: list[str]
    caveat: str


def panel(comparison: Comparison) -> Privacy | None:
    """Return the panel of the best checkpoints; None where no scorecard has a privacy measure."""
    cards = {model: own["best"] for model, own in comparison.cards.items()}
    rows = [
        _row(name, measured)
        for name in PRIVACY
        if all(measured := [[c[name] for c in cards[m] if name in c] for m in comparison.models])
    ]
    told = [beside_privacy(m, cards[m]) or _safe(m) for m in comparison.models]
    return Privacy(rows, told, CAVEAT) if rows else None


def _safe(model: str) -> str:
    return f"{model}: none of these measures finds training rows among what it generates."


def _row(name: str, measured: Sequence[Sequence[Measurement]]) -> Row:
    nulls = [m.null for own in measured for m in own if m.null is not None]
    percent = measured[0][0].unit == "share"
    null = _number(fmean(nulls), percent, places([100 * fmean(nulls)], 2) if percent else 1)
    return Row(words(name), WHAT[name], [_cell(own, percent) for own in measured], null)


def _cell(measured: Sequence[Measurement], percent: bool) -> Cell:
    value = fmean(m.value for m in measured)
    ends = [m.interval for m in measured if m.interval is not None]
    low, high = (fmean(end[i] for end in ends) if ends else value for i in (0, 1))
    scale = 100 if percent else 1
    decimals = places([scale * (high - low) / 2], 2) if high > low else 3
    interval = " – ".join(fixed(scale * end, decimals) for end in (low, high))
    text = _number(value, percent, decimals)
    return Cell(text, interval if ends else "", gives_away(measured), measured[0].reading)


def _number(value: float, percent: bool, decimals: int) -> str:
    return f"{fixed(100 * value, decimals)} %" if percent else fixed(value, decimals)
