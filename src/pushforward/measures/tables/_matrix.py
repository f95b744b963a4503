"""Tables as matrices, as a classifier takes their rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import narwhals as nw
import numpy as np

from pushforward.measures.tables._columns import Column, Floats, read

ONE_HOT = 256  # categories; a column of more is ranks, in alphabetical order
SINGLE = 2.0**24  # beyond this size, float32 (which boosters compare) does not tell integers apart


def are_tables(*samples: Any) -> bool:
    """Return whether all samples are data frames."""
    frames = (nw.from_native(sample, eager_only=True, pass_through=True) for sample in samples)
    return all(isinstance(frame, nw.DataFrame) for frame in frames)


def matrices(x: Any, y: Any, min_rows: int) -> tuple[Floats, Floats]:
    """Return two tables as matrices of the same columns, without missing values.

    Numbers, truth values and times are columns as they are, missing ones the mean of the real
    column; each category is a column of its own, 1 where it is; and so are missing values, and
    those that are not of the real column's type.

    Raises:
        MeasureError: as for `read`.
    """
    columns = read(x, y, min_rows=min_rows)
    real = columns.part(0)
    whole = np.stack([values for c in columns for values in _encoded(c, real)], 1)
    return whole[real], whole[columns.part(1)]


def _encoded(column: Column, real: slice) -> Iterator[Floats]:
    if column.coded is not None:
        yield from _categories(column)
        return
    missing = np.isnan(column.values)
    known = column.values[real][~missing[real]]
    centre, peak = (known.mean(), np.abs(known).max()) if len(known) else (0.0, 0.0)
    offset = known.min() if peak > SINGLE else 0.0
    yield np.where(missing, centre, column.values) - offset
    if missing.any():
        yield missing.astype(np.float64)
    if column.foreign is not None:
        yield column.foreign.astype(np.float64)


def _categories(column: Column) -> Iterator[Floats]:
    there, codes = np.unique(column.codes, return_inverse=True)
    if len(there) > ONE_HOT:
        yield codes.astype(np.float64)
        return
    for code in range(len(there)):
        yield (codes == code).astype(np.float64)
