"""Arithmetic over columns: `(price - discount) * quantity * factor(region)`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pushforward.data.numeric import Floats
from pushforward.data.tables.constraints.language import FACTOR, ParsedText, parse_text

OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


@dataclass(frozen=True)
class Formula:
    """A formula of columns, numbers, + - * / and parentheses.

    It may have one `factor(column)`: a number for each category of a column, learned from the data.

    Args:
        text: in the language of constraints, stored in normal form. DataError for anything else.
    """

    text: str
    _parsed: ParsedText = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parsed = parse_text(self.text)
        _refuse_other_nodes(parsed, parsed.tree)
        if len([*_factors(parsed)]) > 1:
            raise parsed.error("a formula may have one factor(column)")
        object.__setattr__(self, "_parsed", parsed)
        object.__setattr__(self, "text", parsed.unparse(parsed.tree))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the formula, each once."""
        return tuple(dict.fromkeys(self._parsed.names.values()))

    @property
    def category(self) -> str | None:
        """The column whose categories have a factor, if there is one."""
        return next(_factors(self._parsed), None)

    def evaluate(self, values: Mapping[str, Floats]) -> Floats:
        """Return the value in each row: NaN where an operand is missing, and for x / 0.

        The value of `category` is its factor.
        """
        operands = {key: values[name] for key, name in self._parsed.names.items()}
        with np.errstate(all="ignore"):
            result = np.asarray(_evaluate(self._parsed.tree, operands), dtype=np.float64)
        return np.where(np.isfinite(result), result, np.nan)


def _factors(parsed: ParsedText) -> Iterator[str]:
    """Return the columns of the calls of `factor`."""
    for node in ast.walk(parsed.tree):
        match node:
            case ast.Call(args=[ast.Name(id=name)]):
                yield parsed.names[name]


def _refuse_other_nodes(parsed: ParsedText, node: ast.expr) -> None:
    """Raise DataError for anything but arithmetic."""
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return
        case ast.Name(id=name) if name in parsed.names:
            return
        case ast.Call(func=ast.Name(id=call), args=[ast.Name(id=name)], keywords=[]) if (
            call == FACTOR and name in parsed.names
        ):
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            _refuse_other_nodes(parsed, inner)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATIONS:
            _refuse_other_nodes(parsed, left)
            _refuse_other_nodes(parsed, right)
        case _:
            raise parsed.error("a formula may hold columns, numbers, + - * / and parentheses")


def _evaluate(node: ast.expr, operands: Mapping[str, Floats]) -> Any:
    """Return the value of a checked tree."""
    match node:
        case ast.Constant(value=value):
            return np.float64(value)  # type: ignore[arg-type]  # a number, as was checked
        case ast.Name(id=name) | ast.Call(args=[ast.Name(id=name)]):
            return operands[name]
        case ast.UnaryOp(op=op, operand=inner):
            operand = _evaluate(inner, operands)
            return -operand if isinstance(op, ast.USub) else operand
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATIONS[type(op)](_evaluate(left, operands), _evaluate(right, operands))
        case _:
            raise AssertionError(ast.dump(node))
