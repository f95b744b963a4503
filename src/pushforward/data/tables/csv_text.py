"""CSV files: checked line by line, then typed so that writing the values gives the same text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from pushforward.data.tables.frames import refuse_duplicates
from pushforward.errors import DataError

INTEGER = r"^[+-]?(0|[1-9][0-9]*)$"  # 007 is a name, not a number
NUMBER = r"^[+-]?(((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|(?i:inf|infinity))$"
MISSING = r"^(?i:nan|na|n/a|null|none)$"  # in a column that otherwise holds numbers
TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d(?P<separator>[T ])\d\d:\d\d(?P<seconds>:\d\d)?(?P<fraction>\.\d+)?"
    r"(?P<zone>Z|[+-]\d\d(?P<colon>:?)\d\d)?"
)
DATE_FORMATS = {r"^\d{4}-\d\d-\d\d$": "%Y-%m-%d", r"^\d{4}/\d\d/\d\d$": "%Y/%m/%d"} | {
    r"^\d\d\.\d\d\.\d{4}$": "%d.%m.%Y"
}
UTC_OFFSET = re.compile(r"(?:Z|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d))$")
TIME_OF_DAY = re.compile("%-?[HIMSfpTRcsk]|%.f")
CALENDAR_CODES = {"%m": "mbBhjcxDFs", "%d": "dejcxDFs"}  # codes that imply the month, the day

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
BINARY_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"%PDF")


@dataclass(frozen=True)
class TextFormats:
    """How numbers and times were written as text, by column.

    Args:
        decimals: digits after the point, for columns whose numbers all have as many.
        times: strftime formats.
    """

    decimals: Mapping[str, int] = field(default_factory=dict)
    times: Mapping[str, str] = field(default_factory=dict)

    def with_time(self, name: str, time_format: str | None) -> TextFormats:
        """Return the formats with that of one more column."""
        if time_format is None:
            return self
        return replace(self, times={**self.times, name: time_format})


def read_csv(path: Path) -> tuple[pl.DataFrame, TextFormats]:
    """Read a CSV or TSV file in UTF-8 (separator: comma, semicolon or tab)."""
    text = _decoded(path)
    separator = "\t" if path.suffix.lower() == ".tsv" else _separator(text)
    names, has_blank_lines = _checked_header(path, text, separator)
    try:
        frame = pl.read_csv(
            io.BytesIO(text.encode()),
            infer_schema=False,
            separator=separator,
            truncate_ragged_lines=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        msg = f"{path} cannot be read as CSV: {str(error).splitlines()[0]}"
        raise DataError(msg) from None
    frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    frame = frame.with_columns(pl.all().replace("", None))
    if has_blank_lines and frame.width > 1:
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    return _parse_columns(frame)


def _decoded(path: Path) -> str:
    """Return the text of a file; DataError when it is empty, binary or not in UTF-8."""
    data = path.read_bytes()
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
    """Return the most frequent separator of the first line; comma when there is none."""
    header = text.split("\n", 1)[0]
    return max(",;\t", key=header.count)


def _checked_header(path: Path, text: str, separator: str) -> tuple[list[str], bool]:
    """Return the column names, and whether there are blank lines; DataError for ragged rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names, rows, has_blank_lines = next(reader), 0, False
    refuse_duplicates(names)
    try:
        for row in reader:
            if not row:
                has_blank_lines = True
            elif len(row) != len(names):
                msg = (
                    f"{path}, line {reader.line_num}: got {len(row)} fields, and the header names "
                    f"{len(names)} columns; fix the line"
                )
                raise DataError(msg)
            else:
                rows += 1
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    if not rows:
        raise DataError(f"{path} has a header only; a table needs rows below it")
    return names, has_blank_lines


def _parse_columns(frame: pl.DataFrame) -> tuple[pl.DataFrame, TextFormats]:
    """Give each column of text the type that fits all of its values."""
    decimals: dict[str, int] = {}
    times: dict[str, str] = {}
    columns = {}
    for column in frame.iter_columns():
        parsed = parse_numbers(column)
        if parsed is not None and parsed.dtype == pl.Float64:
            decimals |= _printed_decimals(column)
        if parsed is None:
            parsed, time_format = parse_times(column)
            times |= {column.name: time_format} if time_format else {}
        columns[column.name] = parsed
    return pl.DataFrame(columns), TextFormats(decimals, times)


