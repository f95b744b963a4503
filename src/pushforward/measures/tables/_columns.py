"""The columns of several tables as arrays, so that a measure is a few array operations.

A column is *numeric* when its type is a number or a date and its real rows hold more than ten
distinct values; every other column is a set of categories. Missing values are a value of their own,
and so are those that are not of the real column's type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from pushforward.data.tables.frames import to_polars, with_index_columns
from pushforward.errors import MeasureError, listed
from pushforward.measures._inputs import require_at_least
from pushforward.measures.tables._parts import finer_parts
from pushforward.measures.tables._types import (
    NUMBERS,
    TEXT,
    TIMES,
    fitted,
    reference_of,
    require_native,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Coded = tuple[Ints, int]  # codes from 0, and how many there are, that of missing included
Edge = Literal["left", "right"]
LIMIT = 100_000  # rows a side, by default: the noise of more is too small to matter
DISTINCT = 10  # a number with at most so many distinct values is a category
BINS = 10  # of equal width, for a numeric column among categories
SLOTS = (1 << 7, 1 << 10, 1 << 13)  # values with different last bits need no search: 10x faster
FIRST_ROWS = 1000  # usually enough to see that a column has more distinct values


@dataclass(frozen=True)
class Column:
    """One column over the rows of all tables, the real ones first.

    Args:
        name: the column's name.
        numeric: whether it is measured as a number.
        values: the numbers (N,), NaN where missing; empty for text.
        coded: the codes of text, and how many there are; None for numbers, which are coded on
            demand.
        foreign: the generated values that are not of the real column's type (N,), missing in
            `values`; None where all are.
    """

    name: str
    numeric: bool
    values: Floats
    coded: Coded | None = None
    foreign: NDArray[np.bool_] | None = None

    @property
    def codes(self) -> Ints:
        """Codes in the order of the values (N,); then those of missing and of foreign ones."""
        return self._coded[0]

    @property
    def size(self) -> int:
        """How many codes there are at most, that of missing included."""
        return self._coded[1]

    @cached_property
    def _coded(self) -> Coded:
        codes, size = self.coded or ordered(self.values, dense=not self.numeric)
        return self.with_foreign(codes, size)

    def with_foreign(self, codes: Ints, size: int) -> Coded:
        """Return codes in which foreign values have one of their own, beyond all others."""
        if self.foreign is None:
            return codes, size
        return np.where(self.foreign, size, codes), size + 1


@dataclass(frozen=True)
class Columns:
    """The columns of several tables, the number of rows of each, and what was left out."""

    columns: tuple[Column, ...]
    rows: tuple[int, ...]
    extra: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def numeric(self) -> NDArray[np.bool_]:
        """Which columns are numbers."""
        return np.array([c.numeric for c in self], dtype=bool)

    def part(self, table: int) -> slice:
        """Return the rows of one table."""
        start = sum(self.rows[:table])
        return slice(start, start + self.rows[table])


def read(
    real: Any,
    *others: Any,
    min_rows: int = 2,
    limit: int | None = None,
    seed: int = 0,
    equal_sizes: bool = False,
    with_parts: bool = False,
) -> Columns:
    """Return the columns of all tables in the real one's order, of the real one's types.

    What a generated column holds of another type counts as a difference. A pandas index that says
    something, and that all tables have, is columns.

    Args:
        real: the real table.
        others: the generated one, and further real ones.
        min_rows: how many rows each needs.
        limit: the most rows taken of each; the rest is left out at random.
        seed: of the choice of rows.
        equal_sizes: take the same number of rows from all tables.
        with_parts: whether times and numbers are followed by their parts (weekday, time of day,
            ending of a price), where these carry information in the real table.

    Raises:
        MeasureError: for something that is no data frame, differing columns, real tables of
            different types, infinite numbers, fewer than `min_rows` rows, and a limit below that.
    """
    require_at_least(min_rows, limit=limit)
    frames = with_index_columns([frame_of(f) for f in (real, *others)])
    names = frames[0].columns
    for other in frames[1:]:
        _require_same_names(names, other.columns)
    rows = tuple(len(f) for f in frames)
    if min(rows) < min_rows:
        raise MeasureError(f"each table needs at least {min_rows} rows, and they have {list(rows)}")
    most = min(rows) if equal_sizes else max(rows)
    most = most if limit is None else min(most, limit)
    extra = {"given": list(rows[:2])} if max(rows) > most else {}
    frames = [some(f, most, seed) for f in frames]
    columns = [dict(zip(f.columns, f.iter_columns(), strict=True)) for f in frames]
    columns_of_all = [_column([side[name] for side in columns]) for name in names]
    if with_parts:
        numeric = [n for n, c in zip(names, columns_of_all, strict=True) if c.numeric]
        for name, values in finer_parts([[side[n] for side in columns] for n in numeric]).items():
            columns_of_all.append(Column(name, _varied(values[: len(frames[0])]), values))
    return Columns(tuple(columns_of_all), tuple(len(f) for f in frames), extra)


def height(table: Any) -> int:
    """Return the number of rows of a table."""
    return len(frame_of(table))


def some(table: Any, limit: int, seed: int) -> nw.DataFrame[Any]:
    """Return at most `limit` rows of a table, at random."""
    frame = frame_of(table)
    if len(frame) <= limit:
        return frame
    rows = np.random.default_rng(seed).choice(len(frame), limit, replace=False)
    return frame[np.sort(rows), :]


def binned(column: Column, reference: slice, edge: Edge = "right") -> Coded:
    """Return codes for joint tables: ten equal-width bins of the reference rows' range, or ranks.

    Values outside that range fall into the outer bins; missing values have a code of their own.

    Args:
        column: over the rows of all tables.
        reference: the rows whose range it is.
        edge: in which of its two bins a value on an edge is.
    """
    if not column.numeric:
        return column.codes, column.size
    known = column.values[reference]
    inner = np.linspace(np.nanmin(known), np.nanmax(known), BINS + 1)[1:-1]
    bins = np.searchsorted(inner, column.values, side=edge)
    return column.with_foreign(np.where(np.isnan(column.values), BINS, bins), BINS + 1)


def ordered(values: Floats, *, dense: bool) -> Coded:
    """Return codes of numbers in their order, those of NaN last.

    Args:
        values: the numbers (N,).
        dense: whether every code must occur. If not, integers of a narrow range are their own
            codes, without sorting.
    """
    missing = np.isnan(values)
    there = values[~missing] if missing.any() else values
    if len(there) == 0:
        return np.zeros(len(values), dtype=np.int64), 1
    low, high = float(there.min()), float(there.max())
    if dense or high - low > 4 * len(values) or (there != np.rint(there)).any():
        codes, count = _ranks(there)
    else:
        codes, count = (there - low).astype(np.int64), int(high - low) + 1
    if len(there) < len(values):
        codes = _at(~missing, codes, count)
    return codes, count + 1


def _ranks(values: Floats) -> Coded:
    """Return dense ranks from 0, and how many there are."""
    order = np.argsort(values)
    ascending = values[order]
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.concatenate([[0], np.cumsum(ascending[1:] != ascending[:-1])])
    return ranks, int(ranks[order[-1]]) + 1


def _at(rows: NDArray[np.bool_], codes: Ints, missing: int) -> Ints:
    """Return codes at their rows, and the code of missing values at all others."""
    spread = np.full(len(rows), missing, dtype=np.int64)
    spread[rows] = codes
    return spread


def frame_of(table: Any) -> nw.DataFrame[Any]:
    """Return a table of any library; MeasureError for anything else, and without columns."""
    try:
        frame: nw.DataFrame[Any] = nw.from_native(table, eager_only=True)
    except TypeError:
        raise MeasureError(
            "this measure takes data frames (pandas or Polars), and was given "
            f"{type(table).__name__}; for arrays take mmd, energy or sliced_wasserstein"
        ) from None
    except nw.exceptions.DuplicateError as error:
        reason = " ".join(str(error).split())
        raise MeasureError(f"two columns have one name; rename one: {reason}") from None
    if not frame.columns:
        raise MeasureError("the table has no columns")
    return frame


def _require_same_names(real: list[str], other: list[str]) -> None:
    missing = [c for c in real if c not in other]
    extra = [c for c in other if c not in real]
    told = (("lacks", missing), ("has in addition", extra))
    if said := [f"{verb} {listed(names)}" for verb, names in told if names]:
        msg = f"both tables need the same columns; the second {' and '.join(said)}"
        raise MeasureError(msg)


def _column(parts: list[nw.Series[Any]]) -> Column:
    name, foreign = str(parts[0].name), None
    kinds = {_kind(s) for s in parts}
    if len(kinds) > 1 or None in kinds:
        parts, foreign = _of_one_type(parts)
    if _kind(parts[0]) in (TEXT, None):
        return Column(name, False, np.empty(0), _texts(parts), foreign)
    values = np.concatenate([_numbers(s) for s in parts])
    if np.isinf(values).any():
        raise MeasureError(f"column {name!r} holds infinite values; drop or replace them first")
    return Column(name, _varied(values[: len(parts[0])]), values, None, foreign)


def _of_one_type(
    parts: list[nw.Series[Any]],
) -> tuple[list[nw.Series[Any]], NDArray[np.bool_] | None]:
    """Return a column's parts as the type of the real ones, and which values are not of it."""
    columns = [to_polars(part.to_frame().to_native())[0].to_series() for part in parts]
    reference = reference_of([columns[0], *columns[2:]])
    found = [fitted(column, reference) for column in columns]
    for column, one in zip(columns[2:], found[2:], strict=True):
        require_native(column, reference, one)
    foreign = np.concatenate([one.foreign for one in found])
    read = [nw.from_native(one.values, series_only=True) for one in found]
    return read, foreign if foreign.any() else None


