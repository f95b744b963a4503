"""Columns of identifiers: recognised, never stored, generated anew by their pattern."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pushforward.data.tables.column_summary import ColumnSummary
from pushforward.data.tables.distinct_strings import DistinctStrings, hashed_uniform
from pushforward.data.tables.dtypes import dtype_from_json, dtype_to_json
from pushforward.data.tables.identifier_forms import Form, fit_forms, form_texts
from pushforward.data.tables.partition import min_pooled
from pushforward.errors import DataError

MIN_UNIQUE_ROWS = 20  # with as many rows, a column of unique texts is one of identifiers
MIN_DISTINCT = 1000  # with more distinct texts, so is a column whose texts are mostly distinct
MOSTLY = 0.75  # the share of distinct texts from which on they are mostly distinct
KEY_NAMES = "id|ids|uuid|guid|unnamed"  # parts of a name that say "key"
# A name of these alone says which row it is: index_1, RowNumber, but not price_index, row_total.
ROW_NAMES = {"index", "row", "number", "num", "nr", "no", "level", "record", "sample"}
ROW_NAMES |= {"data", "df", "original", "old"}
TEXT_KEY_NAMES = "nr|no|num|number|code|sku|iban|mail|email|phone|tel|ssn|passport|ref|hash|token"
YEAR = r"(?:1[5-9]|2[01])\d\d"
PERIODS = (  # quarters, halves, weeks and months, for which there is no format of times
    rf"(?i)^(?:{YEAR}[-/. ]?(?:Q[1-4]|[HS][12]|W[0-5]\d|M[01]?\d)"
    rf"|(?:Q[1-4]|[HS][12])[-/. ]?{YEAR})$"
)
UUID = r"^\{?[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\}?$"
MAX_LENGTH = 64
CHARACTER_CLASSES = (  # a subset of the first set generalises to the first, else to the second
    (string.digits, string.digits),
    ("abcdef", string.ascii_lowercase),
    ("ABCDEF", string.ascii_uppercase),
)
KNOWN_CHARACTERS = string.digits + string.ascii_letters


def looks_like_identifiers(summary: ColumnSummary) -> bool:
    """Whether a column of text seems to identify its rows."""
    if summary.dtype != pl.String or summary.present < MIN_UNIQUE_ROWS:
        return False
    distinct = math.inf if summary.levels is None else len(summary.levels)
    return distinct == summary.present or distinct > max(MIN_DISTINCT, MOSTLY * summary.present)


def is_key(summary: ColumnSummary) -> bool:
    """Whether there is evidence that texts, nearly all different, are keys.

    A name that says so, a UUID, or a fixed form: as many characters each, at each place of one
    kind (digits, letters, or one sign), and a digit among them.
    """
    texts = summary.texts
    if _names_key(summary.name, f"{KEY_NAMES}|{TEXT_KEY_NAMES}"):
        return True
    if texts is None or not len(texts) or spells_periods(summary):
        return False
    strings = texts.cast(pl.String)
    if strings.str.contains(UUID).all():
        return True
    shapes = strings.str.replace_all("[0-9]", "0").str.replace_all("[A-Za-z]", "a")
    one_shape = shapes.n_unique() == 1 and " " not in shapes[0]
    return one_shape and "0" in shapes[0]


def spells_periods(summary: ColumnSummary) -> bool:
    """Whether all texts are quarters, weeks or the like: 1974Q1, 2019-W05."""
    texts = summary.texts
    if texts is None or not len(texts):
        return False
    return bool(texts.cast(pl.String).str.strip_chars().str.contains(PERIODS).all())


def all_differ(summary: ColumnSummary, sample: pl.Series) -> bool:
    """Whether integers all differ, and none is missing, as far as the training rows say."""
    whole = summary.dtype.is_integer() and summary.present == summary.rows >= MIN_UNIQUE_ROWS
    return whole and sample.n_unique() == len(sample)


def is_integer_key(summary: ColumnSummary, sample: pl.Series) -> bool:
    """Whether integers are keys: they all differ, and their name says so."""
    return _names_key(summary.name, KEY_NAMES) and all_differ(summary, sample)


def counts_rows(summary: ColumnSummary, sample: pl.Series) -> bool:
    """Whether integers number the rows: all of 0 or 1 to the number of rows, each once."""
    low, high = summary.integers.low, summary.integers.high
    if low not in (0, 1) or high is None:
        return False
    return high - low + 1 == summary.rows and all_differ(summary, sample)


def _names_key(name: str, words: str) -> bool:
    """Whether a name says "key": one of the words is a part of it (customer_id, "order no.").

    Or "key" is its last part, or all of its parts are `ROW_NAMES`.
    """
    parts = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
    if re.search(rf"(?:^|[^a-z])(?:(?:{words})(?:[^a-z]|$)|key[^a-z]*$)", parts):
        return True
    own = re.findall("[a-z]+", parts)
    return not {"index", "row"}.isdisjoint(own) and set(own) <= ROW_NAMES


@dataclass(frozen=True)
class Identifier:
    """The pattern of a column of identifiers.

    Args:
        name: of the column.
        dtype: its Polars dtype.
        alphabets: the characters that each position may have; one if all rows agree.
        lengths: the shares of the lengths 1, 2, ...
        missing: the share of missing values.
        negative: the share of negative numbers; the pattern is that of their digits.
        forms: of texts of varying length; then there are no alphabets.
    """

    name: str
    dtype: pl.DataType
    alphabets: tuple[str, ...]
    lengths: tuple[float, ...]
    missing: float
    negative: float = 0.0
    forms: tuple[Form, ...] = ()

    @classmethod
    def fit(cls, summary: ColumnSummary) -> Identifier:
        """Learn the pattern of a column of text or integers."""
        texts, dtype = summary.texts, summary.dtype
        if not (dtype.is_integer() or dtype == pl.String) or texts is None or not len(texts):
            msg = f"column {summary.name!r}: identifiers must be text or integers, got {dtype}"
            raise DataError(msg)
        strings, negative = texts.cast(pl.String), 0.0
        if dtype.is_integer():
            negative = float(strings.str.starts_with("-").to_numpy().mean())
            strings = strings.str.strip_prefix("-")
        characters = _characters(strings.str.slice(0, MAX_LENGTH))
        lengths = np.bincount((characters != "").sum(1))[1:] / len(characters)
        pool = "".join(sorted(set(np.unique(characters).tolist()) - {"", *KNOWN_CHARACTERS}))
        alphabets = [_alphabet(column) or pool for column in characters.T]
        if dtype.is_integer():
            alphabets[0] = alphabets[0].replace("0", "") or "1"
        missing, shares = summary.nulls / summary.rows, tuple(lengths.tolist())
        forms = () if dtype.is_integer() else fit_forms(strings, _alphabet)
        used = () if forms else tuple(alphabets)
        return cls(summary.name, dtype, used, shares, missing, negative, forms)

    def generate(
        self, n: int, generator: torch.Generator | None = None, first: int = 0
    ) -> pl.Series:
        """Return identifiers number `first` to `first + n - 1` of an endless list of distinct ones.

        The list depends only on the generator's state, so that tables can be made in chunks.
        """
        device = None if generator is None else generator.device
        key = int(torch.randint(2**62, (), generator=generator, device=device))
        if self.forms:
            strings = form_texts(self.forms, first, n, key)
        else:
            strings = DistinctStrings(self.alphabets, self.lengths, self.dtype, key).strings(
                first, n
            )
        values = pl.Series(self.name, strings, dtype=pl.String).cast(self.dtype)
        if self.negative:
            is_negative = pl.Series(hashed_uniform(first, n, key + 1) < self.negative)
            values = (-values).zip_with(is_negative, values)
        missing = pl.Series(hashed_uniform(first, n, key) < self.missing)
        return values.set(missing, None) if missing.any() else values

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "dtype": dtype_to_json(self.dtype),
            "alphabets": list(self.alphabets),
            "lengths": list(self.lengths),
            "missing": self.missing,
            "negative": self.negative,
            "forms": [form.to_json() for form in self.forms],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Identifier:
        """Rebuild from `to_json`."""
        return cls(
            data["name"],
            dtype_from_json(data["dtype"]),
            tuple(data["alphabets"]),
            tuple(data["lengths"]),
            data["missing"],
            data["negative"],
            tuple(map(Form.from_json, data["forms"])),
        )


def _characters(texts: pl.Series) -> NDArray[np.str_]:
    """Return texts as a matrix of characters, padded with empty ones."""
    array = np.array(texts.to_list(), dtype=np.str_)
    return array.view("<U1").reshape(len(array), -1)


def _alphabet(column: NDArray[np.str_]) -> str:
    """Return the characters of a position, widened to whole classes if there are several.

    Of those that are in no class only the ones that are not rare, so that none tells a text.
    """
    values, counts = np.unique(column, return_counts=True)
    seen = set(values.tolist())
    if len(seen) == 1:
        return str(seen.pop())
    shared = values[counts >= min_pooled(len(column))]
    alphabet = set(shared.tolist()) - {""}
    for few, many in CHARACTER_CLASSES:
        members = seen.intersection(many)
        if members:
            alphabet |= set(few if members <= set(few) else many)
    return "".join(sorted(alphabet))
