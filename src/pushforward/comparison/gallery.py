"""What is kept of images for the eye: interpolations, reconstructions, nearest training rows.

Interpolations are generated. The others hold the user's own images, so they are made only where
the user asks for example rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pushforward.comparison.references import LabelledRows, first_rows
from pushforward.data import Schema
from pushforward.errors import MeasureError
from pushforward.families.model import Model
from pushforward.measures import Scorer
from pushforward.nn.priors import ContinuousPrior
from pushforward.random import Stream, derived_seed, isolated
from pushforward.sampling.blocks import labels_of, one_hot

WAYS = 4  # from one code to another
STEPS = 7  # images on each of them
PAIRS = 6  # reconstructions, and nearest training rows
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Gallery:
    """The pictures of one comparison.

    Args:
        schema: of the images.
        test: the test rows that are measured.
        example_rows: whether the user's own images may be kept.
        scorer: gives the measures, whose features tell which training rows are nearest.
    """

    schema: Schema
    test: LabelledRows
    example_rows: bool
    scorer: Callable[[], Scorer]

    def of_model(self, model: Model, fake: LabelledRows, seed: int) -> Tensors:
        """Return the pictures of a model, and of rows that it generated."""
        made = interpolations(model, self.schema, seed)
        if self.example_rows:
            made |= reconstructions(model, self.schema, first_rows(self.test, PAIRS))
            made |= self.copies(fake)
        return made

    def copies(self, rows: LabelledRows) -> Tensors:
        """Return the rows that are nearest to a training row, and these; of all test rows, too.

        `suspects` and `nearest` (k, ...) are pairs, the closest first. `closeness` (k,) is their
        distance by the features, as a multiple of the median distance of a test row to its nearest
        training row. Nothing where features are not finite, so that there are no distances.
        """
        try:
            distance, nearest = self.scorer().nearest_training_rows(rows)
            typical = self._typical
        except MeasureError:
            return {}
        order = distance.argsort(stable=True)[:PAIRS]
        closeness = torch.where(distance > 0, distance / typical, 0.0)
        return {
            "suspects": rows[0][order],
            "nearest": nearest[order],
            "closeness": closeness[order],
        }

    @cached_property
    def _typical(self) -> Tensor:
        return self.scorer().nearest_training_rows(self.test)[0].median()


@torch.no_grad()
def interpolations(model: Model, schema: Schema, seed: int) -> Tensors:
    """Return the images of codes on the ways between two draws of codes.

    `ways` (WAYS, STEPS, ...) are encoded rows, those of a way of one class: `way_labels` (WAYS,).
    `arcs` says whether the ways are arcs. Nothing for a prior that is not continuous.
    """
    if not isinstance(model.source, ContinuousPrior):
        return {}
    with isolated(model.device, derived_seed(seed, Stream.PATHS)):
        labels = labels_of(schema.condition, WAYS)
        c = None if labels is None else one_hot(labels, model.classes, model.device)
        start, end = (model.source.draw(WAYS, c) for _ in range(2))
        z = model.source.carry(model.source.between(start, end, STEPS).flatten(0, 1))
        x = model.mean(z, None if c is None else c.repeat_interleave(STEPS, 0))
    ways = schema.quantise(x).cpu().unflatten(0, (WAYS, STEPS))
    known = {} if labels is None else {"way_labels": labels}
    return {"ways": ways, "arcs": torch.tensor(model.source.standard)} | known


@torch.no_grad()
def reconstructions(model: Model, schema: Schema, originals: LabelledRows) -> Tensors:
    """Return rows and what their codes give back, each (k, ...); nothing without an encoder."""
    rows, labels = originals
    c = None if labels is None else one_hot(labels, model.classes, model.device)
    with isolated(model.device, 0):
        x = model.reconstruct(schema.expand(rows.to(model.device)), c)
    return {} if x is None else {"originals": rows, "reconstructions": schema.quantise(x).cpu()}
