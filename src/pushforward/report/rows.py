"""The first rows of a table, as they would be given to a user."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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
    rows = [[_cell(value) for value in row] for row in frame.select(names).head(ROWS).rows()]
    hidden = len(frame.columns) - len(names)
    note = f"{hidden} more columns are not shown" if hidden else ""
    return Sheet(names, rows, title, note, named=False)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
