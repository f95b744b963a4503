"""The kinds of a table's columns: inferred from their values, overridden by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import get_args

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
from pushforward.data.tables.columns import CategoricalCodec, RareHandling
from pushforward.data.tables.constraints import (
    Combination,
    Constraint,
    ConstraintSet,
    Derived,
    Lookup,
    PartsStep,
    RelationFinder,
    Repeat,
    find_repeats,
    is_clock,
    tested_rows,
)
from pushforward.data.tables.constraints.language import can_be_named
from pushforward.data.tables.frames import FrameFormat
from pushforward.data.tables.identifiers import (
    Identifier,
    counts_rows,
    is_integer_key,
    looks_like_identifiers,
)
from pushforward.data.tables.information import coarse_codes
from pushforward.data.tables.metadata import Metadata
from pushforward.data.tables.model_order import in_model_order
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.partition import MIN_POOLED_ROWS
from pushforward.data.tables.recurring import with_names
from pushforward.data.tables.schema import TableSchema
from pushforward.data.tables.table_text import parse_table
from pushforward.data.tables.text_types import TextFormats
from pushforward.errors import DataError, nearest

COLUMN_KINDS = ("categorical", "numeric", "integer", "datetime", "boolean", "identifier")
MAX_CLASSES = 100  # of a condition
MAX_BESIDE = 100  # columns of which parts of a time may tell


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
        _require_usable(name, dtype)
        return ColumnSummary(name, dtype, self.stated_kinds.get(name))

    def category(self, summary: ColumnSummary, sample: pl.Series) -> CategoricalCodec:
        """Learn a column of categories."""
        plain_text = summary.name not in self.objects
        return CategoricalCodec.fit(summary, sample, self.rare, names_rare=plain_text)


def _require_usable(name: str, dtype: pl.DataType) -> None:
    """Raise DataError for a dtype that no column of a table can have."""
    if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
        msg = f"column {name!r} must hold numbers, text, truth values or times, got {dtype}"
        raise DataError(msg)
    if str(dtype) in ("Int128", "UInt128"):  # NumPy has no such integers
        msg = f"column {name!r} must hold integers of at most 64 bits, got {dtype}; cast it"
        raise DataError(f"{msg} to Int64 or, if they are names, to String")


def fit_table(
    frame: pl.DataFrame,
    train: Ints,
    options: TableOptions | None = None,
    frame_format: FrameFormat | None = None,
) -> tuple[TableSchema, list[str]]:
    """Learn a schema: levels and ranges from all rows, frequencies from the training rows.

    Returns the schema, and notes for the user.
    """
    options = options or TableOptions()
    options.validate(frame.columns)
    options.metadata.validate_values(frame)
    frame, formats, notes = parse_table(frame, options.text_formats, options.stated_kinds)
    options = replace(options, text_formats=formats)
    for name, dtype in frame.schema.items():
        _require_usable(name, dtype)
    if options.relations:
        found = find_relations(frame, options)
        options = replace(options, constraints=(*options.constraints, *found))
        notes += map(_relation_note, found)
    names, constraint_set = frozenset(frame.columns), _constraint_set(frame, train, options)
    options = replace(options, kinds={**options.kinds, **constraint_set.rest_kinds})
    clocks = frozenset(
        values.name
        for values in frame.iter_columns()
        if values.dtype.is_numeric() and is_clock(values)
    )
    modelled = constraint_set.transform(frame)
    beside = modelled[train[tested_rows(len(train))]]
    builder = SchemaBuilder(
        options, names, constraint_set, clocks=clocks, beside=beside, notes=notes
    )
    for values in modelled.iter_columns():
        combination = builder.constraint_set.combination_codec(values, train)
        if combination is not None:
            builder.columns.append(combination)
            continue
        summary = options.empty_summary(values.name, values.dtype)
        summary.add(values)
        builder.add(summary, values[train])
    if options.relations:
        builder.add_repeats(modelled, train)
    notes = [*builder.notes, *builder.constraint_set.notes]
    return builder.schema(frame.columns, frame_format), notes


def find_relations(frame: pl.DataFrame, options: TableOptions) -> list[Constraint]:
    """Return the relations between columns that hold in every row, and that the user may state.

    Columns of stated constraints, the condition and columns of a stated kind that is not a number
    or a time are not computed; keys are no operands. Columns that the language of constraints
    cannot name take no part.
    """
    stated = {name for constraint in options.constraints for name in constraint.columns}
    operands, categories = [], []
    for values in frame.iter_columns():
        if not can_be_named(values.name):
            continue
        kind = options.kinds.get(values.name)
        if values.dtype.is_numeric() or values.dtype.is_temporal():
            is_number = kind not in ("categorical", "boolean", "identifier")
            operands += [values.name] if is_number and values.name != options.condition else []
        elif kind != "identifier" and options.rare != "name":  # factors would store rare categories
            categories.append(values.name)
    computed = set(operands) - stated
    looked_up = computed | set(categories) - stated - {options.condition} - options.kinds.keys()
    found = RelationFinder(
        frame, operands, computed, categories, looked_up, options.text_formats
    ).find()
    # which would store combinations of few rows
    return [c for c in found if options.rare != "name" or not isinstance(c, Combination)]


def _relation_note(relation: Constraint) -> str:
    """Return the note on a relation that was found."""
    told = "(relations=False, or --no-relations, to model the columns freely)"
    if isinstance(relation, Derived | Lookup):
        how = "looked up" if isinstance(relation, Lookup) else "computed"
        return f"{relation} in every row: it is {how}, not modelled {told}"
    if isinstance(relation, Combination):
        month, day = relation.members
        return f"{month} and {day} are dates: {relation}, so that those of the rows occur {told}"
    return f"{relation} in every row: generated rows keep to it {told}"


def _constraint_set(frame: pl.DataFrame, train: Ints, options: TableOptions) -> ConstraintSet:
    """Learn what is needed to satisfy the constraints; DataError for combinations of rare ones."""
    combined = [str(c) for c in options.constraints if isinstance(c, Combination | Lookup)]
    if combined and options.rare == "name":
        msg = f"rare='name' stores no rare category, and {combined[0]!r} stores all of its columns"
        raise DataError(f"{msg}; leave one of the two out")
    return ConstraintSet.fit(
        frame,
        train,
        options.constraints,
        condition=options.condition,
        kinds=options.kinds,
        text_formats=options.text_formats,
    )


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
        found = with_names(codec, numbers, tested_rows(len(numbers)), self._beside(name))
        if found is not codec:
            self.notes.append(f"column {codec.name!r}: its values are names, each with a cell")
        return found

    def add_repeats(self, modelled: pl.DataFrame, train: Ints) -> None:
        """Find which numbers repeat others in some rows; before each a column says which."""
        self.columns = in_model_order(self.columns, self._leaders())
        codecs = self._own_numbers()
        numbers = {n: codec.encode(modelled[n][train]) for n, codec in codecs.items()}
        for column, sources in find_repeats(numbers).items():
            name = f"{column} is"
            while name in self.names:
                name += "'"
            repeat = Repeat(column, sources, name)
            told = repeat.told(modelled)
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
        names = [n for n in own if n in self.names and own[n].dtype.is_numeric()]
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
