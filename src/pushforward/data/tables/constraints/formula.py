"""Arithmetic over columns: `(price - discount) * quantity`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pushforward.data.tables.constraints.language import Phrase, phrase
from pushforward.data.tables.partition import Floats

OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


@dataclass(frozen=True)
class Formula:
    """A formula of columns, numbers, + - * / and parentheses.

    Args:
        text: as it is written in the language of constraints; kept in one spelling. DataError
            for anything else.
    """

    text: str
    _read: Phrase = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        read = phrase(self.text)
        _refuse_others(read, read.tree)
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "text", read.said(read.tree))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it takes, each once."""
        return tuple(dict.fromkeys(self._read.names.values()))

    def of(self, values: Mapping[str, Floats]) -> Floats:
        """Return its value in each row: NaN where an operand is missing, and for x / 0."""
        operands = {key: values[name] for key, name in self._read.names.items()}
        with np.errstate(all="ignore"):
            found = np.asarray(_value(self._read.tree, operands), dtype=np.float64)
        return np.where(np.isfinite(found), found, np.nan)


def _refuse_others(read: Phrase, node: ast.expr) -> None:
    """Raise DataError for anything but arithmetic."""
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return
        case ast.Name(id=name) if name in read.names:
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            _refuse_others(read, inner)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATIONS:
            _refuse_others(read, left)
            _refuse_others(read, right)
        case _:
            raise read.refuse("a formula may hold columns, numbers, + - * / and parentheses")


def _value(node: ast.expr, operands: Mapping[str, Floats]) -> Any:
    """Return the value of a checked tree."""
    match node:
        case ast.Constant(value=value):
            return np.float64(value)  # type: ignore[arg-type]  # a number, as was checked
        case ast.Name(id=name):
            return operands[name]
        case ast.UnaryOp(op=op, operand=inner):
            return -_value(inner, operands) if isinstance(op, ast.USub) else _value(inner, operands)
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATIONS[type(op)](_value(left, operands), _value(right, operands))
        case _:
            raise AssertionError(ast.dump(node))
