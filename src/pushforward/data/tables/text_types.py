"""What a column of text holds: numbers, dates or times, with the way in which they are written.

It is the same question for a CSV file and for a data frame of text, and gets the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

import polars as pl

from pushforward.data.tables.number_text import NumberFormat, parse_numbers
from pushforward.data.tables.time_text import (
    date_layout,
    is_day_first,
    parse_times,
    with_order,
)

PLAINLY_MISSING = ("", "nan", "null", "none")  # which goes without saying


@dataclass(frozen=True)
class TextFormats:
    """How the numbers and times of a table are written, by column.

    Args:
        numbers: formats of numbers that are not written as Python does.
        times: strftime formats.
        held: the columns that the user's data frame holds as text.
        separator: of a CSV file; None for a data frame.
        missing: the texts, such as "?", that are read as missing, by column.
    """

    numbers: Mapping[str, NumberFormat] = field(default_factory=dict)
    times: Mapping[str, str] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    separator: str | None = None
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """A note on the texts that are read as missing, if there are any."""
        marks = sorted(set(chain(*self.missing.values())))
        if not marks:
            return []
        columns = ", ".join(map(repr, islice(self.missing, 5))) + ", ..." * (len(self.missing) > 5)
        read = ", ".join(map(repr, marks))
        return [f"read as missing among numbers, and given back as empty: {read} (in {columns})"]

    def with_column(self, parsed: ParsedColumn, *, held: bool = False) -> TextFormats:
        """Return the formats with those of one more column; `held`: a data frame's own text."""
        name = parsed.values.name
        number, time = parsed.number_format, parsed.time_format
        return replace(
            self,
            numbers={**self.numbers, **({} if number is None else {name: number})},
            times={**self.times, **({} if time is None else {name: time})},
            held=self.held | ({name} if held else set()),
            missing={**self.missing, **({name: parsed.missing} if parsed.missing else {})},
        )


@dataclass(frozen=True)
class ParsedColumn:
    """A column of text, read.

    Args:
        values: numbers or times, or the text where it is neither.
        number_format, time_format: how they are written.
        note: for the user: what could be read in two ways, and how it was.
        missing: the texts, such as "?", that are read as missing.
    """

    values: pl.Series
    number_format: NumberFormat | None = None
    time_format: str | None = None
    note: str | None = None
    missing: tuple[str, ...] = ()

    @classmethod
    def of_times(cls, column: pl.Series, known: str | None = None) -> ParsedColumn:
        """Return a column as times, of the `known` format where there is one; else unchanged."""
        times, time_format, note = parse_times(column, known)
        return cls(times if time_format else column, None, time_format, _check(column, note))

    @property
    def is_undecided(self) -> bool:
        """Whether day and month of its dates may change places."""
        return self.time_format is not None and self.note is not None

    @property
    def is_text(self) -> bool:
        """Whether it is text after all."""
        return self.values.dtype == pl.String


def parse_text(column: pl.Series, *, decimal_comma: bool = False) -> ParsedColumn:
    """Return a column of text as numbers or times, where all of its values are."""
    numbers = parse_numbers(column, decimal_comma=decimal_comma)
    if numbers is not None:
        values, number_format, note = numbers
        note, missing = _check(column, note), _missing(column, values)
        return ParsedColumn(values, number_format, None, note, missing)
    return ParsedColumn.of_times(column)


def _missing(text: pl.Series, numbers: pl.Series) -> tuple[str, ...]:
    """Return the texts that are read as missing, but for those that every reader takes for it."""
    lost = text.filter(numbers.is_null()).drop_nulls().str.strip_chars().unique().sort()
    return tuple(mark for mark in lost if mark.lower() not in PLAINLY_MISSING)


def _check(column: pl.Series, note: str | None) -> str | None:
    return note and f"check: column {column.name!r} {note}"


def settle_dates(
    columns: Sequence[pl.Series], parsed: Sequence[ParsedColumn]
) -> list[ParsedColumn]:
    """Return the columns of a table, day and month told apart by other columns where need be.

    A column that leaves them open follows those of the same layout that do not, if these agree.
    """
    decided: dict[str, dict[bool, str]] = {}
    for found in parsed:
        layout = found.time_format and date_layout(found.time_format)
        if layout and found.time_format and not found.is_undecided:
            day_first = is_day_first(found.time_format)
            decided.setdefault(layout, {}).setdefault(day_first, found.values.name)
    return [_settled(*both, decided) for both in zip(columns, parsed, strict=True)]


def _settled(
    column: pl.Series, found: ParsedColumn, decided: Mapping[str, Mapping[bool, str]]
) -> ParsedColumn:
    """Return a column of dates in the order of day and month that others of its layout have."""
    form = found.time_format
    orders = decided.get(date_layout(form) or "", {}) if form and found.is_undecided else {}
    if form is None or len(orders) != 1:
        return found
    ((day_first, other),) = orders.items()
    settled = ParsedColumn.of_times(column, with_order(form, day_first=day_first))
    example, first = column.drop_nulls()[0], "day" if day_first else "month"
    note = f"reads {example!r} with the {first} first, as those of column {other!r} are written"
    return replace(settled, note=f"column {column.name!r} {note}")
