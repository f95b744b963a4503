r"""Losses: how far models are from real rows, in units that are the same for all of them.

With the value c of the ceiling (other real rows), f of the floor (what anyone can reach), and v of
a model,

$$r = \frac{e(v) - e(c)}{\max(e(f) - e(c),\, 2 s)}, \quad
\ell = \begin{cases} 0 & r \le 0 \\ r & 0 < r \le 1 \\ \min(1 + \ln r, 4) & r > 1 \end{cases}$$

where s is the standard error of the difference of ceiling and floor, and e is lower when better:
the voting value, its negative where higher is better, and its distance from the ceiling's null
where that is best. 0 is as good as real rows, or better, which is no better; 1 is as bad as the
floor. Beyond it only the order of magnitude counts, so that one measure by which a model is far out
does not drown the others of its aspect; 4 is the worst.

Two kinds of chance are in a mean over the seeds of one model: that of the seeds (initial weights,
batches, generated rows), and that of the test rows, which all models and seeds share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pushforward.measures import Measurement, Scorecard
from pushforward.measures._intervals import Z
from pushforward.measures.aspects import NOT_ALONE, in_order

Cards = Sequence[Scorecard | None]  # one a seed; None for a run that diverged

WORST = 4.0  # the largest loss: 20 times as far from real rows as the floor
RESOLVED = 2.0  # standard errors by which floor and ceiling must differ


@dataclass(frozen=True)
class Scale:
    """The losses' scale for one measure.

    Args:
        ceiling: the measurement of other real rows.
        floor: that of what anyone can reach.
        error: the standard error, by the chance of rows, of the difference of the two.
    """

    ceiling: Measurement
    floor: Measurement
    error: float

    def excess(self, measurement: Measurement) -> float:
        """Return how much worse than the ceiling a value is, in the measure's own units."""
        return self._badness(measurement) - self._badness(self.ceiling)

    def loss(self, measurement: Measurement) -> float:
        """Return the loss, between 0 and `WORST`."""
        ratio = self.excess(measurement) / self.unit
        if ratio <= 1:
            return max(ratio, 0.0)
        return min(1 + math.log(ratio), WORST) if math.isfinite(ratio) else WORST

    @property
    def unit(self) -> float:
        """How far the floor is from the ceiling, or what the test rows can tell if that is more."""
        return max(self.excess(self.floor), RESOLVED * self.error)

    @property
    def resolved(self) -> bool:
        """Whether the test rows are enough to tell the floor from real rows."""
        return self.usable and self.excess(self.floor) > RESOLVED * self.error

    @property
    def usable(self) -> bool:
        """Whether there is a unit at all."""
        return 0 < self.unit < math.inf

    def slope(self, measurements: Sequence[Measurement]) -> float:
        """Return by how much the loss rises with the value, at the mean of some measurements."""
        excess = fmean(self.excess(m) for m in measurements)
        return 1 / max(self.unit, excess) if math.isfinite(excess) else 0.0

    def _badness(self, measurement: Measurement) -> float:
        value = measurement.voting_value
        if self.ceiling.better == "null":
            return abs(value - (self.ceiling.null or 0.0))
        return value if self.ceiling.better == "lower" else -value


@dataclass(frozen=True)
class Losses:
    """What a model lost, by one measure or one aspect.

    Args:
        by_seed: the loss of each seed's run.
        row_noise: draws of the error that the test rows bring to their mean, the same rows in the
            draws of every model; empty where there are none.
        row_variance: the variance of such an error that is known only by itself.
    """

    by_seed: tuple[float, ...]
    row_noise: tuple[float, ...] = ()
    row_variance: float = 0.0

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return fmean(self.by_seed)


def average(losses: Sequence[Losses]) -> Losses:
    """Return the mean of a model's losses by several measures."""
    noises = [own.row_noise for own in losses if own.row_noise]
    return Losses(
        tuple(map(fmean, zip(*(own.by_seed for own in losses), strict=True))),
        tuple(sum(draws) / len(losses) for draws in zip(*noises, strict=True)),
        sum(own.row_variance for own in losses) / len(losses) ** 2,
    )


def scales(ceiling: Scorecard, floor: Scorecard) -> dict[str, Scale]:
    """Return the scale of every measure that has a vote and that both references have."""
    names = [name for name, m in ceiling.items() if m.aspect and name in floor]
    return {name: _scale(name, ceiling, floor) for name in names}


def _scale(name: str, ceiling: Scorecard, floor: Scorecard) -> Scale:
    draws = [card.row_noise.get(name) for card in (ceiling, floor)]
    if draws[0] and draws[1]:
        variance = fmean((f - c) ** 2 for c, f in zip(*draws, strict=True))
    else:
        variance = sum(row_error(card[name]) ** 2 for card in (ceiling, floor))
    # As many rows again as the real ones are those of either reference.
    return Scale(ceiling[name], floor[name], math.sqrt(2 * variance))


def row_error(measurement: Measurement) -> float:
    """Return the standard error that a measurement itself states; infinite where it states none."""
    ends = measurement.interval
    return math.inf if ends is None else (ends[1] - ends[0]) / (2 * Z)


def losses_by(name: str, scale: Scale, cards: Cards) -> Losses:
    """Return a model's losses by one measure: the worst for a run without it, or without a card."""
    measured = [card for card in cards if card is not None and name in card]
    by_seed = tuple(
        WORST if card is None or name not in card else scale.loss(card[name]) for card in cards
    )
    if not measured:
        return Losses(by_seed)
    share = len(measured) / len(cards) * scale.slope([card[name] for card in measured])
    draws = [card.row_noise[name] for card in measured if name in card.row_noise]
    if len(draws) == len(measured):
        return Losses(by_seed, tuple(share * fmean(d) for d in zip(*draws, strict=True)))
    error = fmean(row_error(card[name]) for card in measured)
    return Losses(by_seed, (), (share * error) ** 2)


def voting_aspects(measures: Mapping[str, Scale]) -> dict[str, list[str]]:
    """Return the measures of each aspect that has a vote: those that tell the floor from real rows.

    Where no measure of any aspect does, since the floor is as good as real rows, all have one. An
    aspect of which only `column_shapes` is left has none (see `NOT_ALONE`).
    """
    resolved = _by_aspect({name: scale for name, scale in measures.items() if scale.resolved})
    usable = {name: scale for name, scale in measures.items() if scale.usable}
    return resolved or _by_aspect(usable)


def _by_aspect(measures: Mapping[str, Scale]) -> dict[str, list[str]]:
    of = {name: scale.ceiling.aspect for name, scale in measures.items()}
    aspects = {a: [name for name, own in of.items() if own == a] for a in in_order(of.values())}
    return {aspect: own for aspect, own in aspects.items() if set(own) - set(NOT_ALONE)}
