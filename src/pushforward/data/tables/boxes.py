"""Python objects as Polars series, and back: what pandas' and Polars' dtype `object` may hold.

Most types of Python have a dtype of Polars, whose `to_list` gives the same objects again. Others
are written as text that spells them, and read from it.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from pushforward.errors import DataError

MAX_EXACT = 2**53  # whole numbers up to here are exact in float64
CONTAINERS = (list, tuple, dict, set, frozenset, np.ndarray, bytes, bytearray, complex)
SPELLED_TYPES: dict[str, type] = {
    kind.__name__: kind for kind in (uuid.UUID, ipaddress.IPv4Address, ipaddress.IPv6Address)
}
NATIVE_TYPES = frozenset({bool, str, float, date, timedelta})
MIXED_TYPES = frozenset({bool, int, float, str})  # whose spelling tells the type
QUOTED = re.compile("'(.*)'", re.DOTALL)


@dataclass(frozen=True)
class Box:
    """How the objects of one column are stored in a Polars series.

    Args:
        kind: `"native"` (one type, which Polars has), `"number"` (integers and floats), `"mixed"`
            (each value spelled), `"text"` (of objects of another type), or a spelled type's name.
        whole: whether whole numbers among floats are integers.
        offset: of native date-times from UTC in seconds, where they have no zone of a name.
        remark: for the user, or "".
        check: whether the user must act on the remark.
    """

    kind: str
    whole: bool = False
    offset: int | None = None
    remark: str = ""
    check: bool = False

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> Box:
        """Return the box of a column's objects, None for a missing one; DataError for containers.

        NumPy's scalars are taken for the Python objects that they equal.
        """
        present = [value for value in values if value is not None]
        types = {type(value) for value in present}
        _refuse_unsuitable(name, present, types)
        if len(types) <= 1:
            return _box_of_one_type(next(iter(types), str), present)
        if types == {int, Decimal} and all(map(_is_exact, present)):
            return cls("native")
        if types <= {int, float, Decimal} and all(map(_is_exact, present)):
            floats = [value for value in present if type(value) is float]
            return cls("number", whole=int in types and not any(f.is_integer() for f in floats))
        if types <= MIXED_TYPES:
            listed = _listed(types)
            return cls("mixed", remark=f"mixes types ({listed}): each value is a category")
        return _as_text(types)

    @property
    def spells_objects(self) -> bool:
        """Whether text stands for objects of one type that are not text (UUIDs, addresses)."""
        return self.kind in SPELLED_TYPES

    def note(self, name: str) -> str | None:
        """Return the remark on a column as a note, or None."""
        prefix = "check: " if self.check else ""
        return f"{prefix}column {name!r} {self.remark}" if self.remark else None

    def series(self, name: str, values: Sequence[Any]) -> pl.Series:
        """Return objects, None for a missing one, as a series."""
        if self.offset is not None:
            values = [value and value.astimezone(UTC) for value in values]
        if self.kind == "native":
            money = Decimal in set(map(type, values))
            exact = [Decimal(v) if type(v) is int else v for v in values] if money else values
            return pl.Series(name, exact, strict=True)
        if self.kind == "number":
            return pl.Series(name, [None if value is None else float(value) for value in values])
        spelled = spell if self.kind == "mixed" else str
        texts = [None if value is None else spelled(value) for value in values]
        return pl.Series(name, texts, dtype=pl.String)

    def objects(self, series: pl.Series) -> list[Any]:
        """Return the objects of a series, None for a missing one."""
        values = series.to_list()
        if series.dtype == pl.Float64 and self.whole:
            return [_without_point(value) for value in values]
        if isinstance(series.dtype, pl.Datetime) and self.offset is not None:
            zone = timezone(timedelta(seconds=self.offset))
            return [value and value.astimezone(zone) for value in values]
        readers: dict[str, Callable[[str], Any]] = {**SPELLED_TYPES, "mixed": read_spelling}
        if series.dtype == pl.String and self.kind in readers:
            return [_parsed(readers[self.kind], value) for value in values]
        return values


def spell(value: Any) -> str:
    """Return a text that tells a value's type, too: text that could be a number is quoted."""
    if not isinstance(value, str):
        return str(value)
    is_plain = type(read_spelling(value)) is str and not QUOTED.fullmatch(value)
    return value if is_plain else f"'{value}'"


def read_spelling(text: str) -> Any:
    """Return the value that `spell` wrote."""
    if quoted := QUOTED.fullmatch(text):
        return quoted[1]
    if text in ("True", "False"):
        return text == "True"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    real = isinstance(value, float | Decimal | np.floating)
    return real and bool(value != value)  # noqa: PLR0124 - NaN


