"""The words of the small language of constraints, read by Python's own grammar and a white list.

Column names become placeholders before the grammar sees them, so that `class`, `größe` and
`` `hours per week` `` are names like any other. Nothing is ever evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from pushforward.errors import DataError

Value = int | float | date | datetime

LONGEST = 500  # characters of a text
TOKEN = re.compile(
    r"`(?P<tick>[^`]+)`|\"(?P<double>[^\"]+)\"|'(?P<single>[^']+)'"
    r"|(?P<time>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?)(?!\d)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[^\W\d]\w*)"
)
WORD = re.compile(r"[^\W\d]\w*")
COMBINE = "combine"
HELP = (
    "write e.g. 'low <= high', '0 <= age <= 120', 'start >= 2020-01-31', 'total = price * quantity'"
    " or 'combine(city, state)', names with blanks in backticks"
)


@dataclass(frozen=True)
class Phrase:
    """A text and its tree.

    Args:
        text: as it was written.
        tree: of the expression.
        names: the columns by their placeholders.
        times: the dates and date-times by theirs.
    """

    text: str
    tree: ast.expr
    names: Mapping[str, str]
    times: Mapping[str, date]

    def said(self, node: ast.expr) -> str:
        """Return a part of the tree as it is written in the language."""
        return re.sub(r"\b_\d+\b", lambda found: self._word(found[0]), ast.unparse(node))

    def _word(self, key: str) -> str:
        return quoted(self.names[key]) if key in self.names else spelled(self.times[key])

    def refuse(self, why: str) -> DataError:
        """Return the error that says why the text cannot be used."""
        return DataError(f"the constraint {self.text!r} cannot be read: {why}; {HELP}")


def phrase(text: str) -> Phrase:
    """Read a text; DataError when it follows no grammar."""
    names: dict[str, str] = {}
    times: dict[str, date] = {}

    def replaced(found: re.Match[str]) -> str:
        kind, key = found.lastgroup or "", f"_{len(names) + len(times)}"
        said = found[kind]
        called = said == COMBINE and text[found.end() :].lstrip().startswith("(")
        if kind == "number" or (kind == "word" and called):
            return said
        if kind == "time":
            times[key] = _time(said, text)
        else:
            names[key] = said
        return f" {key} "  # apart, or `2x` would read as a number

    grammatical = re.sub(r"(?<![<>=!])=(?!=)", "==", TOKEN.sub(replaced, text.strip()))
    if len(text) > LONGEST:
        raise DataError(f"a constraint must have at most {LONGEST} characters, got {len(text)}")
    try:
        tree = ast.parse(grammatical.strip(), mode="eval").body
        ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise DataError(f"the constraint {text[:100]!r} cannot be read; {HELP}") from None
    return Phrase(text.strip(), tree, names, times)


def _time(said: str, text: str) -> date:
    """Return a date, or a date-time where an hour is given."""
    try:
        return date.fromisoformat(said) if len(said) == 10 else datetime.fromisoformat(said)
    except ValueError:
        raise DataError(f"the constraint {text!r} names a date that is none: {said}") from None


def quoted(name: str) -> str:
    """Return a column's name as it is written in the language."""
    if WORD.fullmatch(name) and name != COMBINE:
        return name
    mark = next((mark for mark in "`\"'" if mark not in name), None)
    if mark is None or not name:
        raise DataError(f"the column {name!r} cannot be named in a constraint; rename it")
    return f"{mark}{name}{mark}"


def spelled(value: Value) -> str:
    """Return a bound as it is written in the language."""
    return value.isoformat() if isinstance(value, date) else repr(value)
