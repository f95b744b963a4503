"""What a user states about the columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import polars as pl

from pushforward.data.tables.column_summary import ColumnSummary
from pushforward.data.tables.columns import CategoricalCodec, RareHandling
from pushforward.data.tables.constraints import (
    Constraint,
)
from pushforward.data.tables.frames import FrameFormat
from pushforward.data.tables.metadata import Metadata
from pushforward.data.tables.text_types import TextFormats
from pushforward.errors import DataError, nearest

COLUMN_KINDS = ("categorical", "numeric", "integer", "datetime", "boolean", "identifier")


@dataclass(frozen=True)
class TableOptions:
    """What the user states about a table's columns.

    Args:
        condition: the name of the column that models are conditioned on, or None.
        kinds: of columns, by name.
        rare: how rare categories are handled, see `CategoricalCodec.fit`.
        text_formats: of numbers and times that are written as text.
        constraints: what must hold in every row.
        metadata: of a file; their kinds and formats are already merged into the other fields.
        objects: the columns whose text stands for objects, so that no other text may stand there.
        relations: whether relations that hold in every row become constraints.
    """

    condition: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    rare: RareHandling = "draw"
    text_formats: TextFormats = field(default_factory=TextFormats)
    constraints: tuple[Constraint, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)
    objects: frozenset[str] = frozenset()
    relations: bool = False

    def with_metadata(self, metadata: Metadata) -> TableOptions:
        """Return the options, completed by metadata; what the user states takes precedence."""
        times = {**metadata.time_formats, **self.text_formats.times}
        text_formats = replace(self.text_formats, times=times)
        kinds = {**metadata.kinds, **self.kinds}
        stated = {*self.kinds, self.condition}
        bounds = [b for b in metadata.bounds if b.column not in stated]
        return replace(
            self,
            kinds=kinds,
            text_formats=text_formats,
            constraints=(*self.constraints, *bounds),
            metadata=metadata,
        )

    @property
    def stated_kinds(self) -> dict[str, str]:
        """The kinds of columns that are stated, by name; the condition has classes."""
        of_condition = {} if self.condition is None else {self.condition: "categorical"}
        return {**self.kinds, **of_condition}

    def with_names(self, frame_format: FrameFormat) -> TableOptions:
        """Return the options with columns that the user called by their labels under their names.

        A pandas label may be an integer, a date, a pair, ...; see `FrameFormat.name_of`.
        """
        condition = None if self.condition is None else frame_format.name_of(self.condition)
        kinds = {frame_format.name_of(label): kind for label, kind in self.kinds.items()}
        objects = frame_format.spelled_objects
        return replace(self, condition=condition, kinds=kinds, objects=objects)

    def validate(self, names: Sequence[str]) -> None:
        """Raise DataError for an unknown column, kind or handling of rare values."""
        if self.metadata.columns:
            self.metadata.validate(names)
        for name in [*self.kinds, *([] if self.condition is None else [self.condition])]:
            if name not in names:
                raise DataError(f"no column {name!r}; {nearest(name, names)}")
        for name, kind in self.kinds.items():
            if kind not in COLUMN_KINDS:
                hint = nearest(kind, COLUMN_KINDS)
                raise DataError(f"column {name!r} cannot be {kind!r}; {hint}")
        if self.rare not in get_args(RareHandling):
            hint = nearest(self.rare, get_args(RareHandling))
            raise DataError(f"rare cannot be {self.rare!r}; {hint}")

    def empty_summary(self, name: str, dtype: pl.DataType) -> ColumnSummary:
        """Return the summary of a column before its first row; DataError for unusable dtypes."""
        require_usable(name, dtype)
        return ColumnSummary(name, dtype, self.stated_kinds.get(name))

    def category(self, summary: ColumnSummary, sample: pl.Series) -> CategoricalCodec:
        """Learn a column of categories."""
        plain_text = summary.name not in self.objects
        return CategoricalCodec.fit(summary, sample, self.rare, names_rare=plain_text)


def require_usable(name: str, dtype: pl.DataType) -> None:
    """Raise DataError for a dtype that no column of a table can have."""
    if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
        msg = f"column {name!r} must hold numbers, text, truth values or times, got {dtype}"
        raise DataError(msg)
    if str(dtype) in ("Int128", "UInt128"):  # NumPy has no such integers
        msg = f"column {name!r} must hold integers of at most 64 bits, got {dtype}; cast it"
        raise DataError(f"{msg} to Int64 or, if they are names, to String")
