"""CSV files: the dialect is found, each line is checked, then each column gets its type."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import polars as pl

from pushforward.data.tables.frames import by_name, refuse_duplicates, refuse_patterns
from pushforward.data.tables.number_text import MISSING
from pushforward.data.tables.table_text import CATEGORIES, noted
from pushforward.data.tables.text_types import (
    ParsedColumn,
    TextFormats,
    parse_text,
    settle_dates,
)
from pushforward.errors import DataError

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
GZIP_MAGIC = b"\x1f\x8b"
BINARY_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"PK\x03\x04", b"PAR1", b"%PDF")
SEPARATORS = ",;\t|"
SNIFFED_LINES = 20
NO_HEADER = "read it with --no-header (header=False)"
YEARS = range(1500, 2200)
MIN_SERIES = 3  # names that ascend are a series


@dataclass(frozen=True)
class CsvTable:
    """What a CSV file holds.

    Args:
        frame: its columns, typed.
        text_formats: how numbers and times are written, and the separator.
        notes: remarks for the user.
    """

    frame: pl.DataFrame
    text_formats: TextFormats
    notes: tuple[str, ...] = ()


def read_csv(
    path: Path, *, header: bool = True, kinds: Mapping[str, str] | None = None
) -> CsvTable:
    """Read a CSV or TSV file in UTF-8, gzipped or not.

    The separator is a comma, semicolon, tab, bar or blank, whichever divides the first lines
    alike. Blanks around values are dropped, unless they are quoted. Without a `header` the columns
    are called column_1, column_2, ... A column that is stated to be of categories (`kinds`, by
    name) stays text unless its type is written as the text is.
    """
    text = _decoded(path)
    separator = _separator(text)
    text, blanks = _without_blanks(text, separator)
    names, has_blank_lines = _checked_header(path, text, separator, header=header)
    frame = _text_frame(path, text, separator, header=header)[:, : len(names)]
    frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    if blanks:
        frame = frame.with_columns(pl.all().str.strip_chars(" "))
    frame = frame.with_columns(pl.all().replace("", None))
    if has_blank_lines and frame.width > 1:
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    table = _typed(frame, separator, kinds or {})
    header_notes = _header_notes(table.frame, separator) if header else []
    notes = [*header_notes, *_blank_notes(blanks), *table.notes]
    return CsvTable(table.frame, table.text_formats, tuple(notes))


def _decoded(path: Path) -> str:
    """Return the text of a file; DataError when it is empty, binary or not in UTF-8."""
    data = path.read_bytes()
    if data.startswith(GZIP_MAGIC):
        data = gzip.decompress(data)
    if not data.startswith(UTF_16_MARKS) and (data.startswith(BINARY_MAGIC) or b"\0" in data):
        msg = f"{path} is a binary file, not text; a table must be CSV in UTF-8, or Parquet"
        raise DataError(msg)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    except UnicodeDecodeError as error:
        msg = (
            f"{path} must be in UTF-8, and its byte {error.start + 1} (0x{data[error.start]:02x}) "
            "is not; convert it, e.g. `iconv -f latin1 -t utf-8` if it is in Latin-1"
        )
        raise DataError(msg) from None
    if not text.strip():
        raise DataError(f"{path} is empty; a table needs a line of column names, then rows")
    return text


def _separator(text: str) -> str:
    """Return what divides the first lines into the same number of fields, most of them first.

    Where none does, the most frequent one of the first line, so that a ragged line is reported.
    """
    lines = [line for line in text.split("\n", SNIFFED_LINES)[:SNIFFED_LINES] if line.strip()]
    widths = {mark: _widths(lines, mark) for mark in SEPARATORS}
    even = [mark for mark, width in widths.items() if len(width) == 1 and max(width) > 1]
    if even:
        return max(even, key=lambda mark: max(widths[mark]))
    if not any(mark in lines[0] for mark in SEPARATORS):
        blanks = _widths(lines, " ")
        return " " if len(blanks) == 1 and max(blanks) > 1 and len(lines) > 1 else ","
    return max(SEPARATORS, key=lines[0].count)


def _widths(lines: list[str], mark: str) -> set[int]:
    """Return the numbers of fields of some lines; a last one that is torn does not count."""
    try:
        rows = list(csv.reader(lines, delimiter=mark, skipinitialspace=True))
    except csv.Error:
        return set()
    return {len(row) for row in rows if row}


def _without_blanks(text: str, separator: str) -> tuple[str, bool]:
    """Return the text with quotes right behind separators, and whether blanks surround values."""
    if separator in " \t":
        return text, False
    mark = re.escape(separator)
    lines = text.split("\n", SNIFFED_LINES)[:SNIFFED_LINES]
    blanks = any(re.search(f"{mark} | {mark}|^ | $", line) for line in lines)
    if not blanks:
        return text, False
    if re.search(f'(?:^|{mark})"(?: |[^"]* ")', text, re.MULTILINE):
        return text, False  # blanks that are quoted are the user's
    if re.search(f'{mark} +"', text):  # a quote must stand right behind the separator
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        out = io.StringIO()
        csv.writer(out, delimiter=separator, lineterminator="\n").writerows(rows)
        text = out.getvalue()
    return text, True


def _checked_header(
    path: Path, text: str, separator: str, *, header: bool
) -> tuple[list[str], bool]:
    """Return the column names, and whether there are blank lines; DataError for ragged rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    first = [name.strip() or name for name in next(reader)]
    names = first if header else [f"column_{i + 1}" for i in range(len(first))]
    rows, has_blank_lines = int(not header), False
    try:
        for row in reader:
            if not row:
                has_blank_lines = True
                continue
            if not rows and not names[-1].strip() and len(row) == len(names) - 1:
                names.pop()  # a separator ends the header, and no row
            if len(row) != len(names):
                msg = (
                    f"{path}, line {reader.line_num}: got {len(row)} fields, and the header names "
                    f"{len(names)} columns; fix the line"
                )
                raise DataError(msg)
            rows += 1
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    refuse_patterns(names)
    refuse_duplicates(names, f", or, if the first line of {path} is data, {NO_HEADER}")
    if not rows:
        raise DataError(f"{path} has a header only; a table needs rows below it")
    return names, has_blank_lines


