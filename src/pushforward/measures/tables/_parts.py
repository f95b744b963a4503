"""What the distance of two columns misses: weekdays, times of day, endings of prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from pushforward.data.tables.column_summary import ColumnSummary
from pushforward.data.tables.constraints import PartsStep
from pushforward.data.tables.frames import to_polars
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.text_types import TextFormats
from pushforward.measures.tables._types import fitted

FITTED_ROWS = 10_000  # of the real table, from which the parts are learned

Floats = NDArray[np.float64]


def finer_parts(columns: Sequence[Sequence[nw.Series[Any]]]) -> dict[str, Floats]:
    """Return the parts of columns, the coarsest left out, over the rows of all tables, by name.

    Args:
        columns: each over all tables, the real one first.
    """
    parts: dict[str, Floats] = {}
    for sides in columns:
        held = [to_polars(side.to_frame().to_native())[0].to_series() for side in sides]
        typed = [fitted(values, held[0]).values.to_frame() for values in held]
        pooled = pl.concat(typed, how="vertical_relaxed").to_series()
        parts |= _parts(pooled, len(held[0]), frozenset(parts))
    return parts


def _parts(values: pl.Series, real: int, taken: frozenset[str]) -> dict[str, Floats]:
    """Return the finer parts of a column whose first rows are the real ones."""
    summary = ColumnSummary.of(values, None)
    column = NumericCodec.without_cells(summary, TextFormats())
    numbers = column.encode(values[:real].gather_every(max(1, real // FITTED_ROWS)))
    column = column.with_cells(numbers, missing=True)
    step = PartsStep.fit(column, summary, numbers, taken)
    if step is None:
        return {}
    frame = step.transform(values.to_frame())
    missing = frame[step.names[0]].is_null().to_numpy()
    return {
        name: np.where(missing, np.nan, frame[name].to_numpy().astype(np.float64))
        for name in step.names[1:]
    }
