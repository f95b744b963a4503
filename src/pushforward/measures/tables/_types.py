"""Columns read as the type that the real table gives them, whatever the other table's is.

A value that cannot be read so is *foreign*: no number among numbers, no time among times, or
another time zone. It is no error and is not left out: it counts as a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pushforward.errors import MeasureError, quoted

Mask = NDArray[np.bool_]
NUMBERS, FLAGS, TEXT = "numbers", "truth values", "text"
TIMES, NOTHING = "times", "no value"
TIME_FORMATS = tuple(
    date + time
    for date in ("%Y-%m-%d", "%Y-%m-%dT", "%Y-%m-%d ")
    for time in ("", "%H:%M", "%H:%M:%S%.f")
    if bool(time) != date.endswith("d")
)


@dataclass(frozen=True)
class Fitted:
    """A column as the type of the reference.

    Args:
        values: of that type, null where they are missing or foreign.
        foreign: which values cannot be read so.
    """

    values: pl.Series
    foreign: Mask


def present(values: pl.Series) -> Mask:
    """Return which values are there; NaN is missing."""
    there = values.is_not_null()
    if values.dtype.is_float():
        there = there & values.is_not_nan().fill_null(value=False)
    return there.to_numpy()


def family(values: pl.Series) -> str:
    """Return what a column holds, in words."""
    dtype = values.dtype
    if not present(values).any():
        return NOTHING
    if dtype.is_numeric():
        return NUMBERS
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return TEXT
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return f"times of the zone {dtype.time_zone}"
    names = {pl.Boolean: FLAGS, pl.Time: "times of day", pl.Duration: "durations"}
    names |= {pl.Date: TIMES, pl.Datetime: TIMES}
    return names.get(dtype.base_type(), f"values of type {dtype}")


def reference_of(columns: Sequence[pl.Series]) -> pl.Series:
    """Return the first column that holds a value, else the first."""
    return next((column for column in columns if present(column).any()), columns[0])


def fitted(values: pl.Series, reference: pl.Series) -> Fitted:
    """Return a column as the type of the reference."""
    there, ours, theirs = present(values), family(reference), family(values)
    if ours == TEXT:
        return Fitted(spelled(values), np.zeros(len(values), dtype=np.bool_))
    read = None if NOTHING in (ours, theirs) else _read(values, reference, ours, theirs)
    if read is None:
        return Fitted(pl.Series(values.name, [None] * len(values), reference.dtype), there)
    return Fitted(read, there & ~present(read))


def _read(values: pl.Series, reference: pl.Series, ours: str, theirs: str) -> pl.Series | None:
    """Return the values that fit, null for the others; None where none does."""
    zoned = getattr(reference.dtype, "time_zone", None)
    if zoned and getattr(values.dtype, "time_zone", None):
        return _in_zone(values, reference)
    if ours == theirs:
        return values
    match ours, theirs:
        case "numbers", "truth values":
            return values.cast(pl.Int8)
        case "truth values", "numbers":
            flags = values.cast(pl.Float64)
            return flags.set(~flags.is_in([0.0, 1.0]), None).cast(pl.Boolean)
        case (("numbers" | "times"), "text"):
            return _parsed(values, ours)
    return None


def _parsed(values: pl.Series, ours: str) -> pl.Series | None:
    """Return text as numbers or times, null where it is neither.

    None where all of it is: then no cell made the column text, it is of another type. (In pandas
    numbers can be categories, which are text here.)
    """
    texts = values.cast(pl.String).str.strip_chars()
    if ours == NUMBERS:
        read = texts.cast(pl.Float64, strict=False)
    else:
        tries = [texts.str.to_datetime(f, strict=False, time_unit="us") for f in TIME_FORMATS]
        read = pl.select(pl.coalesce(tries)).to_series().rename(texts.name)
    is_declared = values.dtype == pl.String and (read.is_null() == texts.is_null()).all()
    return None if is_declared else read


def _in_zone(values: pl.Series, reference: pl.Series) -> pl.Series:
    """Return times in the zone of the reference, null where it never has their offset from UTC."""
    zone = reference.dtype.time_zone  # type: ignore[attr-defined]  # the caller asked
    if values.dtype.time_zone == zone:  # type: ignore[attr-defined]  # likewise
        return values
    same = _offsets(values).is_in(_offsets(reference).unique().drop_nulls().to_list())
    return values.dt.convert_time_zone(zone).set(~same.fill_null(value=True), None)


def _offsets(values: pl.Series) -> pl.Series:
    utc = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return (values.dt.replace_time_zone(None) - utc).dt.total_seconds()


def spelled(values: pl.Series) -> pl.Series:
    """Return values as text."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:  # lists, structs, objects
        texts = [None if value is None else str(value) for value in values.to_list()]
        return pl.Series(values.name, texts, dtype=pl.String)


def require_native(values: pl.Series, reference: pl.Series, found: Fitted) -> None:
    """Raise MeasureError where real values are not of the type of the reference, which is real."""
    if found.foreign.any():
        raise MeasureError(
            f"column {quoted(values.name)} must hold the same in the real sample and the training "
            f"rows, and holds {family(values)} in one and {family(reference)} in the other; "
            "convert one of them"
        )


def remark(values: pl.Series, reference: pl.Series, found: Fitted) -> str | None:
    """Return what is wrong with a whole generated column, or None."""
    ours, theirs = family(reference), family(values)
    name, count = quoted(values.name), int(found.foreign.sum())
    if ours not in (theirs, NOTHING) and theirs == NOTHING:
        return f"column {name} is empty in the generated sample"
    if count:
        example = quoted(values[int(found.foreign.argmax())])
        return (
            f"column {name} holds {theirs} in the generated sample and {ours} in the real one: "
            f"{count:,} of {len(values):,} values, e.g. {example}, count as a difference; if only "
            "the type differs, convert it first"
        )
    if theirs not in (ours, NOTHING) and ours == TEXT:
        return f"column {name} holds {theirs} in the generated sample, which are compared as text"
    if _constant(values) and not _constant(reference):
        return f"column {name} has the same value in every generated row"
    return None


def _constant(values: pl.Series) -> bool:
    return values.n_unique() < 2
