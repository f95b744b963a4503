"""The constraints that a user can state, as objects and as text."""

from __future__ import annotations

import ast
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

from pushforward.data.tables.constraints.formula import Formula
from pushforward.data.tables.constraints.language import (
    COMBINE,
    LOOKUP,
    BoundValue,
    ParsedText,
    format_value,
    parse_text,
    quote_name,
)
from pushforward.errors import DataError

Operand = str | BoundValue  # the name of a column, or a bound
Comparison = tuple[Operand, bool, Operand]  # lesser, whether strictly, greater
UPWARDS = {ast.Lt: True, ast.LtE: False}
DOWNWARDS = {ast.Gt: True, ast.GtE: False}


class Constraint(ABC):
    """What must hold in each row. It holds where one of its columns is missing."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that it involves."""

    @abstractmethod
    def __str__(self) -> str:
        """Return its text, from which `parse` makes the same constraint."""


@dataclass(frozen=True)
class Bounds(Constraint):
    """`low <= column <= high`, for numbers, dates and date-times.

    Args:
        column: its name.
        low, high: the bounds; None for no bound.
        low_open, high_open: whether the bound itself is excluded.
    """

    column: str
    low: BoundValue | None = None
    high: BoundValue | None = None
    low_open: bool = False
    high_open: bool = False

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise DataError(f"Bounds({self.column!r}) needs a low or a high bound, got none")
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
            return (
                f"{quote_name(self.column)} <{'=' * (not self.high_open)} {format_value(self.high)}"
            )
        assert self.low is not None
        if self.high is None:
            return (
                f"{quote_name(self.column)} >{'=' * (not self.low_open)} {format_value(self.low)}"
            )
        below, above = "=" * (not self.low_open), "=" * (not self.high_open)
        low, high = format_value(self.low), format_value(self.high)
        return f"{low} <{below} {quote_name(self.column)} <{above} {high}"


@dataclass(frozen=True)
class Inequality(Constraint):
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
        return f"{quote_name(self.low)} <{'=' * (not self.strict)} {quote_name(self.high)}"


@dataclass(frozen=True, init=False)
class Combination(Constraint):
    """Only combinations of these columns' values that training rows have."""

    members: tuple[str, ...]

    def __init__(self, *members: str) -> None:
        if len(members) < 2 or len(set(members)) < len(members):
            raise DataError(f"a combination needs two or more columns, got {', '.join(members)}")
        object.__setattr__(self, "members", members)

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns."""
        return self.members

    def __str__(self) -> str:
        return f"{COMBINE}({', '.join(map(quote_name, self.members))})"


@dataclass(frozen=True)
class Derived(Constraint):
    """`column = formula`: not learned, but computed from the other columns.

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
        """The column, and those that it is derived from."""
        return (self.column, *Formula(self.formula).columns)

    def __str__(self) -> str:
        return f"{quote_name(self.column)} = {self.formula}"


