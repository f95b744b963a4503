"""What a comparison keeps of a table for its report: counts and associations, no row.

Bins and categories are those of the real rows, whatever is counted on them. None tells the value of
a row: edges are multiples of a round step, not quantiles; a bin that is not empty and a category
that is named hold at least as many real rows as a schema pools in a piece of a bin (`min_pooled`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pushforward.data.tables.partition import min_pooled
from pushforward.measures.tables import association

BINS = (6, 30)
TAILS = (0.005, 0.995)  # the real values between which bins are laid; the outermost hold the rest
MANTISSAS = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)  # of round steps, in tenths
SMALLEST_EXPONENT = -300  # of a round step: 10 to more than this would overflow
FEW = 10  # a number with no more distinct values is counted as categories
CATEGORIES = 8  # that are counted; the others together are the rest
RELATED = 30  # columns whose associations are kept, the first
DECIMALS = 4  # of an association
MILLISECONDS = {"ms": 1, "us": 1_000, "ns": 1_000_000}
EXAMPLE_ROWS = 8

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["number", "time", "category"]


@dataclass(frozen=True)
class ColumnCounts:
    """How many rows have which values of one column.

    Args:
        name: the column.
        kind: what `bins` are.
        bins: the edges of k bins, times in milliseconds since 1970; or k categories.
        counts: (k,) of rows; values beyond the edges are in the outermost bins, those of no named
            category in none.
        missing: the rows without a value.
    """

    name: str
    kind: Kind
    bins: list[Any]
    counts: list[int]
    missing: int


@dataclass(frozen=True)
class TableSummary:
    """One source's table.

    Args:
        rows: how many were counted.
        columns: the counts of every column.
        associations: of each pair of the first columns, see `measures.association`.
        examples: the first rows as texts, if the user asked for example rows.
    """

    rows: int
    columns: list[ColumnCounts]
    associations: list[list[float]]
    examples: list[list[str]]

    @property
    def names(self) -> list[str]:
        """The columns, in the table's order."""
        return [column.name for column in self.columns]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TableSummary:
        """Rebuild from `to_json`."""
        columns = [ColumnCounts(**column) for column in data["columns"]]
        return cls(data["rows"], columns, data["associations"], data["examples"])


def summarise(frame: pl.DataFrame, real: pl.DataFrame, examples: int = 0) -> TableSummary:
    """Return the summary of a table, on the bins and categories of the real one.

    Args:
        frame: the table; its columns are those of `real`.
        real: the real rows.
        examples: how many of the first rows are kept as they are.
    """
    columns = [_counts(frame[name], real[name]) for name in real.columns]
    rows = [list(row) for row in frame.head(examples).rows()]
    texts = [[as_text(value) for value in row] for row in rows]
    return TableSummary(len(frame), columns, _associations(frame, real), texts)


def _associations(frame: pl.DataFrame, real: pl.DataFrame) -> list[list[float]]:
    names = real.columns[:RELATED]
    if len(names) < 2 or min(len(frame), len(real)) < 2:
        return []
    matrix = association(frame.select(names), like=real.select(names)).to_numpy()
    rounded: list[list[float]] = np.nan_to_num(matrix).round(DECIMALS).tolist()
    return rounded


def as_text(value: Any) -> str:
    """Return a value as text, a dash where it is missing."""
    if value is None or value != value:  # noqa: PLR0124  # NaN
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _counts(values: pl.Series, real: pl.Series) -> ColumnCounts:
    if _is_number(real.dtype) and real.n_unique() > FEW:
        kind: Kind = "number" if real.dtype.is_numeric() else "time"
        edges = _edges(_present(real), whole=real.dtype.is_integer())
        present = _present(values)
        counts = _binned(present, edges)
        bins, absent = edges.tolist(), len(values) - len(present)
        return ColumnCounts(real.name, kind, bins, counts.tolist(), absent)
    texts = _texts(values)
    categories = _categories(_texts(real), len(real))
    counted = [int((texts == category).sum()) for category in categories]
    return ColumnCounts(real.name, "category", categories, counted, len(values) - len(texts))


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype in (pl.Date, pl.Datetime)


def _present(values: pl.Series) -> Floats:
    """Return the numbers that are not missing; times in milliseconds since 1970."""
    if isinstance(values.dtype, pl.Datetime):
        ticks = values.to_physical().to_numpy().astype(np.float64)
        numbers = ticks / MILLISECONDS[values.dtype.time_unit]
    elif values.dtype == pl.Date:
        numbers = values.to_physical().to_numpy().astype(np.float64) * 86_400_000
    else:
        numbers = values.cast(pl.Float64).to_numpy()
    return numbers[np.isfinite(numbers)]


def _binned(numbers: Floats, edges: Floats) -> Ints:
    """Return the counts of numbers; those beyond the edges are in the outermost bins."""
    return np.histogram(numbers.clip(edges[0], edges[-1]), edges)[0]


def _edges(real: Floats, *, whole: bool) -> Floats:
    """Return bins over the bulk of the real values, of one round width where enough rows are.

    There are about 2 n^(1/3) of them (Rice's rule), within bounds; whole numbers are not cut.
    """
    bins = int(np.clip(round(2 * len(real) ** (1 / 3)), *BINS))
    low, high = np.quantile(real, TAILS)
    if not low < high:
        low, high = real.min(), real.max()
    mantissa, exponent = _round_step((high - low + whole) / bins)
    if whole and exponent < 0:
        mantissa, exponent = math.ceil(mantissa * 10.0**exponent), 0
    first, last = (math.floor(end / (mantissa * 10.0**exponent)) for end in (low, high))
    multiples = np.arange(first, last + 2, dtype=np.float64) * mantissa
    # divided, not multiplied: 3 / 10 is the float that is written 0.3
    edges = multiples / 10.0**-exponent if exponent < 0 else multiples * 10.0**exponent
    return _pooled(np.unique(edges - 0.5 * whole), real)


def _round_step(width: float) -> tuple[int, int]:
    """Return the smallest round number from a width on, as a mantissa and an exponent of ten."""
    exponent = max(math.floor(math.log10(width)) - 1, SMALLEST_EXPONENT)
    return next(m for m in (*MANTISSAS, 120) if m >= width / 10.0**exponent), exponent


def _pooled(edges: Floats, real: Floats) -> Floats:
    """Return the edges of bins that hold none or enough of the real values."""
    fewest = min_pooled(len(real))
    bins, rows = [], 0
    for right, count in zip(edges[1:].tolist(), _binned(real, edges).tolist(), strict=True):
        rows += count
        if not rows or rows >= fewest:
            bins.append((right, rows))
            rows = 0
    while rows and rows < fewest and bins:  # what remains at the end joins the bins before it
        rows += bins.pop()[1]
    rights = [right for right, _ in bins]
    return np.array([edges[0], *rights] + [edges[-1]] * (rows > 0))


def _categories(texts: NDArray[np.object_], rows: int) -> list[str]:
    """Return the most frequent categories that are not rare, the most frequent first."""
    known, counts = np.unique(texts.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:CATEGORIES]
    return [str(known[i]) for i in order if counts[i] >= min_pooled(rows)]


def _texts(values: pl.Series) -> NDArray[np.object_]:
    """Return the values that are not missing, as text."""
    present = values.fill_nan(None) if values.dtype.is_float() else values
    return np.array([str(value) for value in present.drop_nulls().to_list()], dtype=object)