def plain_objects(values: list[Any]) -> list[Any]:
    """Return the Python objects that NumPy's scalars and pandas' times equal."""
    types = set(map(type, values))
    if not any(issubclass(kind, np.generic) or hasattr(kind, "to_pydatetime") for kind in types):
        return values
    return [_plain(value) for value in values]


def distinct_texts(values: Sequence[Any]) -> list[str]:
    """Return the text of each value; those that would be alike are told apart: 1 from '1'."""
    texts = [str(value) for value in values]
    if len(set(texts)) < len(texts):
        texts = [spell(value) for value in values]
    taken: set[str] = set()
    for at, text in enumerate(texts):
        while text in taken:
            text += "'"  # noqa: PLW2901 - until it differs
        taken.add(text)
        texts[at] = text
    return texts


def _plain(value: Any) -> Any:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return value.astype(f"{value.dtype.str[1]}8[us]").item()
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    return value.item() if isinstance(value, np.generic) else value


def _refuse_unsuitable(name: str, present: list[Any], types: set[type]) -> None:
    """Raise DataError for values that are no single number, text or time."""
    wrong = next((kind for kind in types if _is_container(kind)), None)
    if wrong is None:
        return
    example = next(value for value in present if type(value) is wrong)
    msg = f"column {name!r} must hold numbers, text, truth values or times, and holds values of"
    raise DataError(
        f"{msg} type {wrong.__name__}, e.g. {str(example)[:40]}; give each part a column of its "
        "own, write it as text, or drop it"
    )


def _is_container(kind: type) -> bool:
    """Whether objects of a type have parts, or no text of their own."""
    own_text = any({"__str__", "__repr__"} & vars(base).keys() for base in kind.__mro__[:-1])
    return issubclass(kind, CONTAINERS) or not own_text


def _box_of_one_type(kind: type, present: list[Any]) -> Box:
    """Return the box of objects of the same type."""
    if kind is datetime:
        return _box_of_datetimes(present)
    if kind is int and not _fits_64_bits(present):
        remark = "has integers of more than 64 bits, which are read as text; shorten them"
        return Box("mixed", remark=remark, check=True)
    is_clock = kind is time and all(value.tzinfo is None for value in present)
    is_decimal = kind is Decimal and all(map(_is_exact, present))
    if kind in NATIVE_TYPES or kind is int or is_clock or is_decimal:
        return Box("native")
    if SPELLED_TYPES.get(kind.__name__) is kind:
        return Box(kind.__name__)
    return _as_text({kind})


def _box_of_datetimes(present: list[datetime]) -> Box:
    """Return the box of date-times: in their zone, their offset, or, if they differ, in UTC."""
    zones = {_zone_name(value.tzinfo) for value in present}
    if len(zones) > 1 and None in zones:
        return _as_text({datetime})
    if zones == {""} and len(offsets := {value.utcoffset() for value in present}) == 1:
        return Box("native", offset=int((offsets.pop() or timedelta(0)).total_seconds()))
    if len(zones) == 1 and "" not in zones:
        return Box("native")
    listed = ", ".join(sorted({f"{value:%z}" for value in present})[:5])
    remark = f"mixes time zones ({listed}): its times come back in UTC"
    return Box("native", offset=0, remark=remark, check=True)


def _zone_name(zone: tzinfo | None) -> str | None:
    """Return the name of a time zone, "" if it has none (an offset), None without a zone."""
    return None if zone is None else str(getattr(zone, "key", getattr(zone, "zone", None)) or "")


def _as_text(types: set[type]) -> Box:
    remark = f"holds objects ({_listed(types)}): they are read as text, and come back as text"
    return Box("text", remark=remark, check=True)


def _listed(types: set[type]) -> str:
    return ", ".join(sorted(kind.__name__ for kind in types))


def _is_exact(number: float | Decimal) -> bool:
    """Whether a number may be stored among floats."""
    if isinstance(number, Decimal):
        return number.is_finite()
    return type(number) is float or abs(number) <= MAX_EXACT


def _fits_64_bits(integers: list[int]) -> bool:
    low, high = min(integers, default=0), max(integers, default=0)
    return (low >= -(2**63) and high < 2**63) or (low >= 0 and high < 2**64)


def _without_point(value: float | None) -> float | None:
    """Return a whole number as an integer."""
    return int(value) if value is not None and value.is_integer() else value


def _parsed(read: Callable[[str], Any], text: str | None) -> Any:
    """Return the object that a text spells; None for text that spells none."""
    try:
        return None if text is None else read(text)
    except ValueError:
        return None
