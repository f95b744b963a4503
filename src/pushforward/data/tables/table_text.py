"""The text of a table: each column gets the type that all of its values fit, or that is stated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from pushforward.data.tables.frames import by_name
from pushforward.data.tables.text_types import (
    ParsedColumn,
    TextFormats,
    parse_text,
    settle_dates,
)
from pushforward.errors import DataError

CATEGORIES = ("categorical", "boolean", "identifier")  # kinds whose text stays as it is spelled
NUMBERS = ("numeric", "integer")


def parse_table(
    frame: pl.DataFrame, formats: TextFormats, kinds: Mapping[str, str]
) -> tuple[pl.DataFrame, TextFormats, list[str]]:
    """Return a table with text read as numbers and times, the formats of these, and notes."""
    columns = frame.get_columns()
    parsed = [parse_column(c, kinds.get(c.name), formats.times.get(c.name)) for c in columns]
    parsed = settle_dates(columns, parsed)
    formats, notes = noted(zip(columns, parsed, strict=True), formats)
    return by_name(found.values for found in parsed), formats, notes


def noted(
    columns: Iterable[tuple[pl.Series, ParsedColumn]], formats: TextFormats
) -> tuple[TextFormats, list[str]]:
    """Return the formats of a table with those of columns that were read, and notes on them."""
    notes = []
    for values, found in columns:
        if found.values is not values:
            held = values.dtype == pl.String and formats.separator is None
            formats = formats.with_column(found, held=held)
        notes += [found.note] if found.note else []
    return formats, notes


def parse_column(values: pl.Series, kind: str | None, known: str | None) -> ParsedColumn:
    """Return text as the numbers or times that it is, or that the stated kind says.

    `known` is the format of times that is stated, too; DataError where a value does not fit.
    """
    is_text = values.dtype == pl.String
    if kind == "datetime" and (is_text or (known and values.dtype.is_integer())):
        found = ParsedColumn.of_times(values, known)
        if known and found.time_format is None:
            examples = values.drop_nulls().head(3).to_list()
            msg = f"column {values.name!r} must hold times in the format {known!r}"
            raise DataError(f"{msg}, and some values do not, e.g. {examples}")
        return found
    if not is_text or kind in CATEGORIES:
        return ParsedColumn(values)
    found = parse_text(values)
    if kind in NUMBERS and found.is_text:
        return ParsedColumn(text_as_numbers(values))
    return ParsedColumn(values) if found.is_text else found


def text_as_numbers(values: pl.Series, rows_before: int = 0) -> pl.Series:
    """Return text as numbers; DataError names the first value that is not one.

    `rows_before` rows of the table precede these values.
    """
    stripped = values.str.strip_chars()
    parsed = stripped.cast(pl.Float64, strict=False)
    wrong = (parsed.is_null() & values.is_not_null()).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        msg = f"column {values.name!r} must be numeric, and row {rows_before + row + 1} is"
        raise DataError(f"{msg} {values[row]!r}")
    exact = stripped.cast(pl.Int64, strict=False)
    return exact if exact.null_count() == parsed.null_count() else parsed
