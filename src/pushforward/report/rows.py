"""The first rows of a table, in the user's own form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals as nw

from pushforward.comparison.folder import REAL
from pushforward.report.figures import TextTable
from pushforward.report.marginals import Frame

ROWS = 8
COLUMNS = 30


def first_rows(frames: Mapping[str, Frame]) -> list[TextTable]:
    """Return the first rows of the real table and of every model's."""
    return [
        _text_table("real (test rows)" if n == REAL else n, frame) for n, frame in frames.items()
    ]


def _text_table(title: str, frame: Frame) -> TextTable:
    names = frame.columns[:COLUMNS]
    columns = [_texts(frame[column].head(ROWS)) for column in names]
    rows = [list(row) for row in zip(*columns, strict=True)]
    hidden = len(frame.columns) - len(names)
    note = f"{hidden} more columns are not shown" if hidden else ""
    return TextTable(names, rows, title, note, named=False)


def _texts(column: nw.Series[Any]) -> list[str]:
    """Return a column's values as text, a dash where one is missing."""
    pairs = zip(column.to_list(), column.is_null().to_list(), strict=True)
    return ["–" if absent else _text(value) for value, absent in pairs]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
