"""Data frames of any library become Polars frames, and are converted back to it.

Each column has a format, chosen by its dtype (`pandas_columns`, `polars_columns`): the same object
reads it and restores it. A pandas index that says something is a column like any other, and is the
index again in the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from pushforward.data.tables.boxes import distinct_texts, plain_objects
from pushforward.data.tables.column_format import ColumnFormat, rebuild
from pushforward.data.tables.pandas_columns import (
    PANDAS_FORMATS,
    PackedIndex,
    column_format,
    pack_labels,
    plain_names,
)
from pushforward.data.tables.pandas_dtypes import natural
from pushforward.data.tables.polars_columns import POLARS_FORMATS
from pushforward.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FrameFormat:
    """The library, labels and dtypes of the user's data frame, to convert a Polars frame to it.

    Args:
        library: `"polars"` or `"pandas"`.
        columns: the format of each column that needs one, by its name in the Polars frame.
        names: of pandas' columns in the Polars frame, in the order of `labels`.
        labels: of pandas' columns: text, integers, dates, pairs (a MultiIndex), ...
        index: the columns that are the levels of pandas' index.
        index_names: of these levels.
    """

    library: str = "polars"
    columns: Mapping[str, ColumnFormat] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    labels: PackedIndex | None = None
    index: tuple[str, ...] = ()
    index_names: tuple[Any, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "library": self.library,
            "columns": {name: column.to_json() for name, column in self.columns.items()},
            "names": list(self.names),
            "labels": self.labels and self.labels.to_json(),
            "index": list(self.index),
            "index_names": list(self.index_names),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FrameFormat:
        """Rebuild from `to_json`."""
        families = (*PANDAS_FORMATS, *POLARS_FORMATS)
        return cls(
            data["library"],
            {name: rebuild(column, families) for name, column in data["columns"].items()},
            tuple(data["names"]),
            data["labels"] and PackedIndex.from_json(data["labels"]),
            tuple(data["index"]),
            tuple(data["index_names"]),
        )

    @property
    def spelled_objects(self) -> frozenset[str]:
        """The columns whose text, in the Polars frame, stands for objects of another type."""
        return frozenset(n for n, column in self.columns.items() if column.spells_objects)

    def name_of(self, label: Hashable) -> Any:
        """Return the name, in the Polars frame, of a column that the user calls by its label.

        A label that no column has is returned as it is.
        """
        return self._names_of_labels.get(label, label)

    @cached_property
    def _names_of_labels(self) -> dict[Hashable, str]:
        if self.labels is None:
            return {}
        try:
            labels = self.labels.index().tolist()
        except ImportError:  # where pandas is not installed, a column is called by its name
            return {}
        of_index = zip(self.index_names, self.index, strict=True)
        return dict(of_index) | dict(zip(labels, self.names, strict=True))

    def restore(self, frame: pl.DataFrame) -> Any:
        """Return the frame in the user's format; a Polars frame if pandas is not installed."""
        if self.library != "pandas":
            return frame.with_columns(
                column.restore(frame[name])
                for name, column in self.columns.items()
                if name in frame.columns and column.fits(frame[name].dtype)
            )
        try:
            import pandas as pd
        except ImportError:
            return frame
        restored = {name: self._to_pandas(frame[name]) for name in frame.columns}
        levels = [restored.pop(name) for name in self.index]
        table = pd.DataFrame(restored, index=pd.RangeIndex(len(frame)))
        if self.labels is not None:
            table = table[list(self.names)]
            table.columns = self.labels.index()
        if len(levels) == 1:
            table.index = pd.Index(levels[0], name=self.index_names[0])
        elif levels:
            table.index = pd.MultiIndex.from_arrays(levels, names=self.index_names)
        return table

    def _to_pandas(self, series: pl.Series) -> Any:
        """Return a column as a pandas series of the user's dtype."""
        column = self.columns[series.name]
        return column.restore(series) if column.fits(series.dtype) else natural(series)


def to_polars(data: Any) -> tuple[pl.DataFrame, FrameFormat, list[str]]:
    """Return a data frame as a Polars one, its own format, and notes for the user."""
    try:
        frame = nw.from_native(data)
    except TypeError:
        msg = f"a table must be a pandas or Polars data frame, got {type(data).__name__}"
        raise DataError(msg) from None
    except nw.exceptions.DuplicateError as error:
        names: Any = getattr(data, "column_names", getattr(data, "columns", ()))
        refuse_duplicates([str(name) for name in names])
        raise DataError("column names must differ; rename one") from error
    except (ValueError, nw.exceptions.NarwhalsError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"the data frame cannot be read: {reason}") from None
    eager = frame.collect("polars") if isinstance(frame, nw.LazyFrame) else frame
    if eager.implementation.is_pandas_like():
        return _from_pandas(eager.to_pandas())
    return _from_polars(eager.to_polars())


def with_index_columns(frames: Sequence[nw.DataFrame[Any]]) -> list[nw.DataFrame[Any]]:
    """Return tables of the same columns whose pandas index, where it says something, is columns.

    These come first, as in `to_polars`. An index that not all tables have, as one or as columns, is
    left out: it is no more than the labels of rows.
    """
    whole = [_with_index(frame) for frame in frames]
    shared = set[Hashable].intersection(*(set[Hashable](frame.columns) for frame, _ in whole))
    return [frame.drop([n for n in levels if n not in shared]) for frame, levels in whole]


