"""Text too long for memory is read as text that is held: a few texts stand for all of a column.

Whether text is numbers, and how they are written, depends only on its shape: which characters are
digits, and which digits are zero. Whether it is times depends on its dates and its times of day,
one apart from the other. So the first text of each shape, and of each date and each time of day,
gives the same type, format and note as all texts do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import polars as pl

from pushforward.data.tables.number_text import is_missing, parse_numbers, read_numbers
from pushforward.data.tables.table_text import NUMBERS, parse_column, text_as_numbers
from pushforward.data.tables.text_types import ParsedColumn
from pushforward.data.tables.time_text import CLOCK, parse_times

LONG = 19  # characters from which an integer may not fit 64 bits, whatever its shape
FRACTION = r"\.\d+"


@dataclass
class TextProbe:
    """The texts of a column that decide what it holds, gathered in batches.

    Args:
        texts: those that stand for all so far.
        numbers, times: whether all may be numbers, or times; what they are not they never become.
    """

    texts: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.String))
    numbers: bool = True
    times: bool = True

    def add(self, values: pl.Series) -> None:
        """Add the next texts."""
        if not (self.numbers or self.times):
            return
        known = len(self.texts)
        both = pl.concat([self.texts, values.drop_nulls().unique(maintain_order=True).alias("")])
        first = [key.is_first_distinct() for key in self._keys(both.str.strip_chars())]
        fresh = both.slice(known).filter(_any(first).slice(known))
        self.texts = pl.concat([self.texts, fresh])
        self._narrow(pl.concat([self.texts.head(1), fresh]))

    def _keys(self, texts: pl.Series) -> Iterator[pl.Series]:
        """Yield what texts must have in common to stand for each other."""
        if self.numbers:
            shapes = texts.str.replace_all("[1-9]", "1")
            yield shapes.zip_with(texts.str.len_chars() < LONG, texts)
        if self.times:
            clocks = texts.str.extract(CLOCK.pattern, 0).fill_null("")
            fractions = clocks.str.extract(f"({FRACTION})").fill_null("")
            yield texts.str.replace(CLOCK.pattern, "")
            yield clocks.str.replace(FRACTION, "") + fractions.str.replace_all(r"\d", "0")

    def _narrow(self, fresh: pl.Series) -> None:
        """See what the texts may still be; those that stand for missing numbers leave that open."""
        if self.numbers and not is_missing(fresh).all():
            self.numbers = parse_numbers(fresh) is not None
        if self.times and len(fresh):
            self.times = parse_times(fresh)[1] is not None


def _any(masks: Iterable[pl.Series]) -> pl.Series:
    found, *others = masks
    for mask in others:
        found = found | mask
    return found


@dataclass(frozen=True)
class TextReader:
    """Reads all texts of a column as those that decided what it holds.

    Args:
        found: what they are.
        dtype: of the result.
        kind, known: the kind and the format of times that are stated, or None.
    """

    found: ParsedColumn
    dtype: pl.DataType
    kind: str | None = None
    known: str | None = None

    def read(self, values: pl.Series, rows_before: int) -> pl.Series:
        """Return texts, which `rows_before` rows precede; DataError for one of another kind."""
        if self.known is not None:
            return parse_column(values, self.kind, self.known).values
        if self.found.time_format is not None:
            return parse_times(values, self.found.time_format)[0]
        if self.kind in NUMBERS and self.found.is_text:
            return text_as_numbers(values, rows_before).cast(self.dtype)
        return read_numbers(values, self.found.number_format, self.dtype)
