"""Identifiers by their form: what is left to compare where no value is ever the same.

A column of identifiers that is empty, constant, or of another form in the generated table differs
from the real one; that its values differ says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile

import polars as pl

from pushforward.measures.tables._types import present, spelled

READ = 64  # characters of a value
SAMPLED = 10_000  # values from which the common beginning is taken
CONSTANT = " (the same in most rows)"


def with_forms(
    frames: Mapping[str, pl.DataFrame], identifiers: Iterable[str]
) -> dict[str, pl.DataFrame]:
    """Return the tables, of which the first is real, with the form of each identifier."""
    tables = dict(frames)
    real = next(iter(frames.values()))
    for name in identifiers:
        beginning = _beginning(_texts(real[name]))
        tables = {
            sample: table.with_columns(form(table[name], beginning).alias(name))
            for sample, table in tables.items()
        }
    return tables


def form(values: pl.Series, beginning: str = "") -> pl.Series:
    """Return the form of each value: runs of letters as a, of digits as 9, of both as x.

    `beginning` is kept as it is. A value that most rows share is marked: it identifies nothing.
    """
    texts = _texts(values)
    begins = texts.str.starts_with(beginning)
    rest = texts.str.strip_prefix(beginning).str.slice(0, READ)
    for run, name in ((r"\d+", "9"), (r"\p{L}+", "a"), ("(?:a9|9a)[a9]*", "x")):
        rest = rest.str.replace_all(run, name)
    forms = (beginning + rest).zip_with(begins.fill_null(value=True), rest)
    counts = texts.drop_nulls().value_counts(sort=True)
    if not len(counts) or not 2 < 2 * int(counts["count"][0]) > len(texts):
        return forms
    shared = (texts == counts[texts.name][0]).fill_null(value=False)
    return (forms + CONSTANT).zip_with(shared, forms)


def _texts(values: pl.Series) -> pl.Series:
    there = pl.Series(present(values))
    return spelled(values).set(~there, None)


def _beginning(texts: pl.Series) -> str:
    """Return what all texts begin with, up to the first digit: numbers count up elsewhere."""
    some = texts.drop_nulls().head(SAMPLED)
    if not len(some):
        return ""
    ends = zip(str(some.min()), str(some.max()), strict=False)
    return "".join(a for a, _ in takewhile(lambda ab: ab[0] == ab[1] and not ab[0].isdigit(), ends))
