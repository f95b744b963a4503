"""All losses on one axis, from real rows (0) to the floor (1): measures grouped by aspect.

The axis is drawn by HTML and CSS alone: where marks lie is a percentage of its length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from pushforward.comparison.decide import MeanLoss
from pushforward.comparison.folder import CART
from pushforward.comparison.losses import WORST, Scale, losses_by, scales
from pushforward.comparison.result import Comparison
from pushforward.comparison.words import joined, measure_label
from pushforward.measures.aspects import in_order
from pushforward.report.numbers import fixed, percent

ENDS = (1.0, 1.75, 2.5, 3.4, WORST)  # of the axis; the first that holds every mark is taken
TICKS = {0.0: "real rows", 1.0: "floor"}
TICKS |= {1 + math.log(times): f"{times} × floor" for times in (2, 10)}
UNRESOLVED = "on these test rows, they cannot tell the floor from real rows"
ALONE = "by itself, it says nothing of a model: raking sets it"


@dataclass(frozen=True)
class LossMark:
    """A mean loss of a model, or of a reference, with its interval if there is one.

    Args:
        name: of the model or reference.
        colour: empty for a reference, which is drawn hollow.
        mean: the loss.
        ends: of the 95 % interval over other seeds and other test rows.
    """

    name: str
    colour: str
    mean: float
    ends: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """Its numbers in words."""
        between = f" ({' to '.join(fixed(end, 2) for end in self.ends)})" if self.ends else ""
        return f"{self.name} {fixed(self.mean, 2)}{between}"


@dataclass(frozen=True)
class LossRow:
    """One measure: a mark for each model, and for the reference."""

    name: str
    marks: list[LossMark]

    @property
    def alt(self) -> str:
        """What it shows, for readers who do not see it."""
        return f"Losses by {self.name}: {', '.join(mark.text for mark in self.marks)}"


@dataclass(frozen=True)
class LossGroup:
    """The measures of one aspect, or those that have no vote for one reason (`why`)."""

    title: str
    rows: list[LossRow]
    why: str = ""

    @property
    def means(self) -> list[LossMark]:
        """The mean loss of each model and reference that every measure here has."""
        first, *others = ({mark.name: mark for mark in row.marks} for row in self.rows)
        return [
            LossMark(name, mark.colour, fmean([mark.mean, *(own[name].mean for own in others)]))
            for name, mark in first.items()
            if all(name in own for own in others)
        ]


@dataclass(frozen=True)
class LossAxis:
    """The figure.

    Args:
        groups: of measures.
        undrawn: the measures without a unit, as nothing is known of their noise.
    """

    groups: list[LossGroup]
    undrawn: str

    @cached_property
    def end(self) -> float:
        """The loss at which the axis ends."""
        marks = (mark for group in self.groups for row in group.rows for mark in row.marks)
        reach = max((mark.ends[1] if mark.ends else mark.mean for mark in marks), default=0.0)
        return next((end for end in ENDS if reach <= end), WORST)

    @property
    def ticks(self) -> dict[float, str]:
        """What losses mean, by loss."""
        return {loss: text for loss, text in TICKS.items() if loss <= self.end}

    @property
    def has_reference(self) -> bool:
        """Whether any mark is that of a reference."""
        return any(not m.colour for group in self.groups for row in group.rows for m in row.marks)

    def percent(self, loss: float) -> float:
        """Return how far along the axis a loss is, from 0 to 100."""
        return percent(loss, 0, self.end)


def loss_axis(comparison: Comparison, colours: Mapping[str, str]) -> LossAxis:
    """Return the figure of a comparison's losses."""
    measures = scales(comparison.ceiling, comparison.floor)
    rows = {name: _row(name, scale, comparison, colours) for name, scale in measures.items()}
    rows = {name: row for name, row in rows.items() if row.marks}
    voting = {own.measure: own.aspect for own in comparison.losses if own.votes}
    silent = [name for name in rows if name not in voting]
    reasons = {name: ALONE if measures[name].resolved else UNRESOLVED for name in silent}
    groups = [LossGroup(*group) for group in _grouped(rows, voting, in_order(voting.values()))]
    whys = dict.fromkeys(reasons.values())
    groups += [LossGroup("without a vote", own, why) for why, own in _grouped(rows, reasons, whys)]
    undrawn = [measure_label(name) for name in measures if name not in rows]
    return LossAxis(groups, joined(undrawn) if undrawn else "")


def _row(name: str, scale: Scale, comparison: Comparison, colours: Mapping[str, str]) -> LossRow:
    """Return a measure's row; without marks where models have no loss by it."""
    own = [loss for loss in comparison.losses if loss.measure == name]
    marks = [_mark(loss, colours[loss.model]) for loss in own]
    card = comparison.references.get(CART)
    if marks and card is not None and name in card:
        marks.append(LossMark(CART, "", losses_by(name, scale, [card]).mean))
    return LossRow(measure_label(name), marks)


def _grouped(
    rows: Mapping[str, LossRow], groups: Mapping[str, str], order: Iterable[str]
) -> Iterator[tuple[str, list[LossRow]]]:
    """Yield the rows of each group, in this order, given the group of some measures."""
    for group in order:
        yield group, [rows[name] for name, own in groups.items() if own == group]


def _mark(loss: MeanLoss, colour: str) -> LossMark:
    """Return a model's mark; an interval that is not finite is none."""
    low, high = (math.nan if end is None else end for end in (loss.low, loss.high))
    ends = (max(low, 0.0), min(high, WORST)) if math.isfinite(high - low) else None
    return LossMark(loss.model, colour, loss.mean, ends)
