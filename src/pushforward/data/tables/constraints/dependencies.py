"""Which columns the constraints replace, in which order; or why they cannot hold together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from pushforward.data.tables.constraints.definitions import (
    Bounds,
    Combination,
    Constraint,
    Derived,
    Inequality,
    Lookup,
)
from pushforward.errors import DataError, nearest

Links = dict[str, dict[str, bool]]  # a column, the others it is compared with, whether strictly


@dataclass
class Dependencies:
    """How each replaced column depends on others.

    Args:
        combined: the combination that each column is a member of.
        derived: the constraint of each derived column.
        above: columns that are modelled as their difference from others below them.
        below: columns that are modelled as their difference from others above them.
        order: in which columns and combinations are restored: each after those it depends on.
    """

    combined: dict[str, Combination] = field(default_factory=dict)
    derived: dict[str, Derived | Lookup] = field(default_factory=dict)
    above: Links = field(default_factory=dict)
    below: Links = field(default_factory=dict)
    order: list[str | Combination] = field(default_factory=list)

    def fixed(self, condition: str | None) -> set[str]:
        """Return the columns that other columns cannot move: combined, derived, the condition."""
        return {*self.combined, *self.derived, *([] if condition is None else [condition])}


def resolve_dependencies(
    constraints: Sequence[Constraint], columns: Sequence[str], condition: str | None = None
) -> Dependencies:
    """Return the dependencies of a table's columns.

    DataError for an unknown column, for one that two constraints determine in different ways, and
    for constraints that form a circle.
    """
    _refuse_unknown(constraints, columns)
    dependencies = Dependencies()
    for constraint in constraints:
        _replace_columns(dependencies, constraint, condition)
    inequalities = [c for c in constraints if isinstance(c, Inequality)]
    _orient(dependencies, inequalities, condition)
    for bounds in (c for c in constraints if isinstance(c, Bounds)):
        _refuse_bounds_of_derived(dependencies, bounds, inequalities)
    dependencies.order = _order(dependencies, constraints)
    return dependencies


def _refuse_unknown(constraints: Iterable[Constraint], columns: Sequence[str]) -> None:
    for constraint in constraints:
        for name in constraint.columns:
            if name not in columns:
                msg = f"the constraint {str(constraint)!r} names a column {name!r}"
                raise DataError(f"{msg} that the table lacks; {nearest(name, columns)}")


def _replace_columns(
    dependencies: Dependencies, constraint: Constraint, condition: str | None
) -> None:
    """Add the columns that a constraint replaces; DataError when they are replaced already."""
    if not isinstance(constraint, Combination | Derived | Lookup):
        return
    is_combination = isinstance(constraint, Combination)
    for name in constraint.columns if is_combination else constraint.columns[:1]:
        other = dependencies.combined.get(name) or dependencies.derived.get(name)
        if name == condition:
            msg = f"column {name!r} is the condition, which cannot be in {str(constraint)!r} too"
            raise DataError(f"{msg}; choose another condition, or none")
        if other is not None and other != constraint:
            msg = f"column {name!r} can be in only one of {str(other)!r} and {str(constraint)!r}"
            raise DataError(f"{msg}; put all columns in one combination, or derive another one")
        if isinstance(constraint, Combination):
            dependencies.combined[name] = constraint
        else:
            dependencies.derived[name] = constraint


def _orient(
    dependencies: Dependencies, inequalities: Sequence[Inequality], condition: str | None
) -> None:
    """Choose the column of each inequality that becomes a difference: the upper one if possible.

    It is not possible if the upper column is combined, derived, the condition, or already a
    difference below another column.
    """
    fixed = dependencies.fixed(condition)
    remaining = list(dict.fromkeys(inequalities))
    blocked = set(fixed)
    while below := [i for i in remaining if i.high in blocked]:
        for inequality in below:
            remaining.remove(inequality)
            low, high = inequality.low, inequality.high
            if low not in fixed:
                _link(dependencies.below, low, high, inequality.strict)
                blocked.add(low)
            elif dependencies.combined.get(low) != dependencies.combined.get(high, 0):
                msg = (
                    f"{str(inequality)!r} cannot be guaranteed: both columns are determined by a "
                    "combination, a formula or the condition; leave one of these out"
                )
                raise DataError(msg)
    for inequality in remaining:
        _link(dependencies.above, inequality.high, inequality.low, inequality.strict)


def _link(links: Links, column: str, other: str, strict: bool) -> None:
    others = links.setdefault(column, {})
    others[other] = others.get(other, False) or strict


def _refuse_bounds_of_derived(
    dependencies: Dependencies, bounds: Bounds, inequalities: Sequence[Inequality]
) -> None:
    """Raise DataError for a bound that applies to a derived column."""
    upwards = [(i.low, i.high) for i in inequalities]
    downwards = [(i.high, i.low) for i in inequalities]
    above = _reachable(bounds.column, upwards) if bounds.low is not None else set()
    below = _reachable(bounds.column, downwards) if bounds.high is not None else set()
    bounded = sorted((above | below) & dependencies.derived.keys())
    if bounded:
        msg = (
            f"{str(bounds)!r} cannot be guaranteed: it bounds {bounded[0]!r}, which is derived as "
            f"{str(dependencies.derived[bounded[0]])!r}; bound the columns that it is derived from"
        )
        raise DataError(msg)


def _reachable(start: str, pairs: Sequence[tuple[str, str]]) -> set[str]:
    """Return the columns that a path of pairs leads to, the first included."""
    reached, new = {start}, {start}
    while new:
        new = {b for a, b in pairs if a in new} - reached
        reached |= new
    return reached


def _order(
    dependencies: Dependencies, constraints: Sequence[Constraint]
) -> list[str | Combination]:
    """Return combinations and columns, each after those that it depends on."""
    needs: dict[str | Combination, list[str | Combination]] = {}
    needs |= {name: [combination] for name, combination in dependencies.combined.items()}
    needs |= {name: [*derived.columns[1:]] for name, derived in dependencies.derived.items()}
    for links in (dependencies.above, dependencies.below):
        needs |= {name: [*others] for name, others in links.items()}
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle = {name for name in error.args[1] if isinstance(name, str)}
        texts = [str(c) for c in constraints if len(circle.intersection(c.columns)) > 1]
        texts = texts or [str(c) for c in constraints if circle.intersection(c.columns)]
        msg = f"these constraints form a circle, leave one out: {'; '.join(texts)}"
        raise DataError(msg) from None
