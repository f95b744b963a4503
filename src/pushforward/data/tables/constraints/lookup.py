"""Lookups: a column that follows from the categories of one or two others, as in a dictionary.

A distance follows from origin and destination, the number of a school degree from its name. The
dictionary has the combinations of categories that occur in `MIN_KEY_ROWS` training rows at least,
with one value in all rows. Where it has none, the column's own value is modelled: the *rest*, a
column that is missing everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Ints, Mask
from pushforward.data.tables.column_codec import ColumnCodec
from pushforward.data.tables.column_summary import CATEGORICAL_DTYPES, ColumnSummary
from pushforward.data.tables.columns import CategoricalCodec, Level, column_from_json
from pushforward.data.tables.constraints.difference import Limits
from pushforward.data.tables.constraints.number_line import NumberLine
from pushforward.data.tables.numeric_codec import NumericCodec
from pushforward.data.tables.text_types import TextFormats
from pushforward.errors import DataError

MIN_KEY_ROWS = 5  # training rows of a combination: fewer would tell what few rows hold
VALUE, COUNT, AGREE = "value", "count", "agree"


@dataclass(frozen=True, eq=False)
class LookupStep:
    """A column that is looked up by the categories of others.

    Args:
        column: the codec of its values.
        keys: the names of the others.
        table: of each combination of their categories, as text, the column's number.
        telling: the position of the one key that alone tells most, for combinations that are
            generated although the table lacks them.
        nearest: the most frequent number by the category of that key.
        usual: the most frequent number of all.
        rest: the name of the modelled column of values that the table lacks; None if it has the
            category of every row.
        excepted: how many rows have a combination that the table lacks.
    """

    kind: ClassVar[str] = "lookup"

    column: ColumnCodec
    keys: tuple[str, ...]
    table: Mapping[tuple[str | None, ...], float]
    telling: int
    nearest: Mapping[str | None, float]
    usual: float
    rest: str | None
    excepted: int = 0

    @classmethod
    def fit(
        cls,
        values: pl.Series,
        keys: Sequence[str],
        frame: pl.DataFrame,
        train: Ints,
        text_formats: TextFormats,
        rest: str,
    ) -> LookupStep:
        """Learn the table: its combinations have one value in all rows, and enough training rows.

        DataError for keys that hold no categories.
        """
        for key in keys:
            if frame[key].dtype not in CATEGORICAL_DTYPES and not frame[key].dtype.is_integer():
                msg = f"column {key!r} must hold categories to look {values.name!r} up by"
                raise DataError(f"{msg}, got {frame[key].dtype}")
        column = exact_codec(values, text_formats)
        rows = _texts(frame, keys).with_columns(pl.Series(VALUE, column.encode_present(values)))
        names = rows.columns[:-1]
        agreeing = rows.group_by(names).agg(pl.col(VALUE).n_unique().alias(AGREE))
        counted = rows[train].group_by(names).agg(pl.len().alias(COUNT), pl.col(VALUE).first())
        known = counted.join(agreeing, on=names, nulls_equal=True).sort(names)
        known = known.filter(pl.col(COUNT) >= MIN_KEY_ROWS, pl.col(AGREE) == 1)
        known = known.filter(pl.col(VALUE).is_not_nan())
        modes = [_modes(known, name) for name in names]
        telling = int(np.argmax([float(mode[COUNT].sum()) for mode in modes]))
        nearest = dict(modes[telling].select(names[telling], VALUE).iter_rows())
        usual = float(next(iter(_modes(known, None)[VALUE]), 0.0))
        table = {tuple(key): value for *key, value in known.select(*names, VALUE).iter_rows()}
        step = cls(column, tuple(keys), table, telling, nearest, usual, rest)
        excepted = int(np.isnan(step.look_up(frame)).sum())
        is_whole = not excepted and len(keys) == 1  # of two keys more combinations may come
        return replace(step, rest=None if is_whole else rest, excepted=excepted)

    @property
    def name(self) -> str | None:
        """The modelled column, if there is one."""
        return self.rest

    @property
    def modelled(self) -> tuple[str, ...]:
        """The columns that are modelled instead."""
        return () if self.rest is None else (self.rest,)

    def by_level(self, frame: pl.DataFrame, key: str, levels: Sequence[Level | None]) -> Floats:
        """Return the numbers (n, levels) of rows if a key has each of these categories.

        NaN where the table has none. A category that is None is a missing one.
        """
        looked_up = [
            self.look_up(frame.with_columns(pl.lit(level).cast(pl.String).alias(key)))
            for level in levels
        ]
        return np.stack(looked_up, axis=1) if levels else np.empty((len(frame), 0))

    def never_missing(self) -> LookupStep:
        """Return the step that has the number of the most similar combination where it has none."""
        filled = replace(self.column.partition, missing=None)
        return replace(self, column=replace(self.column, partition=filled))

    @property
    def operands(self) -> tuple[str, ...]:
        """The columns that the replaced one is computed from."""
        return tuple(self.keys)

    @property
    def replaced(self) -> tuple[str, ...]:
        """The column that is not modelled itself."""
        return (self.column.name,)

    def look_up(self, frame: pl.DataFrame) -> Floats:
        """Return the numbers (n,) of rows' combinations, NaN where the table has none."""
        rows = _texts(frame, self.keys)
        known = pl.DataFrame(
            [(*key, value) for key, value in self.table.items()],
            schema={**dict(rows.schema), VALUE: pl.Float64},
            orient="row",
        )
        joined = rows.join(
            known, on=rows.columns, how="left", nulls_equal=True, maintain_order="left"
        )
        return joined[VALUE].fill_null(np.nan).to_numpy()

    def holds(self, frame: pl.DataFrame) -> Mask:
        """Return in which rows (n,) the column is what the table says, if it need say anything."""
        looked_up = self.look_up(frame)
        given = self.column.encode_present(frame[self.column.name])
        is_free = np.isnan(looked_up) & (self.rest is not None)
        return np.asarray(is_free | (looked_up == given))

    def transform(self, frame: pl.DataFrame, _lines: Mapping[str, NumberLine]) -> pl.DataFrame:
        """Return a frame with the rest instead of the column."""
        if self.rest is None:
            return frame.drop(self.column.name)
        is_known = pl.Series(~np.isnan(self.look_up(frame)))
        rest = frame[self.column.name].set(is_known, None).alias(self.rest)
        return frame.drop(self.column.name).with_columns(rest)

    def inverse_transform(
        self, frame: pl.DataFrame, _lines: Mapping[str, NumberLine], _limits: Limits
    ) -> pl.DataFrame:
        """Return a frame with the column instead of the rest.

        Where neither table nor rest have a value, it is missing if it may be.
        """
        numbers = self.look_up(frame)
        if self.rest is not None:
            numbers = np.where(
                np.isnan(numbers), self.column.encode_present(frame[self.rest]), numbers
            )
            frame = frame.drop(self.rest)
        lacking = np.isnan(numbers)
        if self.column.partition.missing is None and lacking.any():
            numbers = numbers.copy()
            numbers[lacking] = self._nearest(frame.filter(lacking))
        return frame.with_columns(self.column.decode(numbers))

    def _nearest(self, frame: pl.DataFrame) -> Floats:
        """Return the numbers (n,) of the most similar combinations."""
        keys = _texts(frame, self.keys[self.telling : self.telling + 1]).to_series()
        return np.array([self.nearest.get(key, self.usual) for key in keys], np.float64)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "column": self.column.to_json(),
            "keys": list(self.keys),
            "table": [[*key, number] for key, number in self.table.items()],
            "telling": self.telling,
            "nearest": [list(item) for item in self.nearest.items()],
            "usual": self.usual,
            "rest": self.rest,
            "excepted": self.excepted,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LookupStep:
        """Rebuild from `to_json`."""
        return cls(
            column_from_json(data["column"]),
            tuple(data["keys"]),
            {tuple(key): float(number) for *key, number in data["table"]},
            data["telling"],
            {key: float(number) for key, number in data["nearest"]},
            float(data["usual"]),
            data["rest"],
            data["excepted"],
        )


def exact_codec(values: pl.Series, text_formats: TextFormats) -> ColumnCodec:
    """Return a codec of a column that is not modelled: its partition is unused."""
    if values.dtype in CATEGORICAL_DTYPES:
        summary = ColumnSummary.of(values, "categorical")
        return CategoricalCodec.fit(summary, values.head(0), "keep")
    return NumericCodec.of_values(values, text_formats)


def _texts(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Return categories as text, in columns "0", "1", ..."""
    return frame.select(pl.col(key).cast(pl.String).alias(str(i)) for i, key in enumerate(keys))


def _modes(known: pl.DataFrame, key: str | None) -> pl.DataFrame:
    """Return the most frequent number of each category of a key (None: of all), and its rows."""
    by = [] if key is None else [key]
    counted = known.group_by(*by, VALUE).agg(pl.col(COUNT).sum()).sort(*by, COUNT, VALUE)
    return counted.group_by(by).last() if by else counted.tail(1)
