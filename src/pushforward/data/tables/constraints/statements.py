"""What a user says must hold in every row of a table, as objects and as text."""

from __future__ import annotations

import ast
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from pushforward.data.tables.constraints.formula import Formula
from pushforward.data.tables.constraints.language import (
    COMBINE,
    Phrase,
    Value,
    phrase,
    quoted,
    spelled,
)
from pushforward.errors import DataError

Comparison = tuple[str | Value, bool, str | Value]  # lesser, whether strictly, greater
UPWARDS = {ast.Lt: True, ast.LtE: False}
DOWNWARDS = {ast.Gt: True, ast.GtE: False}


class Statement(ABC):
    """What must hold in each row. Where one of its columns is missing, it holds."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that it speaks of."""

    @abstractmethod
    def __str__(self) -> str:
        """Return its text, which `parse` turns into the same statement."""


@dataclass(frozen=True)
class Bounds(Statement):
    """`low <= column <= high`, for numbers, dates and date-times.

    Args:
        column: its name.
        low, high: the bounds; None for no such bound.
        low_open, high_open: whether the bound itself is excluded.
    """

    column: str
    low: Value | None = None
    high: Value | None = None
    low_open: bool = False
    high_open: bool = False

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise DataError(f"Bounds({self.column!r}) must name a low or a high bound, got none")
        for bound in (self.low, self.high):
            number = isinstance(bound, int | float) and math.isfinite(bound)
            if not (bound is None or number or isinstance(bound, date)):
                msg = f"a bound of {self.column!r} must be a finite number or a time, got {bound!r}"
                raise DataError(msg)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def __str__(self) -> str:
        if self.low is None and self.high is not None:
            return f"{quoted(self.column)} <{'=' * (not self.high_open)} {spelled(self.high)}"
        assert self.low is not None
        if self.high is None:
            return f"{quoted(self.column)} >{'=' * (not self.low_open)} {spelled(self.low)}"
        below, above = "=" * (not self.low_open), "=" * (not self.high_open)
        return f"{spelled(self.low)} <{below} {quoted(self.column)} <{above} {spelled(self.high)}"


@dataclass(frozen=True)
class Inequality(Statement):
    """`low <= high` between two columns of numbers, or of times.

    Args:
        low, high: their names.
        strict: whether they must differ.
    """

    low: str
    high: str
    strict: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Both columns."""
        return (self.low, self.high)

    def __str__(self) -> str:
        return f"{quoted(self.low)} <{'=' * (not self.strict)} {quoted(self.high)}"


@dataclass(frozen=True, init=False)
class Combination(Statement):
    """Only combinations of these columns' values that training rows have."""

    members: tuple[str, ...]

    def __init__(self, *members: str) -> None:
        if len(members) < 2 or len(set(members)) < len(members):
            raise DataError(f"a combination is of two or more columns, got {', '.join(members)}")
        object.__setattr__(self, "members", members)

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns."""
        return self.members

    def __str__(self) -> str:
        return f"{COMBINE}({', '.join(map(quoted, self.members))})"


@dataclass(frozen=True)
class Derived(Statement):
    """`column = formula`: never learned, computed from the other columns.

    Args:
        column: its name.
        formula: of columns, numbers, + - * / and parentheses.
    """

    column: str
    formula: str

    def __post_init__(self) -> None:
        formula = Formula(self.formula)
        object.__setattr__(self, "formula", formula.text)
        if self.column in formula.columns:
            raise DataError(f"the column {self.column!r} cannot be derived from itself: {self}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The column, and what it is derived from."""
        return (self.column, *Formula(self.formula).columns)

    def __str__(self) -> str:
        return f"{quoted(self.column)} = {self.formula}"


def parse(said: str | Statement | Iterable[str | Statement]) -> list[Statement]:
    """Return what a text, a statement or several of either say; DataError when it says nothing."""
    if isinstance(said, Statement):
        return [said]
    if isinstance(said, str):
        return _parse(phrase(said))
    if not isinstance(said, Iterable):
        msg = f"a constraint must be a text or a statement, got {type(said).__name__}"
        raise DataError(msg)
    return [statement for one in said for statement in parse(one)]


def _parse(said: Phrase) -> list[Statement]:
    """Return the statements of one text: one, or one for each link of a chain a <= b <= c."""
    match said.tree:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name == COMBINE:
            members = [_operand(said, arg) for arg in args]
            if all(isinstance(member, str) for member in members):
                return [Combination(*map(str, members))]
        case ast.Compare(ast.Name(id=key), [ast.Eq()], [formula]) if key in said.names:
            return [Derived(said.names[key], said.said(formula))]
        case ast.Compare():
            return _compared(said, said.tree)
    raise said.refuse("it is neither a comparison nor a formula nor a combination")


def _compared(said: Phrase, tree: ast.Compare) -> list[Statement]:
    """Return bounds and inequalities of a chain of comparisons."""
    kinds = {type(op) for op in tree.ops}
    terms = [_operand(said, node) for node in (tree.left, *tree.comparators)]
    links: list[Comparison]
    if kinds <= UPWARDS.keys():
        strict = [UPWARDS[type(op)] for op in tree.ops]
        links = [(a, s, b) for (a, b), s in zip(pairwise(terms), strict, strict=True)]
    elif kinds <= DOWNWARDS.keys():
        strict = [DOWNWARDS[type(op)] for op in tree.ops]
        links = [(b, s, a) for (a, b), s in zip(pairwise(terms), strict, strict=True)][::-1]
    else:
        raise said.refuse("a chain must go one way, all < and <= or all > and >=")
    if not any(isinstance(term, str) for term in terms):
        raise said.refuse("it names no column")
    return _joined([_statement(said, *link) for link in links])


def _statement(said: Phrase, low: str | Value, strict: bool, high: str | Value) -> Statement:
    """Return what one comparison says."""
    if isinstance(low, str) and isinstance(high, str):
        return Inequality(low, high, strict)
    if isinstance(low, str) and not isinstance(high, str):
        return Bounds(low, high=high, high_open=strict)
    if isinstance(high, str) and not isinstance(low, str):
        return Bounds(high, low=low, low_open=strict)
    raise said.refuse("it compares two numbers")


def _joined(found: Sequence[Statement]) -> list[Statement]:
    """Return statements with `0 <= age` and `age <= 120`, side by side in a chain, as one."""
    joined: list[Statement] = []
    for statement in found:
        last = joined[-1] if joined else None
        if (
            isinstance(last, Bounds)
            and isinstance(statement, Bounds)
            and last.column == statement.column
            and last.high is None
        ):
            low, opened = last.low, last.low_open
            high, closed = statement.high, statement.high_open
            joined[-1] = Bounds(last.column, low, high, opened, closed)
        else:
            joined.append(statement)
    return joined


def _operand(said: Phrase, node: ast.expr) -> str | Value:
    """Return a column's name, a number or a time."""
    match node:
        case ast.Name(id=key) if key in said.names:
            return said.names[key]
        case ast.Name(id=key) if key in said.times:
            return said.times[key]
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise said.refuse("only columns, numbers and dates can be compared")
