"""A schema, learned column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from pushforward.data.numeric import Floats, Ints
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.column_remarks import (
    identifier_note,
    missing_remarks,
    mixed_offsets,
    number_remarks,
    rare_remarks,
    words_note,
)
from pushforward.data.tables.column_summary import ColumnSummary
from pushforward.data.tables.columns import CategoricalCodec
from pushforward.data.tables.constraints import (
    ConstraintSet,
    PartsStep,
    Repeat,
    find_repeats,
    tested_rows,
)
from pushforward.data.tables.frames import FrameFormat
from pushforward.data.tables.identifiers import (
    Identifier,
    counts_rows,
    is_integer_key,
    looks_like_identifiers,
)
from pushforward.data.tables.information import coarse_codes
from pushforward.data.tables.model_order import in_model_order
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.partition import MIN_POOLED_ROWS
from pushforward.data.tables.recurring import with_names
from pushforward.data.tables.schema import TableSchema
from pushforward.data.tables.table_options import TableOptions
from pushforward.errors import DataError

MAX_CLASSES = 100  # of a condition
MAX_BESIDE = 100  # columns of which others may tell
MOST_NAMES = 4096  # cells of values that are names, of all columns


@dataclass
class SchemaBuilder:
    """Builds a schema column by column.

    `names` are those of the user's table, `clocks` those whose numbers all spell a time of day,
    `beside` the `tested_rows` of all columns to be modelled, by which times are split.
    """

    options: TableOptions
    names: frozenset[str]
    constraint_set: ConstraintSet = field(default_factory=ConstraintSet)
    columns: list[ColumnCodec] = field(default_factory=list)
    identifiers: list[Identifier] = field(default_factory=list)
    condition_column: CategoricalCodec | None = None
    clocks: frozenset[str] = frozenset()
    beside: pl.DataFrame = field(default_factory=pl.DataFrame)
    parts: list[PartsStep] = field(default_factory=list)
    repeats: list[Repeat] = field(default_factory=list)
    named: int = 0  # cells of names so far
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notes += self.options.text_formats.notes

    def add(self, summary: ColumnSummary, sample: pl.Series) -> None:
        """Learn a column from the summary of all rows and a sample of the training rows."""
        _refuse_unsuitable_kind(summary, self.options.kinds.get(summary.name))
        if summary.name == self.options.condition:
            self.condition_column = _condition_codec(summary, sample, self.options)
            return
        kind = summary.kind or _infer_kind(summary, sample)
        remarks = missing_remarks(summary) if summary.name in self.names else []
        if kind == "identifier":
            self.identifiers.append(Identifier.fit(summary))
            self.notes += [words_note(summary, sample, kind, 2) or identifier_note(summary)]
        elif kind in ("categorical", "boolean"):
            category = self.options.category(summary, sample)
            self.columns.append(category)
            remarks += rare_remarks(summary, category, sample)
            least = MIN_POOLED_ROWS if self.options.rare == "name" else 0
            self.notes += filter(None, [words_note(summary, sample, kind, least)])
        else:
            number = self._add_number(summary, sample)
            remarks += number_remarks(summary, number, sample)
            if number.time_format and number.time_format.endswith(("%z", "%:z")):
                self.notes.append(mixed_offsets(summary.name))
        self.notes += [f"column {summary.name!r} {remark}" for remark in remarks]
        if counts_rows(summary, sample) and kind == "numeric":
            self.notes += [
                f"check: column {summary.name!r} numbers the rows; if it is a key, override it as "
                "identifier"
            ]

    def _add_number(self, summary: ColumnSummary, sample: pl.Series) -> NumericCodec:
        """Add a column of numbers or times, by its parts where these carry information."""
        codec = NumericCodec.without_cells(summary, self.options.text_formats)
        numbers = codec.encode(sample)
        codec = codec.with_cells(numbers, summary.present < summary.rows)
        parts = None
        if summary.name in self.names:  # not a difference of two columns
            zone, is_clock = (
                self.constraint_set.zones.get(summary.name),
                summary.name in self.clocks,
            )
            beside = self._beside(summary.name) if summary.dtype.is_temporal() else []
            parts = PartsStep.fit(
                codec, summary, numbers, self.names, beside=beside, zone=zone, is_clock=is_clock
            )
        if parts is None:
            self.columns.append(self._named(codec, numbers, summary.name))
        else:
            coarsest, *finer = parts.columns(numbers)
            whole = parts.coarsest_numbers(numbers)
            self.columns += [self._named(coarsest, whole, summary.name), *finer]
            self.parts.append(parts)
            self.notes.append(parts.note)
        return codec

    def _named(self, codec: NumericCodec, numbers: Floats, name: str) -> NumericCodec:
        """Return the codec of a column, or of a part of it, whose values may be names."""
        most = MOST_NAMES - self.named if self.options.relations else 0
        found = with_names(codec, numbers, tested_rows(len(numbers)), self._beside(name), most)
        if found is not codec:
            self.named += found.partition.n_cells
            self.notes.append(
                f"column {codec.name!r}: its values are names, and those that five rows share have "
                "a cell each (relations=False, or --no-relations, to model them as numbers)"
            )
        return found

    def add_repeats(self, modelled: pl.DataFrame, train: Ints) -> None:
        """Find which numbers repeat others in some rows; before each a column says which."""
        self.columns = in_model_order(self.columns, self._leaders())
        codecs = self._own_numbers()
        numbers = {n: codec.encode(modelled[n]) for n, codec in codecs.items()}
        of_training = {n: own[train] for n, own in numbers.items()}
        for column, sources in find_repeats(of_training).items():
            name = f"{column} is"
            while name in self.names:
                name += "'"
            repeat = Repeat(column, sources, name)
            told = repeat.told(numbers)
            summary = self.options.empty_summary(name, told.dtype)
            summary.add(told)
            self.columns.insert(
                self._positions()[column], self.options.category(summary, told[train])
            )
            self.repeats.append(repeat)
            self.notes.append(repeat.note(told))

    def _leaders(self) -> dict[str, ColumnCodec]:
        """Return the column whose place in the model some have, by name."""
        split: dict[str, ColumnCodec] = {n: step.column for step in self.parts for n in step.names}
        own = self._own_numbers()
        return split | {repeat.name: own[repeat.column] for repeat in self.repeats}

    def _positions(self) -> dict[str, int]:
        """Return where the first of the modelled columns of each of the user's columns is."""
        at = {codec.name: i for i, codec in enumerate(self.columns)}
        return at | {step.column.name: at[step.names[0]] for step in self.parts}

    def _own_numbers(self) -> dict[str, NumericCodec]:
        """Return the codecs of the user's columns of numbers, in the order of the model."""
        split = {step.column.name: step.column for step in self.parts}
        whole = {c.name: c for c in self.columns if isinstance(c, NumericCodec)}
        at, own = self._positions(), split | whole
        names = [n for n in own if n in self.names and _counts_from_0(own[n])]
        return {name: own[name] for name in sorted(names, key=at.__getitem__)}

    def _beside(self, name: str) -> list[Ints]:
        """Return codes of all other columns."""
        return [codes for other, codes in self._codes.items() if other != name]

    @cached_property
    def _codes(self) -> dict[str, Ints]:
        return {values.name: coarse_codes(values) for values in self.beside[:, :MAX_BESIDE]}

    def schema(
        self, column_names: Sequence[str], frame_format: FrameFormat | None = None
    ) -> TableSchema:
        """Return the schema of the columns added so far; `column_names` are in the user's order."""
        return TableSchema(
            column_names,
            in_model_order(self.columns, self._leaders()),
            self.identifiers,
            self.condition_column,
            frame_format,
            replace(self.constraint_set, parts=tuple(self.parts), repeats=tuple(self.repeats)),
            self.options.text_formats.separator,
        )


