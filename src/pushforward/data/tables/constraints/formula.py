"""Arithmetic over columns: `(price - discount) * quantity * factor(region)`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pushforward.data.numeric import Floats
from pushforward.data.tables.constraints.clock import (
    CLOCK,
    MIDNIGHT,
    MINUTES,
    PARTS,
    clock,
    is_zone,
    minutes,
    part_of_time,
)
from pushforward.data.tables.constraints.language import FACTOR, ParsedText, parse_text

OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    FACTOR: np.asarray,  # of each row's category
    MINUTES: minutes,
    CLOCK: clock,
}


@dataclass(frozen=True)
class Formula:
    """A formula of columns, numbers, + - * /, parentheses, and the functions of `clock`.

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
            result = np.asarray(self._evaluate(self._parsed.tree, operands), dtype=np.float64)
        return np.where(np.isfinite(result), result, np.nan)

    def _evaluate(self, node: ast.expr, operands: Mapping[str, Floats]) -> Any:
        """Return the value of a checked tree."""
        match node:
            case ast.Constant(value=value):
                return np.float64(value)  # type: ignore[arg-type]  # a number, as was checked
            case ast.Name(id=name):
                return operands[name]
            case ast.Call(ast.Name(id=call), [inner, *others]):
                return self._call(call, self._evaluate(inner, operands), others)
            case ast.UnaryOp(op=op, operand=inner):
                operand = self._evaluate(inner, operands)
                return -operand if isinstance(op, ast.USub) else operand
            case ast.BinOp(left=left, op=op, right=right):
                sides = self._evaluate(left, operands), self._evaluate(right, operands)
                return OPERATIONS[type(op)](*sides)
            case _:
                raise AssertionError(ast.dump(node))

    def _call(self, function: str, value: Any, others: Sequence[ast.expr]) -> Any:
        """Return the value of a function of the language."""
        match others:
            case [ast.Name(id=key)]:
                return part_of_time(function, value, self._parsed.zones[key])
            case [ast.Constant(value=int() as midnight)]:
                return clock(value, midnight)
            case _ if function in PARTS:
                return part_of_time(function, value)
            case _:
                return FUNCTIONS[function](value)

    @property
    def times(self) -> frozenset[str]:
        """The columns of times of which it has parts."""
        return frozenset(name for name, _ in self._read_times())

    @property
    def zones(self) -> dict[str, str]:
        """The time zones by whose clocks columns of times are read."""
        return {name: zone for name, zone in self._read_times() if zone is not None}

    def _read_times(self) -> Iterator[tuple[str, str | None]]:
        """Yield the columns of which the formula has parts, and the zones of their clocks."""
        for node in ast.walk(self._parsed.tree):
            match node:
                case ast.Call(ast.Name(id=call), [ast.Name(id=name), *zone]) if call in PARTS:
                    keys = [key.id for key in zone if isinstance(key, ast.Name)]
                    yield self._parsed.names[name], self._parsed.zones[keys[0]] if keys else None


def _factors(parsed: ParsedText) -> Iterator[str]:
    """Return the columns of the calls of `factor`."""
    for node in ast.walk(parsed.tree):
        match node:
            case ast.Call(ast.Name(id=call), [ast.Name(id=name)]) if call == FACTOR:
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
        case ast.Call(ast.Name(id=call), [ast.Name(id=name), *zone], []) if (
            call in PARTS and name in parsed.names
        ):
            _refuse_other_zones(parsed, zone)
        case ast.Call(ast.Name(id=call), [inner], []) if call in (MINUTES, CLOCK):
            _refuse_other_nodes(parsed, inner)
        case ast.Call(ast.Name(id=call), [inner, ast.Constant(value=midnight)], []) if (
            call == CLOCK and midnight in (0, MIDNIGHT)
        ):
            _refuse_other_nodes(parsed, inner)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            _refuse_other_nodes(parsed, inner)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATIONS:
            _refuse_other_nodes(parsed, left)
            _refuse_other_nodes(parsed, right)
        case _:
            raise parsed.error(
                "a formula may hold columns, numbers, + - * /, parentheses and the functions "
                f"{', '.join([FACTOR, *PARTS, MINUTES, CLOCK])}"
            )


def _refuse_other_zones(parsed: ParsedText, nodes: Sequence[ast.expr]) -> None:
    """Raise DataError for anything but one time zone, or none."""
    match nodes:
        case []:
            return
        case [ast.Name(id=key)] if key in parsed.zones:
            if not is_zone(parsed.zones[key]):
                raise parsed.error(f"there is no time zone {parsed.zones[key]!r}")
        case _:
            raise parsed.error("a part of a time takes a column and, in quotes, a time zone")