@dataclass(frozen=True, init=False)
class Lookup(Constraint):
    """`column = lookup(key)` or `lookup(key, key)`: it follows from the categories of others.

    Combinations of categories with fewer than five training rows, or with several values, are
    excepted: there the column's own value is learned.

    Args:
        column: its name.
        keys: the names of the others.
    """

    column: str
    keys: tuple[str, ...]

    def __init__(self, column: str, *keys: str) -> None:
        if not keys or len({column, *keys}) <= len(keys):
            msg = f"a lookup of {column!r} needs one or more other columns, each once, got"
            raise DataError(f"{msg} {', '.join(keys) or 'none'}")
        object.__setattr__(self, "column", column)
        object.__setattr__(self, "keys", keys)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column, and its keys."""
        return (self.column, *self.keys)

    def __str__(self) -> str:
        return f"{quote_name(self.column)} = {LOOKUP}({', '.join(map(quote_name, self.keys))})"


def parse(source: str | Constraint | Iterable[str | Constraint]) -> list[Constraint]:
    """Return the constraints of a text, a constraint or several of either; DataError for others."""
    if isinstance(source, Constraint):
        return [source]
    if isinstance(source, str):
        return _constraints(parse_text(source))
    if not isinstance(source, Iterable):
        msg = f"a constraint must be text or an object, got {type(source).__name__}"
        raise DataError(f"{msg}; see pushforward.constraints")
    return [constraint for item in source for constraint in parse(item)]


def _constraints(parsed: ParsedText) -> list[Constraint]:
    """Return the constraints of one text: one, or one for each link of a chain a <= b <= c."""
    match parsed.tree:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name == COMBINE:
            members = [_operand(parsed, arg) for arg in args]
            if all(isinstance(member, str) for member in members):
                return [Combination(*map(str, members))]
        case ast.Compare(ast.Name(id=key), [ast.Eq()], [ast.Call(ast.Name(id=name), args, [])]) if (
            name == LOOKUP and key in parsed.names
        ):
            members = [_operand(parsed, arg) for arg in args]
            if all(isinstance(member, str) for member in members):
                return [Lookup(parsed.names[key], *map(str, members))]
        case ast.Compare(ast.Name(id=key), [ast.Eq()], [formula]) if key in parsed.names:
            return [Derived(parsed.names[key], parsed.unparse(formula))]
        case ast.Compare():
            return _comparisons(parsed, parsed.tree)
    raise parsed.error("it is neither a comparison nor a formula nor a combination")


def _comparisons(parsed: ParsedText, tree: ast.Compare) -> list[Constraint]:
    """Return the bounds and inequalities of a chain of comparisons."""
    kinds = {type(op) for op in tree.ops}
    terms = [_operand(parsed, node) for node in (tree.left, *tree.comparators)]
    links: list[Comparison]
    if kinds <= UPWARDS.keys():
        strict = [UPWARDS[type(op)] for op in tree.ops]
        links = [(a, s, b) for (a, b), s in zip(pairwise(terms), strict, strict=True)]
    elif kinds <= DOWNWARDS.keys():
        strict = [DOWNWARDS[type(op)] for op in tree.ops]
        links = [(b, s, a) for (a, b), s in zip(pairwise(terms), strict, strict=True)][::-1]
    else:
        raise parsed.error("a chain must have one direction, all < and <= or all > and >=")
    if not any(isinstance(term, str) for term in terms):
        raise parsed.error("it names no column")
    return _join_bounds([_comparison(parsed, *link) for link in links])


def _comparison(parsed: ParsedText, low: Operand, strict: bool, high: Operand) -> Constraint:
    """Return the constraint of one comparison."""
    if isinstance(low, str) and isinstance(high, str):
        return Inequality(low, high, strict)
    if isinstance(low, str) and not isinstance(high, str):
        return Bounds(low, high=high, high_open=strict)
    if isinstance(high, str) and not isinstance(low, str):
        return Bounds(high, low=low, low_open=strict)
    raise parsed.error("it compares two numbers")


def _join_bounds(constraints: Sequence[Constraint]) -> list[Constraint]:
    """Return constraints with `0 <= age` and `age <= 120`, side by side in a chain, as one."""
    joined: list[Constraint] = []
    for constraint in constraints:
        last = joined[-1] if joined else None
        if (
            isinstance(last, Bounds)
            and isinstance(constraint, Bounds)
            and last.column == constraint.column
            and last.high is None
        ):
            joined[-1] = replace(last, high=constraint.high, high_open=constraint.high_open)
        else:
            joined.append(constraint)
    return joined


def _operand(parsed: ParsedText, node: ast.expr) -> Operand:
    """Return a column's name, a number or a time."""
    match node:
        case ast.Name(id=key) if key in parsed.names:
            return parsed.names[key]
        case ast.Name(id=key) if key in parsed.times:
            return parsed.times[key]
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise parsed.error("only columns, numbers and dates can be compared")
