"""What is kept of images for the eye: ways and traversals, reconstructions, nearest training rows.

Interpolations and traversals are generated. The others hold the user's own images, so they are
made only where the user asks for example rows.
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
from pushforward.families.encoders import WithCodes
from pushforward.families.model import Batch, Model
from pushforward.measures import Scorer
from pushforward.nn.priors import ContinuousPrior
from pushforward.random import Stream, derived_seed, isolated
from pushforward.sampling.blocks import labels_of, one_hot

WAYS = 4  # from one code to another
STEPS = 7  # images on each of them
TRAVERSED = 6  # dimensions of a code, the most active ones
DEVIATIONS = 2.0  # standard deviations to either side
ENCODED = 500  # rows whose codes say which these are, at most
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
        made |= traversals(model, self.schema, first_rows(self.test, ENCODED), seed)
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
def traversals(model: Model, schema: Schema, rows: LabelledRows, seed: int) -> Tensors:
    """Return the images of one code, of which one dimension at a time goes through its range.

    `traversals` (dimensions, STEPS, ...) are encoded rows: from 2 standard deviations of that
    dimension's aggregate posterior below its mean to as many above. `traversed` (dimensions,) says
    which they are: those whose mean varies most over the rows. Nothing for a model without codes.
    """
    if not isinstance(model, WithCodes) or len(rows[0]) < 2:
        return {}
    with isolated(model.device, derived_seed(seed, Stream.PATHS)):
        q = model.encode(*_batch(model, schema, rows))
        labels = labels_of(schema.condition, 1)
        c = None if labels is None else one_hot(labels, model.classes, model.device)
        start = model.source.draw(1, c)
        centre, spread = q.centre(), q.draw().std(0)
        most = centre.var(0).argsort(descending=True)[:TRAVERSED]
        t = torch.linspace(-DEVIATIONS, DEVIATIONS, STEPS, device=model.device)
        e = start.expand(len(most), STEPS, -1).clone()
        for row, d in zip(e, most, strict=True):
            row[:, d] = centre[:, d].mean() + t * spread[d]
        z = model.source.carry(e.flatten(0, 1))
        x = model.mean(z, None if c is None else c.expand(len(z), -1))
    images = schema.quantise(x).cpu().unflatten(0, (len(most), STEPS))
    return {"traversals": images, "traversed": most.cpu()}


@torch.no_grad()
def reconstructions(model: Model, schema: Schema, originals: LabelledRows) -> Tensors:
    """Return rows and what their codes give back, each (k, ...); nothing without an encoder."""
    with isolated(model.device, 0):
        x = model.reconstruct(*_batch(model, schema, originals))
    kept = {"originals": originals[0]}
    return {} if x is None else kept | {"reconstructions": schema.quantise(x).cpu()}


def _batch(model: Model, schema: Schema, rows: LabelledRows) -> Batch:
    """Return rows as the model sees them, and their conditions."""
    encoded, labels = rows
    c = None if labels is None else one_hot(labels, model.classes, model.device)
    return schema.expand(encoded.to(model.device)), c
