"""What the columns of a table are: inferred from their values, overridden by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import polars as pl

from pushforward.data.tables import text
from pushforward.data.tables.column_summary import Facts
from pushforward.data.tables.columns import EXACT, RARE, Category, Column, Number, Rare
from pushforward.data.tables.constraints import Rules, Statement
from pushforward.data.tables.frames import Make
from pushforward.data.tables.identifiers import Identifier, looks_like_identifiers
from pushforward.data.tables.metadata import Metadata
from pushforward.data.tables.partition import Ints
from pushforward.data.tables.schema import TableSchema
from pushforward.data.tables.text import Spelling
from pushforward.errors import DataError, nearest

KINDS = ("categorical", "numeric", "integer", "datetime", "boolean", "identifier")
CLASSES = 100  # most classes that a condition may have
NAMES = 1000  # rows from which on integers that all differ are remarked upon


@dataclass(frozen=True)
class Wishes:
    """What the user says of a table's columns.

    Args:
        condition: the name of the one that models are conditioned on, or None.
        kinds: what columns are, by name.
        rare: what becomes of rare categories, see `Category.fit`.
        spelling: how a CSV file spells numbers and times.
        constraints: what must hold in every row.
        metadata: what a file of metadata says; its kinds and formats are among the others already.
    """

    condition: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    rare: Rare = "draw"
    spelling: Spelling = field(default_factory=Spelling)
    constraints: tuple[Statement, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)

    def described(self, metadata: Metadata) -> Wishes:
        """Return the wishes with what metadata say, where the user says nothing else."""
        formats = {**metadata.formats, **self.spelling.formats}
        spelling = replace(self.spelling, formats=formats)
        kinds = {**metadata.kinds, **self.kinds}
        return replace(self, kinds=kinds, spelling=spelling, metadata=metadata)

    def check(self, names: Sequence[str]) -> None:
        """Raise DataError for a column, a kind or a way with rare values that there is not."""
        if self.metadata.columns:
            self.metadata.check(names)
        for name in [*self.kinds, *([] if self.condition is None else [self.condition])]:
            if name not in names:
                raise DataError(f"no column {name!r}; {nearest(name, names)}")
        for name, kind in self.kinds.items():
            if kind not in KINDS:
                raise DataError(f"column {name!r} cannot be {kind!r}; {nearest(kind, KINDS)}")
        if self.rare not in get_args(Rare):
            raise DataError(f"rare cannot be {self.rare!r}; {nearest(self.rare, get_args(Rare))}")

    def facts(self, name: str, dtype: pl.DataType) -> Facts:
        """Return the facts, none gathered yet, of a column; DataError when none can be modelled."""
        if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
            msg = f"column {name!r} must hold numbers, text, truth values or times, got {dtype}"
            raise DataError(msg)
        if str(dtype) in ("Int128", "UInt128"):  # NumPy has no such integers
            msg = f"column {name!r} must hold integers of at most 64 bits, got {dtype}; cast it"
            raise DataError(f"{msg} to Int64 or, if they are names, to String")
        return Facts(name, dtype, "categorical" if name == self.condition else self.kinds.get(name))


def fit_table(
    frame: pl.DataFrame, train: Ints, wishes: Wishes | None = None, make: Make | None = None
) -> tuple[TableSchema, list[str]]:
    """Learn a schema: what there is from all rows, how often from the training rows.

    Returns the schema, and notes on what was noticed.
    """
    wishes = wishes or Wishes()
    wishes.check(frame.columns)
    typed, wishes = _typed(frame, wishes)
    draft = Draft(wishes, _rules(typed, train, wishes))
    for values in draft.rules.apply(typed).iter_columns():
        joint = draft.rules.category(values, train)
        if joint is not None:
            draft.columns.append(joint)
            continue
        facts = wishes.facts(values.name, values.dtype)
        facts.add(values)
        draft.fit(facts, values[train])
    return draft.schema(frame.columns, make), [*draft.notes, *draft.rules.notes]


def _rules(frame: pl.DataFrame, train: Ints, wishes: Wishes) -> Rules:
    """Learn what it takes to keep the constraints."""
    return Rules.fit(
        frame,
        train,
        wishes.constraints,
        condition=wishes.condition,
        kinds=wishes.kinds,
        spelling=wishes.spelling,
    )


@dataclass
class Draft:
    """A schema in the making, a column at a time."""

    wishes: Wishes
    rules: Rules = field(default_factory=Rules)
    columns: list[Column] = field(default_factory=list)
    identifiers: list[Identifier] = field(default_factory=list)
    classes: Category | None = None
    notes: list[str] = field(default_factory=list)

    def fit(self, facts: Facts, sample: pl.Series) -> None:
        """Learn a column from the facts of all rows and a sample of the training rows."""
        is_condition = facts.name == self.wishes.condition
        _refuse_misfit(facts, self.wishes.kinds.get(facts.name))
        kind = facts.kind or _kind(facts)
        if is_condition:
            self.classes = _classes(facts, sample, self.wishes.rare)
            return
        remarks = _remarks(facts)
        if kind == "identifier":
            self.identifiers.append(Identifier.fit(facts))
            remarks.append("holds identifiers: generated fresh by their pattern, none stored")
        elif kind in ("categorical", "boolean"):
            category = Category.fit(facts, sample, self.wishes.rare)
            self.columns.append(category)
            remarks += _rare(facts, category, sample)
        else:
            number = Number.fit(facts, sample, self.wishes.spelling)
            self.columns.append(number)
            remarks += _numbered(facts, number, sample)
        self.notes += [f"column {facts.name!r} {remark}" for remark in remarks]

    def schema(self, order: Sequence[str], make: Make | None = None) -> TableSchema:
        """Return the schema of the columns so far."""
        own = (self.identifiers, self.classes, make, self.rules)
        return TableSchema(order, self.columns, *own)


def _kind(facts: Facts) -> str:
    """Return what a column is."""
    if facts.dtype in (pl.Categorical, pl.Enum, pl.Boolean, pl.Null):
        return "categorical"
    if facts.dtype == pl.String:
        return "identifier" if looks_like_identifiers(facts) else "categorical"
    return "numeric"


def _typed(frame: pl.DataFrame, wishes: Wishes) -> tuple[pl.DataFrame, Wishes]:
    """Return a table's text as what the user wants it read as, and how its times are spelled."""
    found = {}
    for series in frame.iter_columns():
        found[series.name], wishes = _overridden(series, wishes)
    return pl.DataFrame(found), wishes


