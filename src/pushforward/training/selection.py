"""What validation rows say of a model while it is trained, and which checkpoint they choose.

Of a model that lowers one objective, the loss on rows that it does not learn from falls as long as
it learns the distribution, and rises when it learns rows by heart. A game whose measure moves has
no such loss; there the energy distance between validation rows and as many generated ones decides.
Each model says which of the two it is (`Model.selection`).

Both are read on the same rows with the same noise at every check, so two checkpoints are compared
row by row: what is noise of one reading is mostly noise of the other too, and cancels in their
difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pushforward.data import Dataset
from pushforward.data.schema import SplitName
from pushforward.families.model import Batch, Model
from pushforward.families.panels import Panel
from pushforward.measures.features import beside_class, spread_of
from pushforward.measures.neighbours import ball_radii, covered_share
from pushforward.measures.samples import energy_parts, sliced_wasserstein_statistic
from pushforward.random import generator, isolated
from pushforward.sampling.blocks import imagine, one_hot
from pushforward.sampling.refining import refinement_panels
from pushforward.training import variety

ROWS = 1000  # validation rows that are looked at, and generated ones beside them
NEIGHBOURS = 5000  # training rows among which the nearest ones are sought
BESIDE = 300  # rows of each side that other measures look at: they are to cost little ...
LINES = 32  # ... and the lines along which one of them does
BALLS = 5  # other rows that the ball around a row reaches to, as coverage has it
SLACK = 1.645  # standard errors by which a later checkpoint may be worse: one-sided 5 %


@dataclass(frozen=True)
class Reading:
    """What a check reads of a model; lower is better.

    Args:
        value: the reading; infinite where the model gave no number.
        parts: its first-order changes with each row, (samples, n): n real rows, and for a distance
            as many generated ones.
        beside: what other measures say of the same rows, by name.
    """

    value: float
    parts: Tensor
    beside: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Tensor, parts: Tensor, beside: Mapping[str, float] | None = None) -> Reading:
        """Return a reading; one that is no number is infinitely bad."""
        number = float(value)
        return cls(number if math.isfinite(number) else math.inf, parts.cpu(), beside or {})

    def as_good_as(self, other: Reading) -> bool:
        """Whether this reading is not worse than another by more than their paired noise."""
        return self.value <= other.value + SLACK * self.noise(other)

    def noise(self, other: Reading) -> float:
        """Return the standard error of the difference of two readings, 0 where one is infinite."""
        n = self.parts.shape[1]
        if n < 2 or not math.isfinite(self.value) or not math.isfinite(other.value):
            return 0.0
        return float(((self.parts - other.parts).double().var(1) / n).sum().sqrt())


class Sample:
    """The first rows of a split, which are a random sample of it."""

    def __init__(self, data: Dataset, split: SplitName, n: int) -> None:
        rows, labels = data.subset(split)
        self.schema, self.rows = data.schema, rows[:n]
        self.labels = None if labels is None else labels[:n]

    def batch(self, model: Model) -> Batch:
        """Return the rows as the model sees them, and their conditions."""
        x = self.schema.expand(self.rows.to(model.device))
        labels = self.labels
        return x, None if labels is None else one_hot(labels, model.classes, model.device)


class Validation:
    """Reads the same rows with the same noise each time: a change of a value is the model's."""

    def __init__(self, data: Dataset, seed: int, batch_size: int = ROWS) -> None:
        self.data, self.seed, self.batch_size = data, seed, batch_size
        self.sample = Sample(data, "validation", ROWS)
        self.rows, self.labels = self.sample.rows, self.sample.labels

    def choice(self, model: Model, distance: Reading) -> Reading:
        """Return what the choice of a checkpoint goes by; `distance` is the model's, as read."""
        return self.loss(model) if model.selection == "loss" else distance

    @torch.no_grad()
    def loss(self, model: Model) -> Reading:
        """Return the mean of a model's loss over the rows, about as many at a time as in a batch.

        A loss that compares the codes of all rows with each other is that of a batch, and with four
        times as many takes sixteen times as long.
        """
        x, c = self.sample.batch(model)
        number = max(1, len(x) // self.batch_size)  # of no fewer rows than a batch
        known = [None] * number if c is None else c.tensor_split(number)
        with isolated(model.device, self.seed):
            parts = zip(x.tensor_split(number), known, strict=True)
            loss = torch.cat([model.loss(*part) for part in parts])
        return Reading.of(loss.mean(), loss[None])

    @torch.no_grad()
    def anatomy(self, model: Model) -> list[Panel]:
        """Return what a model tells about its measure, on the rows; and how various its own are."""
        condition = self.data.schema.condition
        names = [] if condition is None else [str(name) for name in condition.classes]
        own = [*model.anatomy(*self.sample.batch(model)), *refinement_panels(model)]
        panels = [*own, *self._variety(model)]
        return [panel.with_classes(names) for panel in panels]

    def _variety(self, model: Model) -> list[Panel]:
        """Return what generated rows have of the data's variety."""
        schema = self.data.schema
        with isolated(model.device, self.seed):
            fake = imagine(model, schema, len(self.rows), self.labels)
        real, seen = schema.features(self.rows), schema.features(fake)
        alike = variety.support(real, seen)
        if self.labels is None or schema.kind == "table":  # a table's rows have their class
            return alike
        known = Sample(self.data, "train", NEIGHBOURS)
        training = schema.features(known.rows), torch.as_tensor(known.labels)
        return [*variety.recognised(training, real, seen, self.labels, schema), *alike]

    def distance(self, model: Model) -> Reading:
        """Return the energy distance to generated rows; infinite where those are not finite.

        Of a game with a critic other measures stand beside it.
        """
        with isolated(model.device, self.seed):
            fake = imagine(model, self.data.schema, len(self.rows), self.labels)
        real, seen = self._view(self.rows, self.labels), self._view(fake, self.labels)
        parts = torch.stack(energy_parts(real, seen))
        if not bool(seen.isfinite().all()):
            return Reading.of(torch.tensor(math.inf), 2 * parts)
        judged = any({*turn.players} & {*model.critics} for turn in model.turns())
        beside = self._beside(real[:BESIDE], seen[:BESIDE]) if judged else {}
        return Reading.of(parts.mean(1).sum(), 2 * parts, beside)

    def _beside(self, real: Tensor, seen: Tensor) -> dict[str, float]:
        """Return the sliced Wasserstein distance along the same lines each time, and coverage."""
        lines = torch.randn(LINES, real.shape[1], generator=generator(self.seed)).to(real)
        squared = sliced_wasserstein_statistic(seen, real, normalize(lines, dim=1))
        found = {"sliced_w2": math.sqrt(float(squared))}
        if len(real) <= BALLS:
            return found
        return found | {"coverage": covered_share(real, self._radii, seen)}

    @cached_property
    def _radii(self) -> Tensor:
        return ball_radii(self._view(self.rows, self.labels)[:BESIDE], BALLS)

    def error(self, distance: Reading) -> float:
        """Return a standard error of a distance, of other rows and other noise.

        To first order that of its parts. These vanish where the samples are of one distribution;
        there the distance still varies by E|x - x'| / n, which is no more than 2 spreads / n.
        """
        n = distance.parts.shape[1]
        if n < 2 or not math.isfinite(distance.value):
            return 0.0
        first = float((distance.parts.double().var(1) / n).sum())
        return math.hypot(math.sqrt(first), 2 * self._spread / n)

    @cached_property
    def _spread(self) -> float:
        return spread_of(self.data.schema.features(self.rows)) if len(self.rows) > 1 else 1.0

    def _view(self, rows: Tensor, labels: Tensor | None) -> Tensor:
        """Return what the energy distance sees of rows, their classes beside them."""
        condition = self.data.schema.condition
        if labels is None or condition is None:
            return self.data.schema.features(rows)
        classes = len(condition.classes)
        return beside_class(self.data.schema.features(rows), labels, classes, self._spread)
