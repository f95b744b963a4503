"""Fitting a model's refinement: what tells its rows from the training rows of its table."""

from __future__ import annotations

from pushforward.data import Dataset, TableSchema
from pushforward.families.model import Model
from pushforward.nn.refinement import FEWEST, with_labels
from pushforward.random import Stream, derived_seed, generator, permutation
from pushforward.sampling.blocks import imagined
from pushforward.sampling.streams import joined

MOST = 2**20  # numbers of training rows, and of generated ones, that are looked at


def refine(model: Model, data: Dataset, seed: int) -> None:
    """Let a classifier of training and generated rows choose among those to come.

    Nothing changes where it finds nothing, for data that are no table, and for too few rows.
    """
    if model.refinement is None or not isinstance(data.schema, TableSchema):
        return
    model.refinement.clear()
    rows, labels = data.subset("train")
    n = min(len(rows), MOST // max(1, rows.shape[1]))
    if n < FEWEST:
        return
    chosen = permutation(len(rows), derived_seed(seed, Stream.REFINEMENT, 0))[:n]
    real = with_labels(rows[chosen], None if labels is None else labels[chosen])
    drawn = imagined(model, data.schema, n, derived_seed(seed, Stream.REFINEMENT, 1))
    own = generator(derived_seed(seed, Stream.REFINEMENT, 2))
    model.refinement.fit(real, with_labels(*joined(drawn)), own)
