"""Identifiers of varying length by their forms: e-mail addresses, references, names with numbers.

A text is cut into runs of letters, runs of digits and what stands between. Texts whose runs follow
each other alike are of one form. In each form one run is drawn from an endless list of distinct
strings, so that no two identifiers are equal; the others are drawn by their own characters, or,
where a few words make up nearly all of a run (`org`, `com`), among these.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from pushforward.data.numeric import Floats
from pushforward.data.tables.distinct_strings import DistinctStrings, hashed_uniform
from pushforward.data.tables.partition import MIN_POOLED_ROWS, min_pooled

MAX_FORMS = 16
MAX_WORDS = 32  # that a run is drawn among
PARTS = re.compile(r"[A-Za-z]+|[0-9]+|[^A-Za-z0-9]")


@dataclass(frozen=True)
class Run:
    """The letters or digits at one place of a form.

    Args:
        words: that make up the run, each of many rows; empty where its characters are drawn.
        shares: of the words, or of the lengths 1, 2, ...
        alphabets: the characters of each position.
    """

    words: tuple[str, ...]
    shares: tuple[float, ...]
    alphabets: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: Sequence[str], alphabets: Sequence[str]) -> Run:
        """Learn the words of a run, or its lengths."""
        counts = Counter(values)
        frequent = [word for word, count in counts.most_common(MAX_WORDS) if _is_pooled(count)]
        covered = sum(counts[word] for word in frequent)
        if covered > 0.95 * len(values):
            return cls(tuple(frequent), tuple(counts[word] / covered for word in frequent))
        lengths = np.bincount([len(value) for value in values])[1:] / len(values)
        return cls((), tuple(lengths.tolist()), tuple(alphabets))

    def distinct(self, first: int, n: int, key: int) -> list[str]:
        """Return strings number first .. first + n - 1 of a list of distinct ones."""
        return DistinctStrings(self.alphabets, self.shares, pl.String(), key).strings(first, n)

    def drawn(self, first: int, n: int, key: int) -> list[str]:
        """Return words, or strings of the run's characters, that may repeat."""
        which = _drawn(self.shares, hashed_uniform(first, n, key))
        if self.words:
            return [self.words[k] for k in which]
        columns = [
            [alphabet[int(u * len(alphabet))] for u in hashed_uniform(first, n, key + 31 * (j + 1))]
            for j, alphabet in enumerate(self.alphabets)
        ]
        rows = zip(*columns, strict=True)
        return ["".join(row)[: k + 1] for row, k in zip(rows, which, strict=True)]


@dataclass(frozen=True)
class Form:
    """One form of a column's texts.

    Args:
        share: of the texts.
        parts: what stands between runs, and None for each run.
        runs: in their order.
        main: the run whose strings are distinct.
    """

    share: float
    parts: tuple[str | None, ...]
    runs: tuple[Run, ...]
    main: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Form:
        """Rebuild from `to_json`."""
        runs = tuple(
            Run(*(tuple(run[k]) for k in ("words", "shares", "alphabets"))) for run in data["runs"]
        )
        return cls(data["share"], tuple(data["parts"]), runs, data["main"])

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def texts(self, first: int, n: int, key: int) -> list[str]:
        """Return the texts number first .. first + n - 1 of this form."""
        runs = [
            run.distinct(first, n, key) if k == self.main else run.drawn(first, n, key + 101 * k)
            for k, run in enumerate(self.runs)
        ]
        columns = iter(runs)
        parts = [next(columns) if part is None else [part] * n for part in self.parts]
        return ["".join(row) for row in zip(*parts, strict=True)]


def fit_forms(texts: pl.Series, alphabet: Any) -> tuple[Form, ...]:
    """Return the forms of texts of varying length; none where all have the same, or no run varies.

    `alphabet` widens the characters of a position to whole classes.
    """
    if texts.str.len_chars().n_unique() < 2:
        return ()
    cut = [PARTS.findall(text) for text in texts]
    by_form: dict[tuple[str | None, ...], list[list[str]]] = {}
    for parts in cut:
        skeleton = tuple(None if part.isalnum() and part.isascii() else part for part in parts)
        kinds = tuple("0" if p[0].isdigit() else "a" for p in parts if p.isalnum() and p.isascii())
        runs = [part for part in parts if part.isalnum() and part.isascii()]
        by_form.setdefault((*skeleton, *kinds), []).append([str(len(parts)), *runs])
    fewest = min_pooled(len(texts))  # a form of one text would spell it
    shared = [item for item in by_form.items() if len(item[1]) >= fewest]
    frequent = sorted(shared, key=lambda item: -len(item[1]))[:MAX_FORMS]
    forms = [_form(key, rows, len(texts), alphabet) for key, rows in frequent]
    return tuple(form for form in forms if form is not None)


def _form(
    key: tuple[str | None, ...], rows: list[list[str]], total: int, alphabet: Any
) -> Form | None:
    """Return a form; None where no run varies, so that its texts cannot be distinct."""
    parts = key[: int(rows[0][0])]
    columns = list(zip(*(row[1:] for row in rows), strict=True))
    runs = [Run.fit(values, _alphabets(values, alphabet)) for values in columns]
    varied = [k for k, run in enumerate(runs) if not run.words]
    if not varied:
        return None
    main = max(varied, key=lambda k: len(set(columns[k])))
    return Form(len(rows) / total, parts, tuple(runs), main)


def form_texts(forms: Sequence[Form], first: int, n: int, key: int) -> list[str]:
    """Return the texts number first .. first + n - 1, of each form as often as it occurs."""
    shares = [form.share for form in forms]
    which = _drawn(shares, hashed_uniform(first, n, key + 7))
    by_form = [form.texts(first, n, key + 1009 * k) for k, form in enumerate(forms)]
    return [by_form[k][i] for i, k in enumerate(which)]


def _alphabets(values: Sequence[str], alphabet: Any) -> list[str]:
    characters = np.array(values, dtype=np.str_)
    matrix = characters.view("<U1").reshape(len(characters), -1)
    return ["".join(sorted(set(alphabet(column)) - {""})) for column in matrix.T]


def _drawn(shares: Sequence[float], uniform: Floats) -> list[int]:
    """Return indices, drawn by their shares."""
    ends = np.cumsum(shares) / np.sum(shares)
    return np.searchsorted(ends[:-1], uniform, side="right").tolist()  # type: ignore[no-any-return]


def _is_pooled(count: int) -> bool:
    return count >= MIN_POOLED_ROWS
