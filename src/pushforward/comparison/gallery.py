"""What is kept for the eye: ways and traversals, reconstructions, nearest training images.

Interpolations and traversals are generated; of a table it is averages that go along a traversal.
The others hold rows of the user's own, so those of images and tables are made only where the user
asks for example rows. Of arrays test rows are kept anyway, and training rows never.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pushforward.comparison.column_moves import column_moves
from pushforward.comparison.references import LabelledRows, first_rows
from pushforward.comparison.traversal import ENCODED, encoded, traversal
from pushforward.data import Schema, TableSchema
from pushforward.errors import MeasureError
from pushforward.families.model import Model
from pushforward.measures import Scorer
from pushforward.nn.priors import ContinuousPrior
from pushforward.random import Stream, derived_seed, isolated
from pushforward.sampling.blocks import labels_of, one_hot

WAYS = 4  # from one code to another
STEPS = {"image": 7, "array": 25}  # places on each of them
PAIRS = 6  # reconstructions, and nearest training rows
ARROWS = 100  # reconstructions in the plane
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Gallery:
    """The pictures of one comparison.

    Args:
        schema: of the data.
        test: the test rows that are measured.
        example_rows: whether rows of the user's own may be kept.
        scorer: gives the measures, whose features tell which training rows are nearest.
    """

    schema: Schema
    test: LabelledRows
    example_rows: bool
    scorer: Callable[[], Scorer]

    def of_model(self, model: Model, fake: LabelledRows, seed: int) -> Tensors:
        """Return the pictures of a model, and of rows that it generated."""
        rows = first_rows(self.test, ENCODED)
        if isinstance(self.schema, TableSchema):
            made = column_moves(model, self.schema, rows, seed)
        else:
            made = interpolations(model, self.schema, seed)
            made |= traversals(model, self.schema, rows, seed)
        if self.example_rows or self.schema.kind == "array":
            pairs = ARROWS if self.schema.space.shape == (2,) else PAIRS
            made |= reconstructions(model, self.schema, first_rows(self.test, pairs))
        return made | self.copies(fake)

    def copies(self, rows: LabelledRows) -> Tensors:
        """Return the rows that are nearest to a training row, and these; of all test rows, too.

        `suspects` and `nearest` (k, ...) are pairs, the closest first. `closeness` (k,) is their
        distance by the features, as a multiple of the median distance of a test row to its nearest
        training row. Only of images, and only where these may be kept. Nothing where features are
        not finite, so that there are no distances.
        """
        if not self.example_rows or self.schema.kind != "image":
            return {}
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
    """Return the rows of codes on the ways between two draws of codes.

    `ways` (WAYS, STEPS, ...) are encoded rows, those of a way of one class: `way_labels` (WAYS,).
    `arcs` says whether the ways are arcs. Nothing for a prior that is not continuous.
    """
    if not isinstance(model.source, ContinuousPrior):
        return {}
    steps = STEPS[schema.kind]
    with isolated(model.device, derived_seed(seed, Stream.PATHS)):
        labels = labels_of(schema.condition, WAYS)
        c = None if labels is None else one_hot(labels, model.classes, model.device)
        start, end = (model.source.draw(WAYS, c) for _ in range(2))
        z = model.source.carry(model.source.between(start, end, steps).flatten(0, 1))
        x = model.mean(z, None if c is None else c.repeat_interleave(steps, 0))
    ways = schema.quantise(x).cpu().unflatten(0, (WAYS, steps))
    known = {} if labels is None else {"way_labels": labels}
    return {"ways": ways, "arcs": torch.tensor(model.source.arcs)} | known


@torch.no_grad()
def traversals(model: Model, schema: Schema, rows: LabelledRows, seed: int) -> Tensors:
    """Return the rows of one code, of which one dimension at a time goes through its range.

    `traversals` (dimensions, STEPS, ...) are encoded rows; `traversed` (dimensions,) says which
    dimensions these are. Nothing for a model without codes.
    """
    with isolated(model.device, derived_seed(seed, Stream.PATHS)):
        course = traversal(model, schema, rows, 1, STEPS[schema.kind])
        if course is None:
            return {}
        shape = course.z.shape[:2]
        c = None if course.c is None else course.c.expand(shape.numel(), -1)
        x = model.mean(course.z.flatten(0, 2), c)
    moved = schema.quantise(x).cpu().unflatten(0, shape)
    return {"traversals": moved, "traversed": course.dimensions}


@torch.no_grad()
def reconstructions(model: Model, schema: Schema, originals: LabelledRows) -> Tensors:
    """Return rows and what their codes give back, each (k, ...); nothing without an encoder."""
    with isolated(model.device, 0):
        x = model.reconstruct(*encoded(model, schema, originals))
        if x is None:
            return {}
        given = schema.quantise(x).cpu()
    labels = {} if originals[1] is None else {"original_labels": originals[1]}
    return {"originals": originals[0], "reconstructions": given} | labels
