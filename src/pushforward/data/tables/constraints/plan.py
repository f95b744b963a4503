"""In which order constraints are kept, and by which of their columns; or why they cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from pushforward.data.tables.constraints.formula import Formula
from pushforward.data.tables.constraints.statements import (
    Bounds,
    Combination,
    Derived,
    Inequality,
    Statement,
)
from pushforward.errors import DataError, nearest

Links = dict[str, dict[str, bool]]  # a column, and those it is compared with, whether strictly


@dataclass
class Plan:
    """What becomes of the columns.

    Args:
        combined: the combination that each column is a member of.
        derived: the formula of each derived column.
        above: columns that are modelled as their gap above others.
        below: ... as their gap below others.
        order: how they are put back: each column after those that it depends on.
    """

    combined: dict[str, Combination] = field(default_factory=dict)
    derived: dict[str, Derived] = field(default_factory=dict)
    above: Links = field(default_factory=dict)
    below: Links = field(default_factory=dict)
    order: list[str | Combination] = field(default_factory=list)


def plan(
    statements: Sequence[Statement], columns: Sequence[str], condition: str | None = None
) -> Plan:
    """Return what becomes of a table's columns.

    DataError for a column that there is not, for one that two constraints settle in different ways,
    and for constraints that go round in a circle.
    """
    _refuse_unknown(statements, columns)
    found = Plan()
    for statement in statements:
        _settle(found, statement, condition)
    _orient(found, [s for s in statements if isinstance(s, Inequality)], condition)
    for bounds in (s for s in statements if isinstance(s, Bounds)):
        _refuse_derived(found, bounds, statements)
    found.order = _order(found, statements)
    return found


def _refuse_unknown(statements: Iterable[Statement], columns: Sequence[str]) -> None:
    for statement in statements:
        for name in statement.columns:
            if name not in columns:
                msg = f"the constraint {str(statement)!r} names no column {name!r} of the table"
                raise DataError(f"{msg}; {nearest(name, columns)}")


def _settle(found: Plan, statement: Statement, condition: str | None) -> None:
    """Enter what a statement replaces; DataError when that is replaced already."""
    if not isinstance(statement, Combination | Derived):
        return
    is_joint = isinstance(statement, Combination)
    for name in statement.columns if is_joint else statement.columns[:1]:
        other = found.combined.get(name) or found.derived.get(name)
        if name == condition:
            msg = f"column {name!r} is the condition, which cannot be in {str(statement)!r} too"
            raise DataError(f"{msg}; condition on another column, or on none")
        if other is not None and other != statement:
            msg = f"column {name!r} can be in one of {str(other)!r} and {str(statement)!r} alone"
            raise DataError(f"{msg}; name all columns in one combination, or derive another one")
        if isinstance(statement, Combination):
            found.combined[name] = statement
        else:
            found.derived[name] = statement


def _orient(found: Plan, inequalities: Sequence[Inequality], condition: str | None) -> None:
    """Choose the column of each inequality that becomes a gap: the upper one if that is free.

    It is not where the column is combined, derived, the condition, or a gap below another already.
    """
    fixed = {*found.combined, *found.derived, *([] if condition is None else [condition])}
    left = list(dict.fromkeys(inequalities))
    tied = set(fixed)
    while below := [i for i in left if i.high in tied]:
        for inequality in below:
            left.remove(inequality)
            if inequality.low not in fixed:
                _link(found.below, inequality.low, inequality.high, inequality.strict)
                tied.add(inequality.low)
            elif found.combined.get(inequality.low) != found.combined.get(inequality.high, 0):
                msg = (
                    f"{str(inequality)!r} cannot be kept: both columns are settled otherwise (as a "
                    "combination, a formula or the condition); leave one of these out"
                )
                raise DataError(msg)
    for inequality in left:
        _link(found.above, inequality.high, inequality.low, inequality.strict)


def _link(links: Links, column: str, other: str, strict: bool) -> None:
    known = links.setdefault(column, {})
    known[other] = known.get(other, False) or strict


def _refuse_derived(found: Plan, bounds: Bounds, statements: Sequence[Statement]) -> None:
    """Raise DataError for a bound that a derived column would have to keep."""
    pairs = [(s.low, s.high) for s in statements if isinstance(s, Inequality)]
    upwards = _reach(bounds.column, pairs) if bounds.low is not None else set()
    downwards = _reach(bounds.column, [(b, a) for a, b in pairs]) if bounds.high is not None else {}
    bound = sorted({*upwards, *downwards} & found.derived.keys())
    if bound:
        msg = (
            f"{str(bounds)!r} cannot be kept: it bounds {bound[0]!r}, which is derived as "
            f"{str(found.derived[bound[0]])!r}; bound the columns that it is derived from"
        )
        raise DataError(msg)


def _reach(start: str, pairs: Sequence[tuple[str, str]]) -> set[str]:
    """Return the columns that a path of pairs leads to, the first included."""
    reached, new = {start}, {start}
    while new:
        new = {b for a, b in pairs if a in new} - reached
        reached |= new
    return reached


def _order(found: Plan, statements: Sequence[Statement]) -> list[str | Combination]:
    """Return combinations and columns, each after those that it depends on."""
    needs: dict[str | Combination, list[str | Combination]] = {}
    needs |= {name: [combination] for name, combination in found.combined.items()}
    needs |= {name: [*Formula(own.formula).columns] for name, own in found.derived.items()}
    for links in (found.above, found.below):
        needs |= {name: [*others] for name, others in links.items()}
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle = {name for name in error.args[1] if isinstance(name, str)}
        told = [str(s) for s in statements if len(circle.intersection(s.columns)) > 1]
        told = told or [str(s) for s in statements if circle.intersection(s.columns)]
        msg = f"these constraints go round in a circle, leave one out: {'; '.join(told)}"
        raise DataError(msg) from None
