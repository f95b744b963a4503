"""Remarks on a column that is read: what the user may want to know, or to state otherwise."""

from __future__ import annotations

from shlex import quote

import polars as pl

from pushforward.data.tables.column_summary import ColumnSummary
from pushforward.data.tables.columns import RARE_LEVEL, CategoricalCodec
from pushforward.data.tables.identifiers import (
    all_differ,
    counts_rows,
    is_key,
    spells_periods,
)
from pushforward.data.tables.number_text import words_among_numbers
from pushforward.data.tables.numeric_codec import MAX_EXACT_INTEGER, NumericCodec

MIN_KEY_ROWS = 1000  # with as many rows, integers that all differ may be identifiers: a note
MAX_WORDS = 10  # distinct ones among numbers, ...
MAX_WORD_SHARE = 0.1  # ... in as many rows, are not what the column is about
READ_AS = {"categorical": "categories", "identifier": "identifiers"}


def mixed_offsets(name: str) -> str:
    """Return the note on times that were written with several offsets from UTC."""
    return (
        f"check: column {name!r} has times of several offsets from UTC; they are read and written "
        "in UTC; if local time matters, give it as a column of its own"
    )


def words_note(summary: ColumnSummary, sample: pl.Series, kind: str, least: int) -> str | None:
    """Return a note on text that is numbers but for a few words, where the user states no kind.

    It shows the words that at least so many rows of the sample have.
    """
    levels = summary.texts if summary.levels is None else summary.levels
    if summary.dtype != pl.String or summary.kind is not None or levels is None:
        return None
    if kind == "identifier" and is_key(summary):
        return None
    words, present = words_among_numbers(levels, MAX_WORDS), sample.drop_nulls()
    rows = present.filter(present.is_in(words.to_list()))
    if not len(words) or len(rows) > MAX_WORD_SHARE * len(present):
        return None
    shown = [repr(word) for word in words.sort() if (rows == word).sum() >= least]
    name, listed = summary.name, f" ({', '.join(shown)})" if shown else ""
    return (
        f"check: column {name!r} is read as {READ_AS[kind]}: it holds numbers but, in "
        f"{len(rows):,} of {len(present):,} training rows, words{listed}; to have it read as "
        "numbers, make these missing or numbers in the table; to keep it, state "
        f"{_override(name)}"
    )


def _override(name: str) -> str:
    """Return how a column is stated to hold categories."""
    option = quote(f"{name}=categorical")
    return f"overrides={{{name!r}: 'categorical'}} (--override {option})"


def identifier_note(summary: ColumnSummary) -> str:
    """Return a note on a column of identifiers: to be acted on where there is no evidence."""
    name = summary.name
    if summary.kind is None and spells_periods(summary) and not is_key(summary):
        return (
            f"check: column {name!r} holds quarters, weeks or the like, nearly all different: it "
            "is generated anew by its pattern, unrelated to the other columns; if it should be "
            "learned, give it as dates, each the first day: 1974-01-01 for 1974Q1"
        )
    if summary.kind is not None or summary.dtype.is_integer() or is_key(summary):
        return f"column {name!r} holds identifiers: generated anew by their pattern, none is stored"
    return (
        f"check: column {name!r} holds text that is nearly all different: it is generated anew by "
        "its pattern, unrelated to the other columns; if it should be learned, read it with "
        f"{_override(name)}"
    )


def missing_remarks(summary: ColumnSummary) -> list[str]:
    """Return remarks on missing values."""
    remarks = {
        "is all missing: there is nothing to learn": not summary.present,
        "has both NaN and null; both come back as null": summary.nans > 0 and summary.nulls > 0,
    }
    return [remark for remark, applies in remarks.items() if applies]


def rare_remarks(summary: ColumnSummary, column: CategoricalCodec, sample: pl.Series) -> list[str]:
    """Return a remark that counts the rare categories, if there are any."""
    total = 0 if summary.levels is None else len(summary.levels)
    cells = column.partition
    if not column.drops_rare:
        rare, share = int(column.pooled.sum()), float(cells.mass[column.pooled].sum())
        handling = "share cells, and are generated as often as they occur (rare='draw')"
    elif RARE_LEVEL in column.levels:
        rare = total - len(column.levels) + 1
        share = float(cells.mass[column.levels.index(RARE_LEVEL)])
        handling = f"are generated as {RARE_LEVEL!r}, and none is stored (rare='name')"
    else:
        rare, missing = total - len(column.levels), sample.null_count() / max(len(sample), 1)
        share = (cells.missing or 0) - missing
        handling = "are generated as missing, and none is stored (rare='name')"
    remark = f"has {total} categories; the {rare} rarer ones ({share:.1%} of the rows) {handling}"
    return [remark] if rare else []


def number_remarks(summary: ColumnSummary, number: NumericCodec, sample: pl.Series) -> list[str]:
    """Return remarks on numbers that may be identifiers, or that are too long to be exact."""
    if summary.dtype.is_temporal():
        rounded = number.unit != summary.integers.unit(summary.dtype)
        remark = "spans more than 2^53 ticks; its times are rounded down to fewer digits"
        return [remark] if rounded else []
    if number.has_exceptions:
        grid = f"{number.decimals} decimals" if number.decimals else "no decimals"
        return [f"has {grid} but for a few values, and all generated ones do"]
    if not summary.dtype.is_integer():
        return []
    low, high = summary.integers.low or 0, summary.integers.high or 0
    many = summary.rows >= MIN_KEY_ROWS and all_differ(summary, sample)
    remarks = {
        "has integers that all differ; if they are names, override it as identifier": (
            many and not counts_rows(summary, sample)
        ),
        f"spans {high - low}, more than 2^53: its integers keep 16 digits; if they are names, "
        "override it as identifier or categorical": high - low > MAX_EXACT_INTEGER,
    }
    return [remark for remark, applies in remarks.items() if applies]
