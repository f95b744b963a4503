"""A table's schema: relations, kinds and cells of its columns, inferred from their values."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from pushforward.data.numeric import Ints
from pushforward.data.tables.constraints import (
    Combination,
    Constraint,
    ConstraintSet,
    Derived,
    Lookup,
    RelationFinder,
    is_clock,
    tested_rows,
)
from pushforward.data.tables.constraints.language import can_be_named
from pushforward.data.tables.frames import FrameFormat
from pushforward.data.tables.schema import TableSchema
from pushforward.data.tables.schema_builder import SchemaBuilder
from pushforward.data.tables.table_options import TableOptions, require_usable
from pushforward.data.tables.table_text import parse_table
from pushforward.errors import DataError


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
        require_usable(name, dtype)
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