def _overridden(values: pl.Series, wishes: Wishes) -> tuple[pl.Series, Wishes]:
    """Return text as the numbers or times that the user wants it read as."""
    kind = wishes.kinds.get(values.name)
    known = wishes.spelling.formats.get(values.name)
    if kind == "datetime" and (values.dtype == pl.String or (known and values.dtype.is_integer())):
        values, spelled = text.dates(values, known)
        if known and spelled is None:
            msg = f"column {values.name!r} must hold times as in {known!r}, and not all of it does"
            raise DataError(f"{msg}, e.g. {values.drop_nulls().head(3).to_list()}")
        wishes = replace(wishes, spelling=wishes.spelling.dated(values.name, spelled))
    elif kind in ("numeric", "integer") and values.dtype == pl.String:
        values = _numbers(values)
    return values, wishes


def _numbers(values: pl.Series) -> pl.Series:
    """Return text as numbers; DataError names the first that is none."""
    stripped = values.str.strip_chars()
    parsed = stripped.cast(pl.Float64, strict=False)
    wrong = (parsed.is_null() & values.is_not_null()).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        msg = f"column {values.name!r} must be numeric, and row {row + 1} is {values[row]!r}"
        raise DataError(msg)
    exact = stripped.cast(pl.Int64, strict=False)
    return exact if exact.null_count() == parsed.null_count() else parsed


def _refuse_misfit(facts: Facts, kind: str | None) -> None:
    """Raise DataError when values cannot be of the kind that the user asks for."""
    dtype = facts.dtype
    fits = {
        "numeric": dtype.is_numeric() or dtype.is_temporal(),
        "integer": dtype.is_integer() or (dtype.is_float() and facts.reals.digits == 0),
        "datetime": dtype.is_temporal(),
        "boolean": facts.levels is not None and len(facts.levels) <= 2,
    }
    if kind is not None and not fits.get(kind, True):
        msg = f"column {facts.name!r} cannot be read as {kind}: it holds {dtype}"
        raise DataError(f"{msg}, e.g. {facts.examples[:3]}")


def _classes(facts: Facts, sample: pl.Series, rare: Rare) -> Category:
    """Return the codec of the condition's column."""
    found = (0 if facts.levels is None else len(facts.levels)) + (facts.present < facts.rows)
    if facts.levels is None or found > CLASSES:
        counted = f"more than {CLASSES}" if facts.levels is None else found
        msg = f"the condition {facts.name!r} must have at most {CLASSES} classes, got {counted}"
        raise DataError(f"{msg}; choose another column")
    return Category.fit(facts, sample, rare)


def _remarks(facts: Facts) -> list[str]:
    """Return what a user should know about any column."""
    said = {
        "is all missing; it is kept as it is (warning: nothing to learn)": not facts.present,
        "has both NaN and null; both come back as null": facts.nans > 0 and facts.nulls > 0,
    }
    return [remark for remark, applies in said.items() if applies]


def _rare(facts: Facts, column: Category, sample: pl.Series) -> list[str]:
    """Return a note that counts the rare values, where there are any."""
    found = 0 if facts.levels is None else len(facts.levels)
    cells = column.partition
    if not column.nameless:
        few, share = int(column.rare.sum()), float(cells.mass[column.rare].sum())
        fate = "share one cell, and are generated as often as they occur (rare='draw')"
    elif RARE in column.levels:
        few = found - len(column.levels) + 1
        share = float(cells.mass[column.levels.index(RARE)])
        fate = f"are generated as {RARE!r}, and none is stored (rare='name')"
    else:
        few, gone = found - len(column.levels), sample.null_count() / max(len(sample), 1)
        share = (cells.missing or 0) - gone
        fate = "are generated as missing, and none is stored (rare='name')"
    told = f"has {found} categories; the {few} rarer ones ({share:.1%} of the rows) {fate}"
    return [told] if few else []


def _numbered(facts: Facts, number: Number, sample: pl.Series) -> list[str]:
    """Return notes on numbers that may be names, or that are too long to be exact."""
    if facts.dtype.is_temporal():
        cut = number.unit != facts.ticks.unit(facts.dtype)
        return ["spans more than 2^53 ticks; its times are cut to fewer digits"] if cut else []
    if not facts.dtype.is_integer():
        return []
    low, high = facts.ticks.low or 0, facts.ticks.high or 0
    distinct = facts.present == facts.rows >= NAMES and sample.n_unique() == len(sample)
    said = {
        "has integers that all differ; if they are names, override it as identifier": distinct,
        f"spans {high - low}, more than 2^53: its integers keep 16 digits; if they are names, "
        "override it as identifier or categorical": high - low > EXACT,
    }
    return [remark for remark, applies in said.items() if applies]
