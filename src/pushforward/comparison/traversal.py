"""Codes of which one dimension at a time goes through its range, while all others stand still."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.comparison.references import LabelledRows
from pushforward.data import Schema
from pushforward.families.encoders import WithCodes
from pushforward.families.model import Batch, Model
from pushforward.sampling.blocks import labels_of, one_hot

TRAVERSED = 6  # dimensions of a code, the most active ones
DEVIATIONS = 2.0  # standard deviations to either side
ENCODED = 500  # rows whose codes say which these are, at most


@dataclass(frozen=True)
class Traversal:
    """Codes on their way.

    Args:
        z: (dimensions, steps, n, latent) for each dimension, n codes at each step.
        c: their conditions (n, classes), or None.
        dimensions: (dimensions,) which are moved: those whose mean varies most over the rows.
    """

    z: Tensor
    c: Tensor | None
    dimensions: Tensor


def traversal(
    model: Model, schema: Schema, rows: LabelledRows, n: int, steps: int
) -> Traversal | None:
    """Return n drawn codes on their way; None for a model without codes.

    A dimension goes from 2 standard deviations of its aggregate posterior below its mean to as many
    above, over the given rows.
    """
    if not isinstance(model, WithCodes) or len(rows[0]) < 2:
        return None
    q = model.encode(*encoded(model, schema, rows))
    labels = labels_of(schema.condition, n)
    c = None if labels is None else one_hot(labels, model.classes, model.device)
    start = model.source.draw(n, c)
    centre, spread = q.centre(), q.draw().std(0)
    most = centre.var(0).argsort(descending=True)[:TRAVERSED]
    t = torch.linspace(-DEVIATIONS, DEVIATIONS, steps, device=model.device)
    e = start.repeat(len(most), steps, 1, 1)
    for moved, d in zip(e, most, strict=True):
        moved[..., d] = (centre[:, d].mean() + t * spread[d])[:, None]
    z = model.source.carry(e.flatten(0, 2)).unflatten(0, e.shape[:3])
    return Traversal(z, c, most.cpu())


def encoded(model: Model, schema: Schema, rows: LabelledRows) -> Batch:
    """Return rows as the model sees them, and their conditions."""
    codes, labels = rows
    c = None if labels is None else one_hot(labels, model.classes, model.device)
    return schema.expand(codes.to(model.device)), c
