"""Fitting a model's refinement: what tells its rows from the training rows of its table."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pushforward.data import Dataset, TableSchema
from pushforward.data.tables.orders import in_order
from pushforward.families.model import Model
from pushforward.families.panels import Panel
from pushforward.nn.refinement import FEWEST, TREES, with_labels
from pushforward.random import Stream, derived_seed, generator, isolated, permutation
from pushforward.sampling.blocks import imagine, labels_of

MOST = 2**20  # numbers of training rows, and of generated ones, that are looked at, ...
ROWS_OF_A_TREE = 200  # ... and rows for each tree


def refine(model: Model, data: Dataset, seed: int, trees: int = TREES) -> None:
    """Let a classifier of training and generated rows, of so many trees, choose among new rows.

    Nothing changes where it finds nothing, for data that are no table, and for too few rows.
    """
    if model.refinement is None or not isinstance(data.schema, TableSchema):
        return
    model.refinement.clear()
    rows, labels = data.subset("train")
    n = min(len(rows), MOST // max(1, rows.shape[1]), trees * ROWS_OF_A_TREE)
    if n < FEWEST:
        return
    generated = _in_order(model, data.schema, n, derived_seed(seed, Stream.REFINEMENT, 1))
    n = len(generated)
    if n < FEWEST:
        return
    order = permutation(len(rows), derived_seed(seed, Stream.REFINEMENT, 0))[:n]
    # what tells rows apart is to be what they say, and not how their numbers are written
    on_grid = data.schema.on_grid(rows[order])
    real = with_labels(on_grid, None if labels is None else labels[order])
    own = generator(derived_seed(seed, Stream.REFINEMENT, 2))
    model.refinement.fit(real, generated, own, trees)


def _in_order(model: Model, schema: TableSchema, n: int, seed: int) -> Tensor:
    """Return those of n generated rows that keep to the table's orders, with their classes."""
    with isolated(model.device, seed):
        labels = labels_of(schema.condition, n)
        rows = imagine(model, schema, n, labels)
    return with_labels(rows, labels)[in_order(rows, schema.orders)]


def refinement_panels(model: Model) -> list[Panel]:
    """Return what a refinement does, if there is one."""
    refinement = model.refinement
    if refinement is None or not refinement.fitted:
        return []
    share, gain = float(refinement.share), float(refinement.gain)
    trees = int(refinement.trees.count)
    series: dict[str, list[Any]] = {"trees": [trees], "kept": [share], "nats gained": [gain]}
    note = (
        f"A classifier that tells training rows from generated ones keeps {share:.0%} of the "
        f"model's rows. Held-out training rows are {gain:.2f} nats likelier by what is kept."
    )
    return [Panel("Rows that are kept", "table", series, note=note)]
