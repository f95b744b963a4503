"""What a column of text holds: numbers, dates or times, with the way in which they are written.

It is the same question for a CSV file and for a data frame of text, and gets the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from pushforward.data.tables.number_text import NumberFormat, parse_numbers
from pushforward.data.tables.time_text import parse_times


@dataclass(frozen=True)
class TextFormats:
    """How the numbers and times of a table are written, by column.

    Args:
        numbers: formats of numbers that are not written as Python does.
        times: strftime formats.
        held: the columns that the user's data frame holds as text.
        separator: of a CSV file; None for a data frame.
    """

    numbers: Mapping[str, NumberFormat] = field(default_factory=dict)
    times: Mapping[str, str] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    separator: str | None = None

    def with_column(self, parsed: ParsedColumn, *, held: bool = False) -> TextFormats:
        """Return the formats with those of one more column; `held`: a data frame's own text."""
        name = parsed.values.name
        number, time = parsed.number_format, parsed.time_format
        return replace(
            self,
            numbers={**self.numbers, **({} if number is None else {name: number})},
            times={**self.times, **({} if time is None else {name: time})},
            held=self.held | ({name} if held else set()),
        )


@dataclass(frozen=True)
class ParsedColumn:
    """A column of text, read.

    Args:
        values: numbers or times, or the text where it is neither.
        number_format, time_format: how they are written.
        note: what could be read in two ways, and how it was.
    """

    values: pl.Series
    number_format: NumberFormat | None = None
    time_format: str | None = None
    note: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is text after all."""
        return self.values.dtype == pl.String


def parse_text(column: pl.Series, *, decimal_comma: bool = False) -> ParsedColumn:
    """Return a column of text as numbers or times, where all of its values are."""
    numbers = parse_numbers(column, decimal_comma=decimal_comma)
    if numbers is not None:
        values, number_format, note = numbers
        return ParsedColumn(values, number_format, None, note)
    times, time_format, note = parse_times(column)
    return ParsedColumn(times, None, time_format, note)
