"""How a table's columns move along the dimensions of a code: averages over generated rows."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.comparison.references import LabelledRows
from pushforward.comparison.traversal import traversal
from pushforward.data import TableSchema
from pushforward.families.model import Model
from pushforward.random import Stream, derived_seed, isolated
from pushforward.sampling.blocks import block_size

STEPS = 7  # places on the way of a dimension
CODES = 512  # over which is averaged, at most
RAREST = 1e-3  # share of a category whose moves are counted
NUMBER = -1  # the level of a column of numbers


@torch.no_grad()
def column_moves(
    model: Model, schema: TableSchema, rows: LabelledRows, seed: int
) -> dict[str, Tensor]:
    """Return how columns move where one dimension of many codes goes through its range.

    `moves` (dimensions, STEPS, columns) are, of the rows that these codes give, the mean of a
    column of numbers, and the share of a category, less their mean over the way, in units of the
    column's spread over the training rows (of a category whose share is p: sqrt(p (1 - p))).
    `levels` (columns,) are the cells whose shares these are, of the category that moves most; -1
    for numbers. `traversed` (dimensions,) says which dimensions are moved. Random numbers are the
    same at each place, so that what does not depend on a dimension stands still. Nothing for a
    model without codes.
    """
    place, shares = derived_seed(seed, Stream.PATHS), []
    with isolated(model.device, place):
        course = traversal(model, schema, rows, min(CODES, block_size(schema)), STEPS)
    if course is None:
        return {}
    for z in course.z.flatten(0, 1):
        with isolated(model.device, place):
            shares.append(model.mean(z, course.c).double().mean(0).cpu())
    along = torch.stack(shares).unflatten(0, course.z.shape[:2])
    columns = [_column(along[..., own], usual, at) for own, usual, at in _cells(schema)]
    return {
        "moves": torch.stack([moves for moves, _ in columns], 2).float(),
        "levels": torch.tensor([level for _, level in columns]),
        "traversed": course.dimensions,
    }


def _cells(schema: TableSchema) -> list[tuple[slice, Tensor, Tensor | None]]:
    """Return where the cells of each column are, their shares of the training rows, their places.

    Places are those of numbers, NaN of missing ones; None of categories. Fine digits are left out.
    """
    space = schema.space
    fine = {digit.at for digit in space.fine}
    ends = torch.tensor(space.sizes).cumsum(0).tolist()
    coarse = [
        slice(e - s, e)
        for j, (s, e) in enumerate(zip(space.sizes, ends, strict=True))
        if j not in fine
    ]
    numeric = set(schema.numeric_columns)
    found = []
    for i, (own, partition) in enumerate(zip(coarse, schema.fine_partitions, strict=True)):
        at = [torch.nan if place is None else place for place in space.places[own]]
        usual = torch.from_numpy(partition.coarse.shares)
        found.append((own, usual, torch.tensor(at).double() if i in numeric else None))
    return found


def _column(along: Tensor, usual: Tensor, places: Tensor | None) -> tuple[Tensor, int]:
    """Return how far a column goes from its mean over the way, and which category that is.

    Args:
        along: (dimensions, steps, cells) shares of the generated rows.
        usual: (cells,) shares of the training rows.
        places: (cells,) where numbers are, of mean 0 and variance 1; NaN where they are missing.
    """
    if places is None:
        spread = (usual * (1 - usual)).sqrt()
        known = (usual >= RAREST) & (usual < 1)
        values = torch.where(known, along / spread, 0.0)
    else:
        known = ~places.isnan()
        present = along[..., known]
        values = (present @ places[known] / present.sum(2).clamp(min=1e-12))[..., None]
    moves = values - values.mean(1, keepdim=True)
    level = int(moves.abs().amax((0, 1)).argmax())
    return moves[..., level], NUMBER if places is not None else level
