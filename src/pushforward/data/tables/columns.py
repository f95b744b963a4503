"""The codec of a column of categories, and the codecs as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats, Mask
from pushforward.data.tables.column_codec import ColumnCodec, ColumnKind
from pushforward.data.tables.column_summary import (
    MAX_LEVELS,
    ColumnSummary,
    category_keys,
)
from pushforward.data.tables.dtypes import dtype_from_json
from pushforward.data.tables.number_text import NumberFormat
from pushforward.data.tables.numeric_codec import NUMERIC_FIELDS, NumericCodec
from pushforward.data.tables.partition import (
    MIN_POOLED_ROWS,
    Partition,
    count_codes,
    frequent_levels,
    partition_categories,
)
from pushforward.errors import DataError, nearest

RARE_LEVEL = "(rare)"  # what generated rows say for a category that the schema does not store

RareHandling = Literal["draw", "name", "keep"]
Level = str | int | float | bool


@dataclass(frozen=True, eq=False)
class CategoricalCodec(ColumnCodec):
    """A column of categories: text, truth values, or numbers that are names.

    Args:
        levels: the categories in the order of their codes (a time as its ticks).
        drops_rare: whether rare categories are not among the levels: in a column of text they are
            the level `RARE_LEVEL`, in any other they are missing.
    """

    kind: ClassVar[ColumnKind] = "categorical"

    levels: tuple[Level, ...] = ()
    drops_rare: bool = False

    @classmethod
    def fit(
        cls,
        summary: ColumnSummary,
        sample: pl.Series,
        rare: RareHandling = "draw",
        *,
        names_rare: bool = True,
    ) -> CategoricalCodec:
        """Learn the categories from all rows, and their shares from a sample of training rows.

        Rare categories, by `rare`: `"draw"`: of more than 1000 all but the 255 most frequent share
        one cell (which `rare_groups` splits); `"name"`: those, and any with fewer than 20 rows of
        the sample, are dropped; `"keep"`: each category has a cell. Text that stands for
        objects, such as intervals, has no level `RARE_LEVEL` (`names_rare`).
        """
        levels = _sorted_levels(summary)
        codec = cls(summary.name, summary.dtype, Partition.empty(), levels)
        counts = count_codes(codec.encode(sample), len(levels))
        frequent = frequent_levels(counts, min_rows=MIN_POOLED_ROWS if rare == "name" else 0)
        if rare == "name" and not frequent.all():
            is_text = summary.dtype in (pl.String, pl.Categorical)
            kept = _kept_levels(levels, frequent, names_rare=names_rare and is_text)
            codec = replace(codec, levels=kept, drops_rare=True)
            counts = count_codes(codec.encode(sample), len(codec.levels))
        separate = frequent if rare == "draw" else np.ones(len(counts), np.bool_)
        rare_is_missing = codec.drops_rare and RARE_LEVEL not in codec.levels
        missing = summary.present < summary.rows or rare_is_missing
        cells = partition_categories(counts, separate, len(sample), missing)
        return replace(codec, partition=cells)

    @property
    def pooled(self) -> Mask:
        """Which levels share their cell with others."""
        cells = self.partition.cell
        return np.bincount(cells, minlength=1)[cells] > 1

    @property
    def decimals(self) -> int | None:
        """Codes are integers."""
        return 0

    def encode(self, values: pl.Series) -> Floats:
        """Return the codes of the categories."""
        is_text = bool(self.levels) and isinstance(self.levels[0], str)
        keys = category_keys(values.cast(pl.String) if is_text else values)
        try:
            codes = _codes(keys, self.levels)
        except (pl.exceptions.PolarsError, TypeError):
            msg = f"column {self.name!r} must hold {self.dtype}, got {values.dtype}"
            raise DataError(msg) from None
        unknown = np.isnan(codes) & ~keys.is_null().to_numpy()
        if self.drops_rare and RARE_LEVEL in self.levels:
            codes[unknown] = self.levels.index(RARE_LEVEL)
        elif unknown.any() and not self.drops_rare:
            self._refuse_unknown(keys, int(unknown.argmax()))
        return self.refuse_missing(codes)

    def _refuse_unknown(self, keys: pl.Series, row: int) -> None:
        """Raise DataError for an unknown category."""
        hint = nearest(str(keys[row]), map(str, self.levels[:50]))
        msg = f"column {self.name!r}, row {row + 1}: unknown category {keys[row]!r}; {hint}"
        raise DataError(msg)

    def decode(self, numbers: Floats) -> pl.Series:
        """Return the categories of these codes."""
        missing = np.isnan(numbers)
        if not self.levels:
            return pl.Series(self.name, [None] * len(numbers), dtype=self.dtype)
        codes = pl.Series(np.where(missing, 0, numbers).round().astype(np.int64))
        codes = codes.set(pl.Series(missing), None) if missing.any() else codes
        values = pl.Series(self.name, self.levels).gather(codes)
        return values if self.dtype == pl.Boolean else values.cast(self.dtype)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return super().to_json() | {"levels": list(self.levels), "drops_rare": self.drops_rare}


def _sorted_levels(summary: ColumnSummary) -> tuple[Level, ...]:
    """Return the distinct keys of a column in ascending order, those of an Enum in its own."""
    if summary.levels is None:
        msg = (
            f"column {summary.name!r} must have at most {MAX_LEVELS} categories; if they are "
            "names, override it as identifier"
        )
        raise DataError(msg)
    own_order = isinstance(summary.dtype, pl.Enum)
    levels = (summary.levels.cast(summary.dtype) if own_order else summary.levels).sort()
    return tuple(category_keys(levels).to_list() if own_order else levels.to_list())


def _kept_levels(
    levels: tuple[Level, ...], frequent: Mask, *, names_rare: bool
) -> tuple[Level, ...]:
    """Return the frequent levels, and `RARE_LEVEL` where that can stand for the others."""
    kept = [level for level, stays in zip(levels, frequent, strict=True) if stays]
    return (*kept, RARE_LEVEL) if names_rare and RARE_LEVEL not in kept else tuple(kept)


def _codes(keys: pl.Series, levels: tuple[Level, ...]) -> Floats:
    """Return the index of each key among the levels; NaN where it is null or unknown."""
    if not levels:
        return np.full(len(keys), np.nan)
    indices = list(range(len(levels)))
    codes = keys.replace_strict(list(levels), indices, default=None, return_dtype=pl.Float64)
    return codes.to_numpy().astype(np.float64)


def column_from_json(data: Mapping[str, Any]) -> ColumnCodec:
    """Rebuild a codec from `to_json`."""
    shared = (data["name"], dtype_from_json(data["dtype"]), Partition.from_json(data["partition"]))
    if data["kind"] == "categorical":
        levels, drops_rare = tuple(data["levels"]), data["drops_rare"]
        return CategoricalCodec(*shared, levels=levels, drops_rare=drops_rare)
    number_format = data["number_format"] and NumberFormat.from_json(data["number_format"])
    fields = {key: data[key] for key in NUMERIC_FIELDS}
    fields["has_exceptions"] = data.get("has_exceptions", False)
    return NumericCodec(*shared, **fields, number_format=number_format)
