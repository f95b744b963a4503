"""What validation rows say of a model while it is trained, and which checkpoint they choose.

A model of one turn is a minimisation: its own loss on rows that it does not learn from falls as
long as it learns the distribution, and rises when it learns rows by heart. A game of several turns
has no such loss, since its measures move; there the energy distance between validation rows and as
many generated ones decides.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.families.model import Model, Turn
from pushforward.measures.features import beside_class, spread_of
from pushforward.measures.samples import energy, energy_statistic
from pushforward.sampling.blocks import forked, imagine
from pushforward.training.turn_optimizer import one_hot

ROWS = 1000  # validation rows that are looked at, and generated ones beside them
NULLS = 99  # random splits of real rows that say how much of a reading is noise


class Validation:
    """Reads the same rows with the same noise each time: a change of a value is the model's."""

    def __init__(self, data: Dataset, seed: int) -> None:
        rows, labels = data.subset("validation")
        self.data, self.seed = data, seed
        self.rows, self.labels = rows[:ROWS], None if labels is None else labels[:ROWS]

    def choice(self, model: Model, distance: float) -> tuple[float, float]:
        """Return what the choice of a checkpoint goes by, and how much more is still as good.

        `distance` is the model's, as read. A value that is no number is infinitely bad.
        """
        turns = model.turns()
        alone = len(turns) == 1
        value, slack = (self.loss(model, turns[0]), 0.0) if alone else (distance, self.noise)
        return (value if math.isfinite(value) else math.inf), slack

    @torch.no_grad()
    def loss(self, model: Model, turn: Turn) -> float:
        """Return the mean of a turn's loss over the rows."""
        device = model.device
        x = self.data.schema.expand(self.rows.to(device))
        c = None if self.labels is None else one_hot(self.labels, model.classes, device)
        with forked(device, self.seed):
            terms = getattr(model, turn.name)(x, c)
        return float(sum(term.mean() for term in terms.values()))

    def distance(self, model: Model) -> float:
        """Return the energy distance to generated rows; infinite where those are not finite."""
        with forked(model.device, self.seed):
            fake = imagine(model, self.data.schema, len(self.rows), self.labels)
        seen = self._view(fake, self.labels)
        if not bool(seen.isfinite().all()):
            return math.inf
        return float(energy_statistic(self._view(self.rows, self.labels), seen))

    @cached_property
    def noise(self) -> float:
        """What the energy distance stays below in 95 % of cases where there is no difference."""
        rows, labels = self.data.subset("train")
        n = min(len(rows), len(self.rows))
        if n < 3:
            return 0.0
        other = self._view(rows[:n], None if labels is None else labels[:n])
        found = energy(self._view(self.rows, self.labels), other, permutations=NULLS)
        return float(found.extra["null_95"])

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
