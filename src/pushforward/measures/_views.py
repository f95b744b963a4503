"""Encoded samples, and the views of them that measures take: features, values, data frames."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import narwhals as nw
import torch
from torch import Tensor

from pushforward.data import Schema, TableSchema
from pushforward.data.tables.frames import to_polars, with_index_columns
from pushforward.measures._inputs import FeatureFunction, feature_identity
from pushforward.measures.features import beside_class, spread_of

View = Literal["features", "values", "frame"]
OwnView = View | Literal["forms"]  # what this library's own measures can take
OWN_FEATURES = {"table": "ranks and one-hot categories", "image": "pixels", "array": "z-scores"}
HASHED_ROWS = 100  # reference rows whose features are hashed, at most
SPREAD_ROWS = 2000  # reference rows from which the spread is taken, at most
NEIGHBOUR_ROWS = 10_000  # rows a side whose neighbours are searched


@dataclass(frozen=True)
class FeatureMap:
    """How encoded rows become the vectors that most measures take.

    Args:
        schema: of the data.
        features: maps expanded rows (n, ...) to vectors (n, d); None for the schema's own.
        reference: encoded rows from which scales are taken.
        device: where the vectors are computed, and stay.
    """

    schema: Schema
    features: FeatureFunction | None
    reference: Tensor
    device: torch.device

    @cached_property
    def identity(self) -> dict[str, str]:
        """The name and the hash of the features: measurements compare where both agree.

        The schema's own features are hashed by their values on the first reference rows.
        """
        if self.features is not None:
            return feature_identity(self.features)
        values = self.schema.features(self.reference[:HASHED_ROWS].cpu()).contiguous().numpy()
        digest = hashlib.sha256(values.tobytes()).hexdigest()[:16]
        return {"name": OWN_FEATURES[self.schema.kind], "hash": digest}

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the features (n, d) of encoded rows."""
        if self.features is None:
            return self.values(rows)
        return self.features(self.schema.expand(rows.to(self.device)))

    def values(self, rows: Tensor) -> Tensor:
        """Return the values themselves (n, d): ranks and one-hot cells, pixels or z-scores."""
        return self.schema.features(rows.to(self.device))

    @cached_property
    def spread(self) -> float:
        """The spread of the reference rows' features, see `spread_of`."""
        return spread_of(self(self.reference[:SPREAD_ROWS]))

    @cached_property
    def spread_of_values(self) -> float:
        """The spread of the reference rows' values."""
        return spread_of(self.values(self.reference[:SPREAD_ROWS]))


@dataclass(frozen=True)
class Sample:
    """One sample: encoded rows, and the views of them.

    Args:
        feature_map: knows the schema and the features.
        rows: encoded rows (n, ...).
        labels: codes of the condition's classes (n,), or None.
        table: the rows as a data frame, where there is one already.
        table_of_forms: the same with identifiers by their form.
    """

    feature_map: FeatureMap
    rows: Tensor
    labels: Tensor | None = None
    table: Any = None
    table_of_forms: Any = None

    @cached_property
    def features(self) -> Tensor:
        """The features, with the condition's class beside them (n, d)."""
        return self._with_class(self.feature_map(self.rows), lambda: self.feature_map.spread)

    @cached_property
    def subset(self) -> Sample:
        """At most 20,000 of the rows, always the same ones: as vectors, all take much memory."""
        rows = random_rows(self.rows, 2 * NEIGHBOUR_ROWS, 0)
        return Sample(self.feature_map, self.rows[rows], at(self.labels, rows))

    @cached_property
    def values(self) -> Tensor:
        """The values themselves, with the condition's class beside them (n, d)."""
        values = self.feature_map.values(self.rows)
        return self._with_class(values, lambda: self.feature_map.spread_of_values)

    @cached_property
    def frame(self) -> Any:
        """The rows as a data frame, without the identifiers, which are generated fresh."""
        schema = self.feature_map.schema
        table = schema.decode(self.rows, self.labels) if self.table is None else self.table
        fresh = {i.name for i in schema.identifiers} if isinstance(schema, TableSchema) else set()
        [frame] = with_index_columns([nw.from_native(table, eager_only=True)])
        names = to_polars(frame.head(0))[0].columns  # labels of pandas need not be text
        kept = [name not in fresh for name in names]
        return frame[:, [at for at, keep in enumerate(kept) if keep]].to_native()

    @property
    def forms(self) -> Any:
        """The rows as a data frame, identifiers by their form where they are not our own."""
        return self.frame if self.table_of_forms is None else self.table_of_forms

    def view(self, name: OwnView) -> Any:
        """Return one of the views by its name."""
        return getattr(self, name)

    def _with_class(self, vectors: Tensor, spread: Callable[[], float]) -> Tensor:
        condition = self.feature_map.schema.condition
        if self.labels is None or condition is None:
            return vectors
        return beside_class(vectors, self.labels, len(condition.classes), spread())


@dataclass(frozen=True)
class Samples:
    """Everything that measures are applied to.

    Args:
        real: the real sample.
        fake: the generated one.
        train: the rows that the generator was trained on; None where they are not known.
        target: the column that `utility` predicts, or None.
        seed: of the measures.
        value_only: whether nulls, p-values and intervals may be left out where they take time.
    """

    real: Sample
    fake: Sample
    train: Sample | None
    target: str | None
    seed: int
    value_only: bool = False

    def origin(self, view: OwnView) -> dict[str, Any]:
        """Return what identifies a view's features, for a measurement's `extra`."""
        return {"features": self.real.feature_map.identity} if view == "features" else {}


def at(labels: Tensor | None, index: Tensor) -> Tensor | None:
    """Return the labels of these rows, or None where there are none."""
    return None if labels is None else labels[index]


def random_rows(rows: Tensor, size: int, seed: int) -> Tensor:
    """Return the indices of at most `size` of the rows, at random."""
    return torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:size]
