"""The first rows of a table, as they would be given to a user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals as nw

from pushforward.report.figures import Sheet
from pushforward.report.folder import REAL
from pushforward.report.marginals import Frame

ROWS = 8
COLUMNS = 30


def first_rows(frames: Mapping[str, Frame]) -> list[Sheet]:
    """Return the first rows of the real table and of every model's."""
    return [_sheet("real (test rows)" if n == REAL else n, frame) for n, frame in frames.items()]


def _sheet(title: str, frame: Frame) -> Sheet:
    names = frame.columns[:COLUMNS]
    columns = [_texts(frame[column].head(ROWS)) for column in names]
    rows = [list(row) for row in zip(*columns, strict=True)]
    hidden = len(frame.columns) - len(names)
    note = f"{hidden} more columns are not shown" if hidden else ""
    return Sheet(names, rows, title, note, named=False)


def _texts(column: nw.Series[Any]) -> list[str]:
    """Return a column's values as text, a dash where one is missing."""
    pairs = zip(column.to_list(), column.is_null().to_list(), strict=True)
    return ["–" if absent else _text(value) for value, absent in pairs]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