def _text_frame(path: Path, text: str, separator: str, *, header: bool) -> pl.DataFrame:
    try:
        return pl.read_csv(
            io.BytesIO(text.encode()),
            infer_schema=False,
            separator=separator,
            has_header=header,
            truncate_ragged_lines=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        msg = f"{path} cannot be read as CSV: {str(error).splitlines()[0]}"
        raise DataError(msg) from None


def _typed(frame: pl.DataFrame, separator: str, kinds: Mapping[str, str]) -> CsvTable:
    """Give each column of text the type that fits all of its values."""
    columns = frame.get_columns()
    categories = {name for name, kind in kinds.items() if kind in CATEGORIES}
    parsed = [_parsed(c, separator, is_category=c.name in categories) for c in columns]
    parsed = settle_dates(columns, parsed)
    formats, notes = noted(zip(columns, parsed, strict=True), TextFormats(separator=separator))
    return CsvTable(by_name(found.values for found in parsed), formats, tuple(notes))


def _parsed(column: pl.Series, separator: str, *, is_category: bool) -> ParsedColumn:
    """Return a column of text as its type; a category only if it is written as it was spelled."""
    text = column.drop_nulls().str.strip_chars()
    if len(text) and text.is_in(["true", "false"]).all():
        found = ParsedColumn(column.str.strip_chars() == "true")
    else:
        found = parse_text(column, decimal_comma=separator == ";")
    respelled = is_category and not found.values.cast(pl.String).equals(column)
    return ParsedColumn(column) if respelled else found


def _header_notes(frame: pl.DataFrame, separator: str) -> list[str]:
    """Return a note when the names look like a row of data."""
    names = frame.columns
    told = [column for column in frame.iter_columns() if _is_told(column.dtype)]
    present = [column for column in told if column.name and not re.match(MISSING, column.name)]
    fitting = all(_looks_like_value(column, separator) for column in present)
    if not (present and fitting) or _ascend(column.name for column in present):
        return []
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    return [f"check: the first line names the columns: {shown}; if it is data, {NO_HEADER}"]


def _is_told(dtype: pl.DataType) -> bool:
    """Whether data of a dtype are told from names: any text may be a name."""
    return dtype.is_numeric() or dtype.is_temporal()


def _looks_like_value(column: pl.Series, separator: str) -> bool:
    """Whether a column's name may be one of its numbers or times; `inf` is a name."""
    if not re.search(r"\d", column.name):
        return False
    found = _parsed(pl.Series([column.name]), separator, is_category=False).values.dtype
    return found == column.dtype or (found.is_numeric() and column.dtype.is_numeric())


def _ascend(names: Iterable[str]) -> bool:
    """Whether names are years in ascending order, or integers at equal distances: 0, 1, 2, ..."""
    texts = list(names)
    if len(texts) < MIN_SERIES or not all(re.fullmatch(r"\d+", text) for text in texts):
        return False
    numbers = [int(text) for text in texts]
    steps = [after - before for before, after in pairwise(numbers)]
    are_years = all(number in YEARS for number in numbers)
    return min(steps) > 0 and (are_years or len(set(steps)) == 1)


def _blank_notes(blanks: bool) -> list[str]:
    return ["blanks around names and values that are not quoted are dropped"] if blanks else []