def by_name(columns: Iterable[pl.Series]) -> pl.DataFrame:
    """Return columns as a frame; Polars would rename one without a name."""
    return pl.DataFrame({column.name: column for column in columns})


def refuse_duplicates(names: list[str], cure: str = "") -> None:
    """Raise DataError when two columns share a name; `cure`: what else the user may do."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        listed = ", ".join(map(repr, repeated[:5])) + (", ..." if len(repeated) > 5 else "")
        msg = f"column names must differ, and {listed} occur{'s' * (len(repeated) == 1)} twice"
        raise DataError(f"{msg}; rename one{cure}")


def refuse_patterns(names: Iterable[str]) -> None:
    """Raise DataError for a name that Polars, by which tables are read, takes for several."""
    for name in names:
        if name == "*" or (name.startswith("^") and name.endswith("$")):
            msg = f"a column cannot be called {name!r}, which is a pattern of names to Polars"
            raise DataError(f"{msg}; rename it")


def _from_polars(frame: pl.DataFrame) -> tuple[pl.DataFrame, FrameFormat, list[str]]:
    """Convert the columns that have a format."""
    refuse_patterns(frame.columns)
    columns: dict[str, ColumnFormat] = {}
    for series in frame.iter_columns():
        for column in (family.of(series) for family in POLARS_FORMATS):
            columns |= {} if column is None else {series.name: column}
    read = [_read(name, column, frame[name]) for name, column in columns.items()]
    notes = [column.note(name) for name, column in columns.items()]
    return frame.with_columns(read), FrameFormat(columns=columns), [n for n in notes if n]


def _from_pandas(frame: pd.DataFrame) -> tuple[pl.DataFrame, FrameFormat, list[str]]:
    """Convert a frame column by column, its index first."""
    labels = frame.columns.tolist()
    refuse_duplicates([str(label) for label in frame.columns[frame.columns.duplicated()]] * 2)
    levels, notes = _index_levels(frame)
    texts = distinct_texts(_plain_labels([*labels, *(level.name for level in levels)]))
    refuse_patterns(texts)
    names, index = texts[: len(labels)], texts[len(labels) :]
    given = [*levels, *(frame.iloc[:, at] for at in range(len(labels)))]
    columns: dict[str, ColumnFormat] = {}
    read: dict[str, pl.Series] = {}
    for name, values in zip([*index, *names], given, strict=True):
        column = values.reset_index(drop=True).rename(name)
        columns[name] = column_format(column)
        read[name] = _read(name, columns[name], column)
        notes += [note] if (note := columns[name].note(name)) else []
    packed, remarks = pack_labels(frame.columns)
    index_names = plain_names(frame.index) if index else ()
    frame_format = FrameFormat("pandas", columns, tuple(names), packed, tuple(index), index_names)
    return pl.DataFrame(read), frame_format, [*notes, *remarks]


def _with_index(frame: nw.DataFrame[Any]) -> tuple[nw.DataFrame[Any], list[Any]]:
    """Return a table with the levels of its index as columns, and the labels of these."""
    if not frame.implementation.is_pandas_like():
        return frame, []
    table = frame.to_pandas()
    levels, _ = _index_levels(table)
    if not levels:
        return frame, []
    import pandas as pd

    labels = table.columns.tolist()
    taken = [*labels, *(level.name for level in levels)]
    texts = distinct_texts(_plain_labels(taken))
    pairs = list(zip(taken, texts, strict=True))[len(labels) :]
    names = [label if taken.count(label) == 1 else text for label, text in pairs]
    whole = pd.concat([*levels, table.reset_index(drop=True)], axis=1)
    whole.columns = pd.Index([*names, *labels], dtype=object, tupleize_cols=False)
    return nw.from_native(whole, eager_only=True), names


def _read(name: str, column: ColumnFormat, values: Any) -> pl.Series:
    """Return a column as a Polars series; DataError for values that cannot be stored."""
    try:
        return column.read(values).alias(name)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"column {name!r} cannot be read: {reason}") from None


def _index_levels(frame: pd.DataFrame) -> tuple[list[Any], list[str]]:
    """Return the levels of an index that says something, and a note.

    It does unless it is unnamed and of integers: those are positions of rows.
    """
    import pandas as pd

    index = frame.index
    if isinstance(index, pd.RangeIndex) and index.name is None:
        return [], []
    if index.nlevels == 1 and index.name is None and index.dtype.kind in "iu":
        note = "the unnamed index of integers is not kept; name it to keep it as a column"
        return [], [note]
    unnamed = ["index"] if index.nlevels == 1 else [f"level_{at}" for at in range(index.nlevels)]
    levels = [pd.Series(index.get_level_values(at)) for at in range(index.nlevels)]
    named = [
        level.rename(default) if level.name is None else level
        for level, default in zip(levels, unnamed, strict=True)
    ]
    listed = ", ".join(repr(level.name) for level in named)
    return named, [f"the index ({listed}) is modelled like a column, and comes back as the index"]


def _plain_labels(labels: list[Any]) -> list[Any]:
    """Return labels without NumPy's scalars, those of a MultiIndex as pairs of them."""
    return [
        tuple(plain_objects(list(label))) if isinstance(label, tuple) else plain_objects([label])[0]
        for label in labels
    ]
