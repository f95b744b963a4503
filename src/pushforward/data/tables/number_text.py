"""Numbers as people write them: currency, thousands, decimal comma, brackets for negative ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

INTEGER = r"^[+-]?(0|[1-9][0-9]*)$"  # 007 is a name, not a number
NUMBER = r"^[+-]?(((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|(?i:inf|infinity))$"
MISSING = r"^(?i:nan|na|n/a|null|none|-|–|—|\?)$"  # in a column that otherwise holds numbers
CURRENCIES = (  # ISO 4217, those that are traded most, and abbreviations in use
    "USD|EUR|JPY|GBP|CNY|AUD|CAD|CHF|HKD|SGD|SEK|KRW|NOK|NZD|INR|MXN|TWD|ZAR|BRL|DKK|PLN|THB|ILS|"
    "IDR|CZK|AED|TRY|HUF|CLP|SAR|PHP|MYR|COP|RUB|RON|PEN|BHD|BGN|ARS|EGP|NGN|KES|VND|UAH|PKR|BDT|"
    "Rs|Fr|SFr|kr|Kr|Kč|zł|Ft|lei"
)
UNITS = (  # other letters behind a number may be a part of a name
    "kg|mg|g|t|lbs?|oz|km²?|cm|mm|nm|m²|m³|m|mi|ft|in|ha|h|hrs?|min|ms|sec|s|d|yrs?|days?|weeks?|"
    "months?|years?|hours?|[lL]|m[lL]|k[Ww]h|MWh|kW|MW|W|V|A|k?Hz|MHz|GHz|[kKMGT]B|k?cal|k?J|k?Pa|"
    "bar|psi|[°]?[CFK]|km/h|m/s|mph|rpm|bpm|px|dpi|pts?|pcs|bp|x|k|M|Mio|bn"
)
SPACES = " \u00a0\u202f\u2009"
# Sign, currency and unit stand around the digits, which grouping and decimals divide.
SPELLED = (
    r"^(?P<open>\()?(?P<before>[-+−]?)"
    rf"(?P<prefix>(?:[A-Z]{{0,3}}\p{{Sc}}|(?:{CURRENCIES})\.?)?[{SPACES}]?)"
    r"(?P<between>[-−]?)"
    rf"(?P<digits>(?:[0-9][0-9.,'’{SPACES}]*)?[0-9])"
    rf"(?P<suffix>[{SPACES}]?(?:\p{{Sc}}|[%‰]|(?:{UNITS}|{CURRENCIES})\.?)?)"
    r"(?P<after>-?)(?P<close>\))?$"
)
# (thousands, decimals), what is written most first
MARKS = [("", "."), ("", ","), (",", "."), (".", ","), ("'", "."), ("’", ".")]
MARKS += [(space, point) for space in SPACES for point in ".,"]
FEW = 100  # values that show whether it is worth looking at all of them


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of a column are written.

    Args:
        positive: with `{}` in place of the digits: `"${}"`, `"{} €"`, `"{}%"`.
        negative: likewise: `"-${}"`, `"(${})"`, `"{}-"`.
        group: what stands between thousands; empty for nothing.
        point: what stands before the decimals.
        decimals: how many decimals each number has; None for as many as it takes, ...
        at_least: ... but at least so many.
    """

    positive: str = "{}"
    negative: str = "-{}"
    group: str = ""
    point: str = "."
    decimals: int | None = None
    at_least: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether numbers are written as Python does, but for their decimals."""
        return self == NumberFormat(decimals=self.decimals, at_least=self.at_least)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NumberFormat:
        """Rebuild from `to_json`."""
        return cls(**data)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def parse(self, text: pl.Series) -> pl.Series:
        """Return text as numbers, null where it is none."""
        groups = text.str.strip_chars().str.extract_groups(SPELLED).struct
        digits = groups.field("digits")
        if self.group:
            digits = digits.str.replace_all(self.group, "", literal=True)
        plain = digits.str.replace(self.point, ".", literal=True)
        whole = self.decimals == 0 or not plain.str.contains(".", literal=True).any()
        numbers = plain.cast(pl.Int64 if whole else pl.Float64, strict=False)
        return numbers.zip_with(~_is_negative(groups), -numbers).alias(text.name)

    def format(self, values: pl.Series) -> pl.Series:
        """Return numbers as text."""
        size = values.abs()
        if self.decimals is not None:
            digits = size.cast(pl.Decimal(38, self.decimals)).cast(pl.String)
        else:
            digits = size.cast(pl.String).str.strip_suffix(".0")
        parts = digits.str.split_exact(".", 1).struct
        whole, fraction = parts.field("field_0"), parts.field("field_1")
        if self.at_least:
            fraction = fraction.fill_null("").str.pad_end(self.at_least, "0")
        if self.group:
            whole = _grouped(whole, self.group)
        text = whole + (self.point + fraction).fill_null("")
        return _wrapped(text, self.positive).zip_with(
            (values >= 0).fill_null(value=True), _wrapped(text, self.negative)
        )


def parse_numbers(
    column: pl.Series, *, decimal_comma: bool = False
) -> tuple[pl.Series, NumberFormat | None, str | None] | None:
    """Return a column of text as numbers, their format, and a note; None if it holds others.

    Plain numbers have none, unless all have as many decimals. A note says where thousands cannot
    be told from decimals, as in `1,234`: `decimal_comma` then decides.
    """
    few = column.drop_nulls().head(FEW).str.strip_chars()
    if not few.str.contains(f"{NUMBER}|{SPELLED}|{MISSING}").all():  # soon said of most text
        return None
    text = column.drop_nulls().unique(maintain_order=True).str.strip_chars()
    text = text.filter(~is_missing(text))
    if not len(text):
        return None
    present = _without_missing(column)
    if text.str.contains(NUMBER).all():
        return _plain(present)
    if not text.str.contains(SPELLED).all():
        return None
    found = _format(text, decimal_comma=decimal_comma)
    if found is None:
        return None
    number_format, note = found
    numbers = number_format.parse(present)
    return (numbers, number_format, note) if numbers.null_count() == present.null_count() else None


def read_numbers(
    column: pl.Series, number_format: NumberFormat | None, dtype: pl.DataType
) -> pl.Series:
    """Return text as numbers of a known format and dtype, null where it is missing or no number."""
    if number_format is None or number_format.is_plain:
        # what is missing is no number, so the cast gives null for it, or NaN
        numbers = column.str.strip_chars().cast(dtype, strict=False)
        return numbers.fill_nan(None) if dtype.is_float() else numbers
    return number_format.parse(_without_missing(column)).cast(dtype)


def is_missing(text: pl.Series) -> pl.Series:
    """Return which texts are no number, but may stand among numbers."""
    return text.str.strip_chars().str.contains(MISSING)


def words_among_numbers(texts: pl.Series, most: int) -> pl.Series:
    """Return those of distinct texts without which all would be numbers: at most so many, or none.

    There must be more numbers than words.
    """
    none = texts.head(0)
    if len(_words(texts.head(FEW))) > most:  # soon said of most text
        return none
    words = _words(texts)
    numbers = texts.filter(~texts.is_in(words.to_list()))
    few = len(words) <= min(most, len(numbers) - 1)
    return words if few and parse_numbers(numbers) is not None else none


def _words(texts: pl.Series) -> pl.Series:
    return texts.filter(~texts.str.strip_chars().str.contains(f"{NUMBER}|{SPELLED}|{MISSING}"))


def _without_missing(column: pl.Series) -> pl.Series:
    present = column.str.strip_chars()
    return present.set(is_missing(present).fill_null(value=False), None)


def _plain(present: pl.Series) -> tuple[pl.Series, NumberFormat | None, None] | None:
    """Return numbers as Python writes them, with the number of their decimals if all have it."""
    whole = bool(present.drop_nulls().str.contains(INTEGER).all())
    numbers = present.cast(pl.Int64 if whole else pl.Float64, strict=False)
    if numbers.null_count() != present.null_count():
        return None
    decimals = None if whole else _decimals(present.drop_nulls(), ".")[0]
    return numbers, None if decimals is None else NumberFormat(decimals=decimals), None


def _decimals(digits: pl.Series, point: str) -> tuple[int | None, int]:
    """Return how many decimals all numbers have (None if it varies), and the fewest then."""
    if digits.str.contains("[eE]").any():
        return None, 0
    counts = digits.str.extract(rf"{re.escape(point)}([0-9]*)$").str.len_chars().fill_null(0)
    low, high = int(counts.min() or 0), int(counts.max() or 0)  # type: ignore[arg-type]  # counts
    return (low, 0) if low == high else (None, low)


def _format(text: pl.Series, *, decimal_comma: bool) -> tuple[NumberFormat, str | None] | None:
    """Return the one format of spelled numbers, and a note; None where there is none."""
    groups = text.str.extract_groups(SPELLED).struct
    prefix, suffix = (groups.field(name).fill_null("") for name in ("prefix", "suffix"))
    if prefix.n_unique() > 1 or suffix.n_unique() > 1:
        return None
    digits = groups.field("digits")
    fitting = [marks for marks in MARKS if digits.str.contains(_digits_pattern(*marks)).all()]
    if not fitting:
        return None
    (group, point), note = _chosen(fitting, digits, decimal_comma=decimal_comma)
    positive = f"{prefix[0]}{{}}{suffix[0]}"
    negative = _negative(groups, positive)
    return NumberFormat(positive, negative, group, point, *_decimals(digits, point)), note


def _digits_pattern(group: str, point: str) -> str:
    whole = r"(?:0|[1-9][0-9]*)"
    if group:
        whole = rf"(?:0|[1-9][0-9]{{0,2}}(?:{re.escape(group)}[0-9]{{3}})*)"
    return rf"^{whole}(?:{re.escape(point)}[0-9]+)?$"


def _chosen(
    fitting: list[tuple[str, str]], digits: pl.Series, *, decimal_comma: bool
) -> tuple[tuple[str, str], str | None]:
    """Return the marks of thousands and decimals, and a note where both readings are possible.

    Where all numbers have the same mark three digits before their end, it may be either.
    """
    marks = [m for m in ",." if digits.str.contains(m, literal=True).any()]
    mark = marks[0] if marks else ""
    readings = [f for f in fitting if mark in f] if marks else fitting
    as_group = next((f for f in readings if f[0] == mark), None)
    as_point = next((f for f in readings if f[1] == mark), None)
    if not marks or as_group is None or as_point is None:
        return readings[0], None
    everywhere = digits.str.contains(mark, literal=True).all()
    if not everywhere:  # a number of thousands below 1,000 has none; decimals are always written
        return as_group, None
    if mark == "." or decimal_comma:
        return as_point, None
    # an example from the table would put a value of one row into every folder with its notes
    return as_group, "reads a comma as a mark of thousands: '1,234' as 1234, not as 1.234"


def _is_negative(groups: Any) -> pl.Series:
    signed = [groups.field(n).is_in(["-", "−"]) for n in ("before", "between", "after")]
    brackets = groups.field("open").is_not_null() & groups.field("close").is_not_null()
    negative: pl.Series = signed[0] | signed[1] | signed[2] | brackets
    return negative.fill_null(value=False)


def _negative(groups: Any, positive: str) -> str:
    """Return how negative numbers are written; with a minus where there is none."""
    for name in ("before", "between", "after", "open"):
        marks = groups.field(name).drop_nulls()
        marks = marks.filter(marks.is_in(["-", "−", "("]))
        if len(marks):
            mark = str(marks[0])
            forms = {"before": mark + positive, "after": positive + mark, "open": f"({positive})"}
            return forms.get(name, positive.replace("{}", mark + "{}"))
    return f"-{positive}"


def _grouped(whole: pl.Series, group: str) -> pl.Series:
    """Return whole numbers with a mark between thousands."""
    backwards = whole.str.reverse().str.replace_all(r"([0-9]{3})", f"${{1}}{group}")
    return backwards.str.strip_suffix(group).str.reverse()


def _wrapped(text: pl.Series, form: str) -> pl.Series:
    before, after = form.split("{}")
    return before + text + after
