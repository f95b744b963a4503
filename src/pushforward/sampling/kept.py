"""How many of a model's rows are kept: by class, for hit rates and rows under a condition."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.data import TableSchema
from pushforward.families.model import Model
from pushforward.random import Stream, derived_seed, isolated
from pushforward.sampling.blocks import block_size, chance_kept, chooses, imagine, labels_of

FEWEST = 50  # rows of a class that tell its share; of fewer it is that of all


@dataclass(frozen=True)
class KeptShare:
    """The shares of drawn rows that are kept (see `blocks.chance_kept`).

    Args:
        of_class: of each class (classes,), or of all rows (1,).
        error: the relative standard error of a hit rate that is divided by them.
    """

    of_class: Tensor
    error: float

    @classmethod
    @torch.no_grad()
    def of(cls, model: Model, schema: TableSchema, seed: int) -> KeptShare:
        """Estimate the shares by one block of rows; all are kept where nothing chooses."""
        classes = max(1, model.classes)
        if not chooses(model, schema):
            return cls(torch.ones(classes, dtype=torch.float64), 0.0)
        n = block_size(schema)
        with isolated(model.device, derived_seed(seed, Stream.KEPT)):
            labels = labels_of(schema.condition, n)
            kept = chance_kept(model, schema, imagine(model, schema, n, labels), labels).double()
        mean = kept.mean().clamp(min=1 / n)
        own = torch.zeros(n, dtype=torch.int64) if labels is None else labels
        rows = torch.bincount(own, minlength=classes)
        shares = torch.bincount(own, kept, classes) / rows.clamp(min=1)
        shares = torch.where(rows < FEWEST, mean, shares).clamp(min=1 / n)
        return cls(shares, float(kept.std() / mean) / n**0.5)
