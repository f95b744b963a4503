"""What validation rows say of a model while it is trained, and which checkpoint they choose.

Of a model that lowers one objective, the loss on rows that it does not learn from falls as long as
it learns the distribution, and rises when it learns rows by heart. A game whose measure moves has
no such loss; there the energy distance between validation rows and as many generated ones decides.
Each model says which of the two it is (`Model.selection`).
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from pushforward.data import Dataset
from pushforward.families.model import Model
from pushforward.measures.features import beside_class, spread_of
from pushforward.measures.samples import energy, energy_statistic
from pushforward.random import isolated
from pushforward.sampling.blocks import imagine, one_hot

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
        by_loss = model.selection == "loss"
        value, slack = (self.loss(model), 0.0) if by_loss else (distance, self.noise)
        return (value if math.isfinite(value) else math.inf), slack

    @torch.no_grad()
    def loss(self, model: Model) -> float:
        """Return the mean of a model's loss over the rows."""
        device = model.device
        x = self.data.schema.expand(self.rows.to(device))
        c = None if self.labels is None else one_hot(self.labels, model.classes, device)
        with isolated(device, self.seed):
            return float(model.loss(x, c).mean())

    def distance(self, model: Model) -> float:
        """Return the energy distance to generated rows; infinite where those are not finite."""
        with isolated(model.device, self.seed):
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
        same = energy(self._view(self.rows, self.labels), other, permutations=NULLS)
        return float(same.extra["null_95"])

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