def _varied(real: Floats) -> bool:
    """Return whether there are more distinct values than a category has."""
    known = real[~np.isnan(real)]
    return any(len(np.unique(part)) > DISTINCT for part in (known[:FIRST_ROWS], known))


def _kind(column: nw.Series[Any]) -> str | None:
    """Return a name for the type, the same for columns that compare as they are, if it has one."""
    kind = column.dtype
    if kind.is_numeric() or kind == nw.Boolean:
        return NUMBERS
    if kind in (nw.String, nw.Categorical, nw.Enum):
        return TEXT
    if kind in (nw.Date, nw.Datetime):
        return f"{TIMES} {getattr(kind, 'time_zone', None)}"
    return str(kind) if kind in (nw.Time, nw.Duration) else None


def _numbers(column: nw.Series[Any]) -> Floats:
    if column.dtype in (nw.Date, nw.Datetime):
        column = column.dt.timestamp("us")
    if column.dtype == nw.Duration:
        column = column.dt.total_nanoseconds()
    if column.dtype == nw.Time:
        column = column.cast(nw.Int64)
    if not (column.dtype.is_integer() or column.dtype.is_float()):
        column = column.cast(nw.Float64)
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _texts(parts: list[nw.Series[Any]]) -> Coded:
    """Return codes of texts in alphabetical order; each distinct value is read once."""
    held = [_dictionary(part) for part in parts]
    known = sorted({text for texts, _, _ in held for text in texts if text is not None})
    place: dict[str | None, int] = {text: code for code, text in enumerate(known)}
    codes = []
    for texts, slots, at in held:
        table = np.zeros(int(slots.max(initial=0)) + 1, dtype=np.int64)
        table[slots] = [place.get(text, len(known)) for text in texts]
        codes.append(table[at])
    return np.concatenate(codes), len(known) + 1


