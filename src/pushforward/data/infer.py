"""What the columns of a table are: inferred from their values, overridden by the user."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pushforward.data import text
from pushforward.data.columns import Category, Column, Number
from pushforward.data.frames import Make
from pushforward.data.identifiers import Identifier, looks_like_identifiers
from pushforward.data.partition import WHOLE, Ints
from pushforward.data.tables import TableSchema
from pushforward.data.text import Spelling
from pushforward.errors import DataError, nearest

KINDS = ("categorical", "numeric", "integer", "datetime", "boolean", "identifier")
CLASSES = 100  # most classes that a condition may have
NAMES = 1000  # rows from which on integers that all differ are remarked upon


def fit_table(
    frame: pl.DataFrame,
    train: Ints,
    *,
    condition: str | None = None,
    overrides: Mapping[str, str] | None = None,
    spelling: Spelling | None = None,
    make: Make | None = None,
) -> tuple[TableSchema, list[str]]:
    """Learn a schema: what there is from all rows, how often from the training rows.

    Returns the schema, and notes on what was noticed.
    """
    kinds = dict(overrides or {})
    _refuse_unknown(frame, condition, kinds)
    spelling = spelling or Spelling()
    columns: list[Column] = []
    identifiers: list[Identifier] = []
    classes: Category | None = None
    notes: list[str] = []
    for series in frame.iter_columns():
        kind = kinds.get(series.name) or _kind(series)
        values, spelling = _overridden(series, kinds.get(series.name), spelling)
        if series.name == condition:
            classes = _classes(values, train)
        elif kind == "identifier":
            identifiers.append(Identifier.fit(values))
        elif kind in ("categorical", "boolean"):
            columns.append(Category.fit(values, train))
        else:
            number = Number.fit(values, train, spelling)
            columns.append(number)
            notes += _coarse(values, number)
        notes += _notes(values, kind, series.name == condition)
    return TableSchema(frame.columns, columns, identifiers, classes, make), notes


def _refuse_unknown(frame: pl.DataFrame, condition: str | None, kinds: Mapping[str, str]) -> None:
    """Raise DataError for a column or a kind that there is not."""
    for name in [*kinds, *([] if condition is None else [condition])]:
        if name not in frame.columns:
            raise DataError(f"no column {name!r}; {nearest(name, frame.columns)}")
    for name, kind in kinds.items():
        if kind not in KINDS:
            raise DataError(f"column {name!r} cannot be {kind!r}; {nearest(kind, KINDS)}")


def _kind(values: pl.Series) -> str:
    """Return what a column is."""
    dtype = values.dtype
    if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
        msg = f"column {values.name!r} must hold numbers, text, truth values or times, got {dtype}"
        raise DataError(msg)
    if dtype in (pl.Categorical, pl.Enum, pl.Boolean, pl.Null):
        return "categorical"
    if dtype == pl.String:
        return "identifier" if looks_like_identifiers(values) else "categorical"
    return "numeric"


def _overridden(
    values: pl.Series, kind: str | None, spelling: Spelling
) -> tuple[pl.Series, Spelling]:
    """Return the values as the user wants them read."""
    if kind == "datetime" and values.dtype == pl.String:
        values, spelled = text.dates(values)
        spelling = spelling.dated(values.name, spelled)
    elif kind in ("numeric", "integer") and values.dtype == pl.String:
        values = _numbers(values)
    _refuse_misfit(values, kind)
    return values, spelling


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


def _refuse_misfit(values: pl.Series, kind: str | None) -> None:
    """Raise DataError when values cannot be of the kind that the user asks for."""
    dtype = values.dtype
    fits = {
        "numeric": dtype.is_numeric() or dtype.is_temporal(),
        "integer": dtype.is_integer() or (dtype.is_float() and _whole(values)),
        "datetime": dtype.is_temporal(),
        "boolean": values.drop_nulls().n_unique() <= 2,
    }
    if kind is not None and not fits.get(kind, True):
        msg = f"column {values.name!r} cannot be read as {kind}: it holds {dtype}"
        raise DataError(f"{msg}, e.g. {values.drop_nulls().head(3).to_list()}")


def _whole(values: pl.Series) -> bool:
    """Tell whether all numbers are integers."""
    return bool((values.fill_nan(None).drop_nulls() % 1 == 0).all())


def _classes(values: pl.Series, train: Ints) -> Category:
    """Return the codec of the condition's column."""
    found = values.n_unique()
    if found > CLASSES:
        msg = f"the condition {values.name!r} must have at most {CLASSES} classes, got {found}"
        raise DataError(f"{msg}; choose another column")
    return Category.fit(values, train)


def _coarse(values: pl.Series, number: Number) -> list[str]:
    """Return a note when times span too long to be exact to their last digit."""
    if not values.dtype.is_temporal() or not (values.to_physical() % number.unit != 0).any():
        return []
    return [f"column {values.name!r} spans more than 2^53 ticks; its times are cut to fewer digits"]


def _notes(values: pl.Series, kind: str, is_condition: bool) -> list[str]:
    """Return what a user should know about a column."""
    nan = values.dtype.is_float() and bool(values.is_nan().any())
    present = (values.fill_nan(None) if nan else values).drop_nulls()
    distinct = present.n_unique()
    numbered = kind == "numeric" and values.dtype.is_integer()
    remarks = {
        "holds identifiers: generated fresh by their pattern, none stored": kind == "identifier",
        "is all missing; it is kept as it is (warning: nothing to learn)": not distinct,
        "has both NaN and null; both come back as null": nan and bool(values.null_count()),
        f"has {distinct} categories; the rarer ones share one cell": (
            kind == "categorical" and distinct > WHOLE
        ),
        "has integers that all differ; if they are names, override it as identifier": (
            numbered and distinct == len(values) >= NAMES
        ),
    }
    said = [remark for remark, applies in remarks.items() if applies and not is_condition]
    return [f"column {values.name!r} {remark}" for remark in said]
