"""The language of constraints, parsed by Python's own grammar and a list of allowed nodes.

Column names become placeholders before they are parsed, so that `class`, `größe` and
`` `hours per week` `` are names like any other. Nothing is ever evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from pushforward.data.tables.constraints.clock import CLOCK, MINUTES, PARTS
from pushforward.errors import DataError

BoundValue = int | float | date | datetime

MAX_CHARACTERS = 500
TOKEN = re.compile(
    r"`(?P<tick>[^`]+)`|\"(?P<double>[^\"]+)\"|'(?P<single>[^']+)'"
    r"|(?P<time>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?)(?!\d)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[^\W\d]\w*)"
)
WORD = re.compile(r"[^\W\d]\w*")
COMBINE, FACTOR, LOOKUP = "combine", "factor", "lookup"
MARKS = "`\"'"  # between which a name may stand
OWN_CALLS = (COMBINE, FACTOR, LOOKUP)
CALLS = (*OWN_CALLS, *PARTS, MINUTES, CLOCK)
HELP = (
    "write e.g. 'low <= high', '0 <= age <= 120', 'start >= 2020-01-31', 'total = price * quantity'"
    " or 'combine(city, state)', and names with blanks in backticks"
)


@dataclass(frozen=True)
class ParsedText:
    """A text and its syntax tree.

    Args:
        text: as the user wrote it.
        tree: of the expression, with placeholders as names.
        names: the columns, by their placeholders.
        times: the dates and date-times, by their placeholders.
        zones: the time zones, by their placeholders.
    """

    text: str
    tree: ast.expr
    names: Mapping[str, str]
    times: Mapping[str, date]
    zones: Mapping[str, str] = field(default_factory=dict)

    def unparse(self, node: ast.expr) -> str:
        """Return the text of a part of the tree."""
        return re.sub(r"\b_\d+\b", lambda match: self._token(match[0]), ast.unparse(node))

    def _token(self, key: str) -> str:
        if key in self.zones:
            return f'"{self.zones[key]}"'
        return quote_name(self.names[key]) if key in self.names else format_value(self.times[key])

    def error(self, reason: str) -> DataError:
        """Return the error that says why the text cannot be used."""
        return DataError(f"the constraint {self.text!r} cannot be read: {reason}; {HELP}")


def parse_text(text: str) -> ParsedText:
    """Parse a text; DataError when it is not an expression."""
    names: dict[str, str] = {}
    times: dict[str, date] = {}

    def placeholder(match: re.Match[str]) -> str:
        kind, key = match.lastgroup or "", f"_{len(names) + len(times)}"
        token = match[kind]
        is_call = token in CALLS and text[match.end() :].lstrip().startswith("(")
        if kind == "number" or (kind == "word" and is_call):
            return token
        if kind == "time":
            times[key] = _parse_time(token, text)
        else:
            names[key] = token
        return f" {key} "  # with blanks, or `2x` would read as a number

    python = re.sub(r"(?<![<>=!])=(?!=)", "==", TOKEN.sub(placeholder, text.strip()))
    if len(text) > MAX_CHARACTERS:
        msg = f"a constraint must have at most {MAX_CHARACTERS} characters, got {len(text)}"
        raise DataError(msg)
    try:
        tree = ast.parse(python.strip(), mode="eval").body
        ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise DataError(f"the constraint {text[:100]!r} cannot be read; {HELP}") from None
    zones = {key: names.pop(key) for key in _zone_keys(tree) if key in names}
    return ParsedText(text.strip(), tree, names, times, zones)


def _zone_keys(tree: ast.expr) -> Iterator[str]:
    """Yield the placeholders of time zones: the second arguments of parts of times."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Name(id=call), [_, ast.Name(id=key)], []) if call in PARTS:
                yield key


def _parse_time(token: str, text: str) -> date:
    """Return a date, or a date-time if an hour is given."""
    try:
        return date.fromisoformat(token) if len(token) == 10 else datetime.fromisoformat(token)
    except ValueError:
        raise DataError(f"the constraint {text!r} has an invalid date: {token}") from None


def quote_name(name: str) -> str:
    """Return a column's name as it is written in the language."""
    if WORD.fullmatch(name) and name not in OWN_CALLS:
        return name
    if not can_be_named(name):
        raise DataError(f"the column {name!r} cannot be named in a constraint; rename it")
    mark = next(mark for mark in MARKS if mark not in name)
    return f"{mark}{name}{mark}"


def can_be_named(name: str) -> bool:
    """Whether the language has a way to write a column's name."""
    return name != "" and any(mark not in name for mark in MARKS)


def format_value(value: BoundValue) -> str:
    """Return a bound as it is written in the language."""
    return value.isoformat() if isinstance(value, date) else repr(value)
