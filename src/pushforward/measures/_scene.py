"""What a measure is given: both samples, seen in every way that a measure may want."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import narwhals as nw
import torch
from torch import Tensor

from pushforward.data import Schema, TableSchema
from pushforward.measures._inputs import Featurise, described
from pushforward.measures.features import beside_class, spread_of

OWN = {"table": "ranks and one-hot categories", "image": "pixels", "array": "z-scores"}
TOLD_BY = 100  # reference rows that tell features apart, at most
SPREAD_ROWS = 2000  # reference rows that tell how far apart two rows usually are, at most
MOST = 10_000  # rows a side whose neighbours are searched


@dataclass(frozen=True)
class Lens:
    """How encoded rows become the vectors that most measures look at.

    Args:
        schema: of the data.
        features: maps expanded rows (n, ...) to vectors (n, d); None for the schema's own.
        reference: encoded rows from which scales are taken.
    """

    schema: Schema
    features: Featurise | None
    reference: Tensor

    @cached_property
    def identity(self) -> dict[str, str]:
        """The name and the hash of the features: measurements compare where both agree.

        The schema's own are told by what they make of the first reference rows.
        """
        if self.features is not None:
            return described(self.features)
        seen = self.view(self.reference[:TOLD_BY]).cpu().contiguous().numpy().tobytes()
        return {"name": OWN[self.schema.kind], "hash": hashlib.sha256(seen).hexdigest()[:16]}

    def view(self, rows: Tensor) -> Tensor:
        """Return the Euclidean view (n, d) of encoded rows."""
        if self.features is None:
            return self.schema.features(rows)
        return self.features(self.schema.expand(rows))

    @cached_property
    def spread(self) -> float:
        """How far apart two reference rows usually are in the view, by sqrt(2)."""
        return spread_of(self.view(self.reference[:SPREAD_ROWS]))

    @cached_property
    def spread_of_pixels(self) -> float:
        """The same of the values themselves."""
        return spread_of(self.schema.features(self.reference[:SPREAD_ROWS]))


@dataclass(frozen=True)
class Side:
    """One sample.

    Args:
        lens: knows the schema and the features.
        rows: encoded rows (n, ...).
        labels: codes of the condition's classes (n,), or None.
        table: the rows as a data frame, where they are at hand.
    """

    lens: Lens
    rows: Tensor
    labels: Tensor | None = None
    table: Any = None

    @cached_property
    def features(self) -> Tensor:
        """The Euclidean view, with the condition's class beside it (n, d)."""
        return self._with_class(self.lens.view(self.rows), lambda: self.lens.spread)

    @cached_property
    def few(self) -> Tensor:
        """The features of at most 20,000 of the rows, always the same: of training rows."""
        drawn = some(self.rows, 2 * MOST, 0)
        return Side(self.lens, self.rows[drawn], at(self.labels, drawn)).features

    @cached_property
    def origin(self) -> dict[str, Any]:
        """What the features are, for a measurement's `extra`."""
        return {"features": self.lens.identity}

    @cached_property
    def pixels(self) -> Tensor:
        """The values themselves, with the condition's class beside them (n, d)."""
        values = self.lens.schema.features(self.rows)
        return self._with_class(values, lambda: self.lens.spread_of_pixels)

    @cached_property
    def frame(self) -> Any:
        """The rows as a data frame, without the identifiers, which are generated fresh."""
        schema = self.lens.schema
        table = self.table if self.table is not None else schema.decode(self.rows, self.labels)
        fresh = [i.name for i in schema.identifiers] if isinstance(schema, TableSchema) else []
        return nw.from_native(table, eager_only=True).drop(fresh).to_native()

    def _with_class(self, view: Tensor, spread: Callable[[], float]) -> Tensor:
        condition = self.lens.schema.condition
        if self.labels is None or condition is None:
            return view
        return beside_class(view, self.labels, len(condition.classes), spread())


@dataclass(frozen=True)
class Scene:
    """What a measure is given.

    Args:
        real: the real sample.
        fake: the generated one.
        training: real rows that a generator has trained on; None where there are none.
        target: the column that `utility` predicts, or None.
        seed: of the measures.
    """

    real: Side
    fake: Side
    training: Side | None
    target: str | None
    seed: int


def at(labels: Tensor | None, index: Tensor) -> Tensor | None:
    """Return the labels of these rows, or None where there are none."""
    return None if labels is None else labels[index]


def some(rows: Tensor, size: int, seed: int) -> Tensor:
    """Return the indices of at most `size` of the rows, at random."""
    return torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:size]
