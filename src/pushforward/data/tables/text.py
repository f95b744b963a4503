"""CSV files: checked line by line, then typed so that what is written back looks the same."""

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
VOID = r"^(?i:nan|na|n/a|null|none)$"  # missing, in a column that otherwise holds numbers
STAMP = re.compile(
    r"\d{4}-\d\d-\d\d(?P<gap>[T ])\d\d:\d\d(?P<seconds>:\d\d)?(?P<fraction>\.\d+)?"
    r"(?P<zone>Z|[+-]\d\d(?P<colon>:?)\d\d)?"
)
DATES = {r"^\d{4}-\d\d-\d\d$": "%Y-%m-%d", r"^\d{4}/\d\d/\d\d$": "%Y/%m/%d"} | {
    r"^\d\d\.\d\d\.\d{4}$": "%d.%m.%Y"
}
CLOCK = re.compile("%-?[HIMSfpTRcsk]|%.f")
CALENDAR = {"%m": "mbBhjcxDFs", "%d": "dejcxDFs"}  # what tells the month, and the day

UTF_16 = (b"\xff\xfe", b"\xfe\xff")
BINARY = (b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"%PDF")


@dataclass(frozen=True)
class Spelling:
    """How numbers and dates were written, by column.

    Args:
        decimals: digits after the point, where all numbers of a column have as many.
        formats: strftime formats.
    """

    decimals: Mapping[str, int] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)

    def dated(self, name: str, spelled: str | None) -> Spelling:
        """Return the spelling with one more format."""
        return self if spelled is None else replace(self, formats={**self.formats, name: spelled})


def read_csv(path: Path) -> tuple[pl.DataFrame, Spelling]:
    """Read a CSV or TSV file in UTF-8 (separator: comma, semicolon or tab)."""
    text = _decoded(path)
    separator = "\t" if path.suffix.lower() == ".tsv" else _separator(text)
    names, blank = _checked(path, text, separator)
    try:
        frame = pl.read_csv(
            io.BytesIO(text.encode()),
            infer_schema=False,
            separator=separator,
            truncate_ragged_lines=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        msg = f"{path} is not a CSV file that can be read: {str(error).splitlines()[0]}"
        raise DataError(msg) from None
    frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    frame = frame.with_columns(pl.all().replace("", None))
    if blank and frame.width > 1:
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    return _typed(frame)


def _decoded(path: Path) -> str:
    """Return the text of a file; DataError when it is empty, binary or not in UTF-8."""
    data = path.read_bytes()
    if not data.startswith(UTF_16) and (data.startswith(BINARY) or b"\0" in data):
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
        raise DataError(f"{path} is empty; a table needs a line of column names and rows under it")
    return text


def _separator(text: str) -> str:
    """Return the separator that is most frequent in the first line; comma when there is none."""
    header = text.split("\n", 1)[0]
    return max(",;\t", key=header.count)


def _checked(path: Path, text: str, separator: str) -> tuple[list[str], bool]:
    """Return the column names, and whether there are blank lines; DataError for ragged rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names, rows, blank = next(reader), 0, False
    refuse_duplicates(names)
    try:
        for row in reader:
            if not row:
                blank = True
            elif len(row) != len(names):
                msg = (
                    f"{path}, line {reader.line_num}: {len(row)} fields, and the header names "
                    f"{len(names)} columns; mend that line"
                )
                raise DataError(msg)
            else:
                rows += 1
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    if not rows:
        raise DataError(f"{path} holds a header only; a table needs rows under it")
    return names, blank


def _typed(frame: pl.DataFrame) -> tuple[pl.DataFrame, Spelling]:
    """Give each column of text the type that all its values have."""
    decimals: dict[str, int] = {}
    formats: dict[str, str] = {}
    columns = {}
    for column in frame.iter_columns():
        typed = numbers(column)
        if typed is not None and typed.dtype == pl.Float64:
            decimals |= _decimals(column)
        if typed is None:
            typed, spelled = dates(column)
            formats |= {column.name: spelled} if spelled else {}
        columns[column.name] = typed
    return pl.DataFrame(columns), Spelling(decimals, formats)


def numbers(column: pl.Series) -> pl.Series | None:
    """Return a column of text as numbers or truth values, or None when it holds something else."""
    text = column.drop_nulls().str.strip_chars()
    if not len(text):
        return None
    if text.is_in(["true", "false"]).all():
        return column == "true"
    void = text.str.contains(VOID)
    text = text.filter(~void)
    for pattern, dtype in ((INTEGER, pl.Int64), (NUMBER, pl.Float64)):
        if len(text) and text.str.contains(pattern).all():
            stripped = column.str.strip_chars()
            stripped = stripped.set(stripped.str.contains(VOID), None) if void.any() else stripped
            cast = stripped.cast(dtype, strict=False)
            return cast if cast.null_count() == stripped.null_count() else None
    return None


def _decimals(column: pl.Series) -> dict[str, int]:
    """Return the number of digits after the point, where all numbers have as many."""
    text = column.drop_nulls()
    if text.str.contains("[eE]").any():
        return {}
    digits = text.str.extract(r"\.([0-9]*)\s*$").str.len_chars().fill_null(0)
    return {column.name: int(digits[0])} if digits.n_unique() == 1 else {}


def dates(column: pl.Series, known: str | None = None) -> tuple[pl.Series, str | None]:
    """Return a column of text as dates or date-times with their format, or as it is with None.

    A `known` format is the only one that is tried; integers such as 20240131 may have one, too.
    """
    if known is not None:
        return _parsed(column, pl.Datetime if CLOCK.search(known) else pl.Date, known)
    text = column.drop_nulls().str.strip_chars()
    if not len(text):
        return column, None
    for pattern, spelled in DATES.items():
        if text.str.contains(pattern).all():
            return _parsed(column, pl.Date, spelled)
    found = STAMP.fullmatch(text[0])
    if found and text.str.contains(f"^(?:{STAMP.pattern.replace('?P<', '?<')})$").all():
        return _parsed(column, pl.Datetime, _stamp_format(found))
    return column, None


def _stamp_format(found: re.Match[str]) -> str:
    """Return the strftime format of a date-time."""
    clock = "%H:%M" + (":%S" if found["seconds"] else "") + ("%.f" if found["fraction"] else "")
    zone = found["zone"] or ""
    zone = ("%:z" if found["colon"] else "%z") if zone not in ("", "Z") else zone
    return f"%Y-%m-%d{found['gap']}{clock}{zone}"


def _parsed(
    column: pl.Series, dtype: type[pl.Date | pl.Datetime], spelled: str
) -> tuple[pl.Series, str | None]:
    """Return the dates of a column, or the column itself when one of them does not exist."""
    absent = [code for code, signs in CALENDAR.items() if not re.search(f"%-?[{signs}]", spelled)]
    text = column.cast(pl.String).str.strip_chars() + " 01" * len(absent)  # a month's first day
    target = pl.Date() if dtype is pl.Date else pl.Datetime("us")
    parsed = text.str.strptime(target, " ".join([spelled, *absent]), strict=False)
    if parsed.null_count() != column.null_count():
        return column, None
    return (parsed.dt.replace_time_zone("UTC") if spelled.endswith("Z") else parsed), spelled