def _counts_from_0(column: NumericCodec) -> bool:
    """Whether a column's numbers are encoded as themselves, so that those of two are equal."""
    return column.dtype.is_numeric() and (column.origin, column.unit) == (0, 1)


def _infer_kind(summary: ColumnSummary, sample: pl.Series) -> str:
    """Return the kind of a column."""
    if summary.dtype in (pl.Categorical, pl.Enum, pl.Boolean, pl.Null):
        return "categorical"
    if summary.dtype == pl.String:
        return "identifier" if looks_like_identifiers(summary) else "categorical"
    return "identifier" if is_integer_key(summary, sample) else "numeric"


def _refuse_unsuitable_kind(summary: ColumnSummary, kind: str | None) -> None:
    """Raise DataError when values cannot be of the kind that the user states."""
    dtype = summary.dtype
    fits = {
        "numeric": dtype.is_numeric() or dtype.is_temporal(),
        "integer": dtype.is_integer() or (dtype.is_float() and summary.reals.digits == 0),
        "datetime": dtype.is_temporal(),
        "boolean": summary.levels is not None and len(summary.levels) <= 2,
    }
    if kind is not None and not fits.get(kind, True):
        msg = f"column {summary.name!r} cannot be read as {kind}: it holds {dtype}"
        raise DataError(f"{msg}, e.g. {summary.examples[:3]}")


def _condition_codec(
    summary: ColumnSummary, sample: pl.Series, options: TableOptions
) -> CategoricalCodec:
    """Return the codec of the condition's column."""
    levels = summary.levels
    classes = (0 if levels is None else len(levels)) + (summary.present < summary.rows)
    if levels is None or classes > MAX_CLASSES:
        count = f"more than {MAX_CLASSES}" if levels is None else classes
        msg = f"the condition {summary.name!r} must have at most {MAX_CLASSES} classes, got {count}"
        raise DataError(f"{msg}; choose another column")
    return options.category(summary, sample)
