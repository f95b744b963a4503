"""Reading files: CSV, Parquet, NPZ and NPY, with one clear line for whatever is wrong with them."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pushforward.data.builtin import Raw
from pushforward.errors import DataError

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


def read_csv(path: Path, separator: str) -> pl.DataFrame:
    """Read a delimited text file, every column as text; the schema tells what they are."""
    text = _text(path)
    header = _header(path, text, separator)
    try:
        return pl.read_csv(
            io.StringIO(text),
            separator=separator,
            has_header=False,
            skip_rows=1,
            new_columns=header,
            infer_schema=False,
            null_values=MISSING,
            truncate_ragged_lines=False,
        )
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise DataError(_ragged(path, text, separator, len(header), error)) from error


def _text(path: Path) -> str:
    data = _bytes(path)
    if not data.strip():
        msg = f"{path} is empty"
        raise DataError(msg)
    if b"\0" in data[:65536]:
        msg = f"{path} is a binary file, not text; save the table as CSV or give it its true ending"
        raise DataError(msg)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        msg = f"{path} is not UTF-8 (line {line}); save it as UTF-8, e.g. iconv -f latin1 -t utf-8"
        raise DataError(msg) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise DataError(msg) from error


def _header(path: Path, text: str, separator: str) -> list[str]:
    """Return the column names; DataError when there are no rows, or names occur twice."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header, first = next(rows), next(rows, None)
    if first is None:
        msg = f"{path} has a header and no rows"
        raise DataError(msg)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        msg = f"{path}: column names occur twice: {', '.join(map(repr, twice))}; rename them"
        raise DataError(msg)
    return header


def _ragged(path: Path, text: str, separator: str, width: int, error: Exception) -> str:
    """Name the line that has too many or too few fields."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    for row in rows:
        if row and len(row) != width:
            return f"{path}, line {rows.line_num}: {len(row)} fields, the header has {width}"
    return f"{path} cannot be read as CSV ({str(error).splitlines()[0]})"


def read_parquet(path: Path) -> pl.DataFrame:
    """Read a Parquet file."""
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"{path} is truncated or no Parquet file ({str(error).splitlines()[0]})"
        raise DataError(msg) from error
    if not len(frame):
        msg = f"{path} has columns and no rows"
        raise DataError(msg)
    return frame


def read_arrays(path: Path, key: str | None) -> Raw:
    """Read an NPY file, or one array of an NPZ file and the labels that go with it."""
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return Raw(found)
        arrays = {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else "it ends early"
        msg = f"{path} is truncated, or holds Python objects, or is no NumPy file ({first})"
        raise DataError(msg) from error
    name = key or _obvious(path, arrays)
    if name not in arrays:
        msg = f"{path} has no array {name!r}; it holds {_listed(arrays)}"
        raise DataError(msg)
    return _with_labels(arrays, name)


def _obvious(path: Path, arrays: dict[str, NDArray[Any]]) -> str:
    """Return the one array that must be meant: the only one with rows, or `x_train`."""
    rows = [name for name, array in arrays.items() if array.ndim >= 2]
    if len(rows) == 1:
        return rows[0]
    if "x_train" in rows:
        return "x_train"
    msg = f"{path} holds several arrays: {_listed(arrays)}; name one with --key"
    raise DataError(msg)


def _listed(arrays: dict[str, NDArray[Any]]) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in arrays.items())


def _with_labels(arrays: dict[str, NDArray[Any]], name: str) -> Raw:
    """Return an array with its labels: y for x, y_train for x_train, or the only 1-D match."""
    rows = arrays[name]
    others = [other for other in arrays if other != name]
    notes = (f"took the array {name!r}; there are also {', '.join(others)}",) if others else ()
    for label in ("y" + name.removeprefix("x"), f"y_{name}", "y", "label", "labels"):
        labels = arrays.get(label)
        if label != name and labels is not None and labels.shape == rows.shape[:1]:
            return Raw(rows, labels, label, notes)
    return Raw(rows, notes=notes)