def parse_numbers(column: pl.Series) -> pl.Series | None:
    """Return a column of text as numbers or truth values; None when it holds anything else."""
    text = column.drop_nulls().str.strip_chars()
    if not len(text):
        return None
    if text.is_in(["true", "false"]).all():
        return column == "true"
    missing = text.str.contains(MISSING)
    text = text.filter(~missing)
    for pattern, dtype in ((INTEGER, pl.Int64), (NUMBER, pl.Float64)):
        if len(text) and text.str.contains(pattern).all():
            stripped = column.str.strip_chars()
            if missing.any():
                stripped = stripped.set(stripped.str.contains(MISSING), None)
            cast = stripped.cast(dtype, strict=False)
            return cast if cast.null_count() == stripped.null_count() else None
    return None


def _printed_decimals(column: pl.Series) -> dict[str, int]:
    """Return the number of digits after the point, by column, if all its numbers have as many."""
    text = column.drop_nulls()
    if text.str.contains("[eE]").any():
        return {}
    digits = text.str.extract(r"\.([0-9]*)\s*$").str.len_chars().fill_null(0)
    return {column.name: int(digits[0])} if digits.n_unique() == 1 else {}


def parse_times(column: pl.Series, known: str | None = None) -> tuple[pl.Series, str | None]:
    """Return a column of text as dates or date-times with their format, or unchanged with None.

    A `known` format is the only one that is tried; integers such as 20240131 may have one, too.
    """
    if known is not None:
        return _strptime(column, pl.Datetime if TIME_OF_DAY.search(known) else pl.Date, known)
    text = column.drop_nulls().str.strip_chars()
    if not len(text):
        return column, None
    for pattern, date_format in DATE_FORMATS.items():
        if text.str.contains(pattern).all():
            return _strptime(column, pl.Date, date_format)
    first = TIMESTAMP.fullmatch(text[0])
    if first and text.str.contains(f"^(?:{TIMESTAMP.pattern.replace('?P<', '?<')})$").all():
        one_zone = bool(text.str.ends_with(first["zone"] or "").all())
        return _strptime(column, pl.Datetime, _timestamp_format(first, one_zone))
    return column, None


def utc_offset(time_format: str) -> int | None:
    """Return the offset from UTC, in seconds, that all times of a format have; None without one."""
    offset = UTC_OFFSET.search(time_format)
    if offset is None or not TIME_OF_DAY.search(time_format):
        return None
    seconds = int(offset["hours"] or 0) * 3600 + int(offset["minutes"] or 0) * 60
    return -seconds if offset["sign"] == "-" else seconds


def _timestamp_format(match: re.Match[str], one_zone: bool) -> str:
    """Return the strftime format of a date-time; one zone that all times have is part of it."""
    clock = "%H:%M" + (":%S" if match["seconds"] else "") + ("%.f" if match["fraction"] else "")
    zone = match["zone"] or ""
    if not one_zone and zone != "Z":
        zone = "%:z" if match["colon"] else "%z"
    return f"%Y-%m-%d{match['separator']}{clock}{zone}"


def _strptime(
    column: pl.Series, dtype: type[pl.Date | pl.Datetime], time_format: str
) -> tuple[pl.Series, str | None]:
    """Return the times of a column and their format; the column itself and None if any is invalid.

    A format without month or day means the first of them.
    """
    absent = [
        code
        for code, implying in CALENDAR_CODES.items()
        if not re.search(f"%-?[{implying}]", time_format)
    ]
    text = column.cast(pl.String).str.strip_chars() + " 01" * len(absent)
    time_dtype = pl.Date() if dtype is pl.Date else pl.Datetime("us")
    parsed = text.str.strptime(time_dtype, " ".join([time_format, *absent]), strict=False)
    if parsed.null_count() != column.null_count():
        return column, None
    offset = utc_offset(time_format)
    if offset is None:
        return parsed, time_format
    return parsed.dt.offset_by(f"{-offset}s").dt.replace_time_zone("UTC"), time_format