def _dictionary(column: nw.Series[Any]) -> tuple[list[str | None], Ints, Ints]:
    """Return the distinct values as texts (None for missing), their slots, and each row's slot."""
    marks = _marks(column)
    ascending = np.sort(marks)
    slots, at = _slots(marks, ascending[np.append(True, ascending[1:] != ascending[:-1])])
    rows = np.empty(int(slots.max(initial=0)) + 1, dtype=np.int64)
    rows[at] = np.arange(len(marks))
    return _spelled(column[rows[slots].tolist()]), slots, at


def _spelled(column: nw.Series[Any]) -> list[str | None]:
    values = column.to_list()
    if all(isinstance(value, str) for value in values):
        return values
    missing = column.is_null().to_list()
    return [None if gone else str(value) for value, gone in zip(values, missing, strict=True)]


def _slots(marks: Ints, distinct: Ints) -> tuple[Ints, Ints]:
    """Return a slot of its own for each distinct mark (which ascend), and that of every row."""
    for size in SLOTS:
        slots = distinct & (size - 1)
        if len(distinct) <= size and len(np.unique(slots)) == len(distinct):
            return slots, marks & (size - 1)
    return np.arange(len(distinct)), np.searchsorted(distinct, marks)


def _marks(column: nw.Series[Any]) -> Ints:
    """Return an integer for each row, equal only where the values are.

    For objects it is the address: data from a file have one object for each distinct text, and
    addresses compare ten times as fast as texts.
    """
    native = column.to_native()
    if not isinstance(native, pl.Series):
        values = np.ascontiguousarray(column.to_numpy())
        if values.dtype == object:
            return (
                np.frombuffer(values, dtype=np.intp).astype(np.int64) >> 4
            )  # addresses' even part
        return np.arange(len(values))
    if native.dtype in (pl.Categorical, pl.Enum):
        return native.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    if native.dtype != pl.String:
        return np.arange(len(native))
    return native.cast(pl.Categorical).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
